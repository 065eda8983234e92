"""Shorthand for tests that optimize pictures without a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.fingerprints import fingerprint
from network_atlas.optimize.loop import Made, Recipe, optimize
from network_atlas.pictures.parameterizations import parameterization, shared
from network_atlas.pictures.target import Target
from network_atlas.plan.pictures import Picture


def picture(unit: Any, *, sign: int = 1, seed: int = 0, **given: Any) -> Picture:
    key = fingerprint(unit, sign, seed, given.get("together"))
    return Picture(key=key, unit=unit, variant="test", objective="test", sign=sign, seed=seed, **given)


def made(
    target: Target,
    pictures: Sequence[Picture],
    config: OptimizeConfig,
    *,
    dtype: str = "float32",
    slots: int = 64,
    **given: Any,
) -> list[Made]:
    together = pictures[0].together
    kind = shared if together and together.kind == "aligned" else parameterization
    learned = kind(config, channels=target.input.channels, device=target.device)
    return optimize(target, pictures, Recipe(config=config, dtype=dtype, learned=learned, slots=slots, **given))
