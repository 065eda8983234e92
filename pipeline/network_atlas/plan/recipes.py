"""What of a recipe determines a picture."""

from __future__ import annotations

from collections.abc import Mapping

from network_atlas.config.declare import OPTIMIZE
from network_atlas.config.determines import determining
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import InputConfig


def recipe_of(config: OptimizeConfig, model_input: InputConfig, dtype: str) -> Mapping[str, object]:
    """Return what determines a picture: the recipe, the model's input, and the number format that 'auto' came to."""
    recipe, shown = determining(config, OPTIMIZE), determining(model_input, OPTIMIZE)
    return {"recipe": recipe, "input": shown, "dtype": dtype}


def takes_magnitude(config: OptimizeConfig) -> bool:
    """Say whether a recipe takes the frequency magnitude of the run's own dataset."""
    given = config.parameterization
    return given.name == "maco" and given.magnitude == "dataset"
