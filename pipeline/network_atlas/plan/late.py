"""Pictures of units that a run finds: the plan gets them when they are known. Pure.

What a cell of a map, a direction of a layer's activations or a group of examples is, is known when it is found. The
key of the result that holds it covers the network up to the layer, the layer's index, and the dataset.
"""

from __future__ import annotations

from collections.abc import Sequence

from network_atlas.config.schema import RunConfig
from network_atlas.config.sweep import variant_name
from network_atlas.config.twins import twin_of
from network_atlas.fingerprints import fingerprint
from network_atlas.plan.expansion import PICTURE_ALGORITHM
from network_atlas.plan.pictures import Picture
from network_atlas.plan.plan import Plan
from network_atlas.plan.recipes import recipe_of
from network_atlas.units import Unit


def late_pictures(
    kind: str, units: Sequence[Unit], source: str, recipe: str, plan: Plan, config: RunConfig
) -> tuple[Picture, ...]:
    """Return a picture of each unit with a recipe, after the twin without prior if it has one.

    Samples of a chain are of channels, classes and neurons. For a recipe with a chain the twin, which climbs, is all.

    `source` is the key of the result in which the units were found; `kind` tells apart those found in one result.
    """
    settings = config.recipe(recipe)
    has_twin = settings.is_shaped or settings.chain is not None
    names = [*([twin_of(recipe)] if has_twin else []), *([] if settings.chain else [recipe])]
    shared = {name: _shared(kind, source, name, plan, config) for name in names}
    return tuple(
        Picture(
            key=fingerprint(shared[name], unit),
            unit=unit,
            variant=variant_name(f"{unit.objective}+", 0, recipe=name),
            objective=unit.objective,
            sign=1,
            seed=0,
            recipe=name,
        )
        for unit in units
        for name in names
    )


def _shared(kind: str, source: str, recipe: str, plan: Plan, config: RunConfig) -> str:
    made_by = fingerprint("recipe", recipe_of(config.recipe(recipe), config.model.input, plan.dtypes[recipe]))
    models = [model.key for model in plan.recipe_models.get(recipe, ())]
    return fingerprint(kind, PICTURE_ALGORITHM, source, made_by, *models)
