"""The settings of a recipe that determine a picture."""

from __future__ import annotations

from collections.abc import Mapping

from network_atlas.config.declare import OPTIMIZE
from network_atlas.config.determines import determining
from network_atlas.config.priors import NoPrior
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import InputConfig


def recipe_of(config: OptimizeConfig, model_input: InputConfig, dtype: str) -> Mapping[str, object]:
    """Return the settings that determine a picture: recipe, model input, and number format (never 'auto')."""
    recipe, input_settings = determining(config, OPTIMIZE), determining(model_input, OPTIMIZE)
    if not has_prior(config):  # a prior of strength 0 leaves the very same picture
        recipe = {path: value for path, value in recipe.items() if not path.startswith("prior.")}
    return {"recipe": recipe, "input": input_settings, "dtype": dtype}


def takes_magnitude(config: OptimizeConfig) -> bool:
    """Say whether a recipe uses the frequency magnitude of the run's own dataset."""
    parameterization = config.parameterization
    return parameterization.name == "maco" and parameterization.magnitude == "dataset"


def has_prior(config: OptimizeConfig) -> bool:
    """Say whether a learned model of natural images pulls at the pictures of a recipe."""
    return not isinstance(config.prior, NoPrior) and config.prior.strength > 0
