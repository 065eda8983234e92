"""Pictures of units that a run finds: the plan gets them when they are known. Pure.

What a cell of a map, a direction of a layer's activations or a group of examples is, is known when it is found. The
key of the result that holds it covers the network up to the layer, the layer's index, and the dataset.
"""

from __future__ import annotations

from collections.abc import Sequence

from network_atlas.config.schema import RunConfig
from network_atlas.config.sweep import variant_name
from network_atlas.fingerprints import fingerprint
from network_atlas.plan.expansion import PICTURE_ALGORITHM
from network_atlas.plan.pictures import Picture
from network_atlas.plan.plan import Plan
from network_atlas.plan.recipes import recipe_of
from network_atlas.units import Unit


def late_pictures(
    kind: str, units: Sequence[Unit], source: str, recipe: str, plan: Plan, config: RunConfig
) -> tuple[Picture, ...]:
    """Return a picture of each unit; `source` is the key of the result in which they were found.

    `kind` tells apart the pictures of units that are found in one result.
    """
    made_by = fingerprint("recipe", recipe_of(config.recipe(recipe), config.model.input, plan.dtypes[recipe]))
    models = [model.key for model in plan.recipe_models.get(recipe, ())]
    shared = fingerprint(kind, PICTURE_ALGORITHM, source, made_by, *models)
    return tuple(
        Picture(
            key=fingerprint(shared, unit),
            unit=unit,
            variant=variant_name(f"{unit.objective}+", 0, recipe=recipe),
            objective=unit.objective,
            sign=1,
            seed=0,
            recipe=recipe,
        )
        for unit in units
    )
