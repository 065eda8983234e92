"""Shorthand for tests that optimize pictures without a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.fingerprints import fingerprint
from network_atlas.optimize.finished import FinishedPicture
from network_atlas.optimize.loop import Recipe, optimize
from network_atlas.pictures.parameterizations import parameterization, shared
from network_atlas.pictures.target import Target
from network_atlas.plan.pictures import Picture


def picture(unit: Any, *, sign: int = 1, seed: int = 0, **fields: Any) -> Picture:
    key = fingerprint(unit, sign, seed, fields.get("together"))
    return Picture(key=key, unit=unit, variant="test", objective="test", sign=sign, seed=seed, **fields)


def made(
    target: Target,
    pictures: Sequence[Picture],
    config: OptimizeConfig,
    *,
    dtype: str = "float32",
    slots: int = 64,
    **fields: Any,
) -> list[FinishedPicture]:
    together = pictures[0].together
    kind = shared if together and together.kind == "aligned" else parameterization
    built = kind(config, channels=target.input.channels, device=target.device)
    recipe = Recipe(config=config, dtype=dtype, parameterization=built, slots=slots, **fields)
    return optimize(target, pictures, recipe)
