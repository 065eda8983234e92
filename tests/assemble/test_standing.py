from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import quietly
from optimizing import picture

from network_atlas.assemble.standing import picture_status
from network_atlas.config.schema import RunConfig
from network_atlas.plan.references import softmax
from network_atlas.units import Channel, ClassLogit, ClassProbability

CHANNEL = picture(Channel(layer="conv2", channel=1))
GOOD = {"percentile": 100.0, "rank": 1, "agreement": None}


def of_class(unit: ClassLogit | ClassProbability, objective: str, *, sign: int = 1) -> Any:
    return replace(picture(unit, sign=sign), objective=objective)


LOGIT = of_class(ClassLogit(layer="output", channel=2), "logit")
PROBABILITY = of_class(ClassProbability(layer="output", channel=2), "probability")
MINIMIZED = of_class(ClassLogit(layer="output", channel=2), "logit", sign=-1)


@pytest.mark.parametrize(
    ("shown", "status", "changes", "expected"),
    [
        (CHANNEL, "ok", {}, "ok"),
        (CHANNEL, "ok", {"percentile": 40.0}, "weak"),
        (CHANNEL, "ok", {"percentile": None}, "ok"),
        (CHANNEL, "ok", {"rank": 199}, "ok"),  # channels of a layer differ in size
        (CHANNEL, "ok", {"agreement": 0.2}, "unstable"),
        (CHANNEL, "ok", {"agreement": 0.2, "percentile": 40.0}, "weak"),
        (CHANNEL, "grey", {"percentile": 40.0}, "grey"),
        (LOGIT, "ok", {"rank": 5}, "ok"),
        (LOGIT, "ok", {"rank": 6}, "weak"),
        (PROBABILITY, "ok", {"rank": 199, "percentile": None}, "weak"),
        (MINIMIZED, "ok", {"rank": 199}, "ok"),
    ],
)
def test_an_ok_picture_is_judged_by_its_measurements(
    shown: Any, status: str, changes: dict[str, Any], expected: str
) -> None:
    assert picture_status(shown, status, GOOD | changes) == expected


def test_probabilities_of_large_logits_are_finite_and_sum_to_one() -> None:
    logits = np.array([[900.0, 899.0, -900.0], [0.0, 0.0, 0.0]], np.float32)
    assert softmax(logits).sum(axis=1) == pytest.approx([1.0, 1.0])
    assert softmax(logits)[0, 0] == pytest.approx(1 / (1 + np.exp(-1.0)))


def shown_of(root: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    tables = [pq.read_table(path).to_pylist() for path in sorted((root / "atlas").iterdir())]
    return [(row, shown) for rows in tables for row in rows for shown in row["visualizations"]]


def test_a_picture_that_real_images_beat_is_called_weak(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    noise = ["optimize/parameterization=pixels", "optimize.parameterization.std=1", "optimize.steps=1"]
    quietly(tiny("sweep.select.0.include=[conv2]", *noise, "optimize.learning_rate=1e-6"))
    statuses = {True: set(), False: set()}
    for _, shown in shown_of(tmp_path / "atlas"):
        if shown["picture_status"] in ("ok", "weak"):
            statuses[shown["percentile"] < 75].add(shown["picture_status"])
    assert statuses[True] == {"weak"}
    assert statuses[False] <= {"ok"}


def test_a_probability_is_compared_with_the_probabilities_of_the_sampled_images(
    tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    every, variants = "sweep.select.0.channels=all", "sweep.variants=[{objective: probability}]"
    quietly(tiny("sweep.select.0.include=[output]", "sweep.select.0.types=[]", every, variants, "optimize.steps=16"))
    samples = sorted((tmp_path / "atlas" / "activation_samples").rglob("*.parquet"))
    tables = [pq.read_table(path).to_pylist() for path in samples]
    logits = np.array([row["spatial_mean"] for rows in tables for row in rows], np.float32)
    for row, shown in shown_of(tmp_path / "atlas"):
        below = softmax(logits)[:, row["channel"]] < shown["score"]
        assert shown["percentile"] == pytest.approx(100 * below.mean())
