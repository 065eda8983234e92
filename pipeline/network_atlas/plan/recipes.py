"""What of a recipe determines a picture."""

from __future__ import annotations

from collections.abc import Mapping

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import InputConfig


def recipe_of(config: OptimizeConfig, model_input: InputConfig, dtype: str) -> Mapping[str, object]:
    """Return what of the configuration determines a picture: everything but the batch size."""
    return {
        "size": (config.height_px, config.width_px),
        "steps": (config.steps, config.stop, config.coarse),
        "ascent": (config.ascent, config.gradient, config.learning_rate),
        "regularizers": config.regularizers,
        "parameterization": config.parameterization,
        "transform": config.transform,
        "together": config.together,
        "opacity": config.opacity,
        "input": model_input,
        "dtype": dtype,
    }


def takes_magnitude(config: OptimizeConfig) -> bool:
    """Say whether a recipe takes the frequency magnitude of the run's own dataset."""
    given = config.parameterization
    return given.name == "maco" and given.magnitude == "dataset"
