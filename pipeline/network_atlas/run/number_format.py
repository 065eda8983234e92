"""What `dtype: auto` means in a root: what it meant on the machine of the first run.

Keys hold the number format. If every machine chose for itself, a run that is started from a laptop would make all
pictures again that a server made. So the first run keeps its choice in `plan/number_format.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from network_atlas.config.schema import RunConfig
from network_atlas.models.device import optimize_dtype
from network_atlas.store.root import Store
from network_atlas.store.swap import open_swap

FILE = "plan/number_format.json"
AUTO = "auto"
FORMATS = ("float32", "bfloat16")


def dtypes_of(config: RunConfig, store: Store) -> dict[str, str]:
    """Return the number format of each recipe by name; '' stands for `optimize`, the recipe of variants that name none.

    'auto' is what the root's first run chose, or else what this machine chooses.
    """
    recipes = {name: config.recipe(name) for name in ("", *config.recipes)}
    kept = _kept(store) if any(recipe.dtype == AUTO for recipe in recipes.values()) else ""
    return {
        name: kept if kept and recipe.dtype == AUTO else optimize_dtype(recipe, config.executor)
        for name, recipe in recipes.items()
    }


def keep(config: RunConfig, store: Store, dtypes: Mapping[str, str]) -> bool:
    """Keep what 'auto' means from now on, unless it is kept; say whether `dtypes` are those of the root.

    They are not if another run, of another share and on another machine, was first in this moment.
    """
    chosen = next((dtype for name, dtype in dtypes.items() if config.recipe(name).dtype == AUTO), "")
    if chosen and not _kept(store):
        swap = open_swap(store)
        seen = swap.read(FILE)
        swap.replace(FILE, json.dumps({AUTO: chosen}).encode(), seen)
    return not chosen or _kept(store) == chosen


def _kept(store: Store) -> str:
    """Return the kept format; '' where none is kept, or the file is damaged: then it is written anew."""
    data = store.read_if_there(FILE)
    try:
        kept = json.loads(data)[AUTO] if data else ""
    except (ValueError, TypeError, KeyError):
        return ""
    return kept if kept in FORMATS else ""
