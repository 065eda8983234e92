"""The settings of a recipe that determine a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from network_atlas.config.declare import OPTIMIZE
from network_atlas.config.determines import determining
from network_atlas.config.priors import PACKAGED, DenoiserPrior
from network_atlas.config.recipe import LEARNED, OptimizeConfig
from network_atlas.config.schema import InputConfig

PULL_ALGORITHM = 2
"""Raise this number when a denoiser in bfloat16 pulls at pictures in another way."""


def recipe_of(config: OptimizeConfig, model_input: InputConfig, dtype: str) -> Mapping[str, object]:
    """Return the settings that determine a picture: recipe, model input, and number format (never 'auto')."""
    recipe, input_settings = determining(_without_idle(config), OPTIMIZE), determining(model_input, OPTIMIZE)
    if not config.has_prior:  # a prior of strength 0 leaves the very same picture
        recipe = {path: value for path, value in recipe.items() if not path.startswith("prior.")}
    # Pulls in float32 are what they were, and so are their keys: the packaged network's always are (`priors.denoiser`).
    is_rounded = dtype == "bfloat16" and isinstance(config.prior, DenoiserPrior) and config.prior.weights != PACKAGED
    pulled = {"pull": PULL_ALGORITHM} if config.has_prior and is_rounded else {}
    return {"recipe": recipe, "input": input_settings, "dtype": dtype} | pulled


def _without_idle(config: OptimizeConfig) -> OptimizeConfig:
    """Return a recipe without learned penalties of no weight: they leave the very same picture."""
    kept = tuple(each for each in config.regularizers if each.name not in LEARNED or each.weight)
    return replace(config, regularizers=kept)


def takes_magnitude(config: OptimizeConfig) -> bool:
    """Say whether a recipe uses the frequency magnitude of the run's own dataset."""
    parameterization = config.parameterization
    return parameterization.name == "maco" and parameterization.magnitude == "dataset"


def takes_scan(config: OptimizeConfig) -> bool:
    """Say whether a recipe compares pictures with what the scan keeps of their units: best examples, or its sample."""
    return config.examples is not None or takes_sample(config)


def takes_sample(config: OptimizeConfig) -> bool:
    """Say whether a recipe keeps pictures by how much images of the scan's sample excite their units."""
    return config.chain is not None and config.chain.percentile > 0
