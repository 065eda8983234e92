"""Pictures of cells and of directions, units that are known only when a layout task has found them. Pure."""

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
from network_atlas.units import Cell, Direction


def pictures_of_found(
    kind: str, units: Sequence[Cell | Direction], key: str, name: str, plan: Plan, config: RunConfig
) -> tuple[Picture, ...]:
    """Return the pictures of units that were found: with the recipe `name`, after its twin without prior if it has one.

    `key` is that of the task that finds them. It covers the network up to the layer, its index, and the dataset with
    its frequency magnitude.
    """
    names = [*([twin_of(name)] if config.recipe(name).is_shaped else []), name]
    recipes = {each: recipe_of(config.recipe(each), config.model.input, plan.dtypes[each]) for each in names}
    shared = {
        each: fingerprint(kind, PICTURE_ALGORITHM, key, fingerprint("recipe", recipe))
        for each, recipe in recipes.items()
    }
    return tuple(
        Picture(
            key=fingerprint(shared[each], unit),
            unit=unit,
            variant=variant_name(f"{unit.objective}+", 0, recipe=each),
            objective=unit.objective,
            sign=1,
            seed=0,
            recipe=each,
        )
        for unit in units
        for each in names
    )
