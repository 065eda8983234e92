"""What `dtype: auto` means in a root: what it meant on the machine of the first run (`store.first_choice`)."""

from __future__ import annotations

from collections.abc import Mapping

from network_atlas.config.schema import RunConfig
from network_atlas.models.device import optimize_dtype
from network_atlas.store.first_choice import AUTO, FirstChoice
from network_atlas.store.root import Store

FORMAT = FirstChoice("plan/number_format.json", ("float32", "bfloat16"))


def dtypes_of(config: RunConfig, store: Store) -> dict[str, str]:
    """Return the number format of each recipe by name; '' stands for `optimize`, the recipe of variants that name none.

    'auto' is what the root's first run chose, or else what this machine chooses.
    """
    recipes = {name: config.recipe(name) for name in ("", *config.recipes)}
    kept = FORMAT.kept(store) if any(recipe.dtype == AUTO for recipe in recipes.values()) else ""
    return {
        name: kept if kept and recipe.dtype == AUTO else optimize_dtype(recipe, config.executor)
        for name, recipe in recipes.items()
    }


def keep(config: RunConfig, store: Store, dtypes: Mapping[str, str]) -> bool:
    """Keep what 'auto' means from now on, unless it is kept; say whether `dtypes` are those of the root."""
    chosen = next((dtype for name, dtype in dtypes.items() if config.recipe(name).dtype == AUTO), "")
    return not chosen or FORMAT.keep(store, chosen)
