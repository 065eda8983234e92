"""Settings as a snapshot records them, turned back into what they were."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from network_atlas.config.schema import ModelConfig
from network_atlas.errors import ConfigError


def recorded_model(config: Mapping[str, object]) -> ModelConfig:
    """Return the settings of the model from a whole recorded configuration (`config.plain.to_plain`).

    Raises ConfigError if they are not there, or not those of this version.
    """
    try:
        return TypeAdapter(ModelConfig).validate_python(config.get("model"))
    except ValidationError as error:
        raise ConfigError(
            f"the recorded settings of the model can't be used by this version: {error}. Compare without --cross."
        ) from error
