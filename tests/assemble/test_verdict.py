"""Verdicts: good pictures are trusted, and those of networks that fool or know nothing are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import quietly
from fooling_network import write_colours
from optimizing import picture

from network_atlas.assemble.verdict import verdict, worst
from network_atlas.config.compose import compose
from network_atlas.config.schema import RunConfig
from network_atlas.config.verdict import DISTRUSTED, DOUBTFUL, TRUSTED
from network_atlas.units import Channel, ClassLogit

GOOD = {
    "picture_status": "ok",
    "percentile": 100.0,
    "path_percentile": 90.0,
    "rank": 3,
    "standardized_rank": 1,
    "agreement": 0.95,
    "robustness_loss": 0.1,
}
CHANNEL = picture(Channel(layer="conv2", channel=1))
LEAST = picture(Channel(layer="conv2", channel=1), sign=-1)
LOGIT = replace(picture(ClassLogit(layer="output", channel=1)), objective="logit")
MINIMIZED = replace(picture(ClassLogit(layer="output", channel=1), sign=-1), objective="logit")
LIMITS = compose([]).assemble.verdict


@pytest.mark.parametrize(
    ("shown", "changes", "word", "reason"),
    [
        (CHANNEL, {}, TRUSTED, None),
        (CHANNEL, {"rank": 180}, TRUSTED, None),  # channels of a layer differ in size
        (CHANNEL, {"standardized_rank": 2}, TRUSTED, None),
        (CHANNEL, {"standardized_rank": 6}, DOUBTFUL, "5 other channels of 200 are excited more"),
        (CHANNEL, {"standardized_rank": 90}, DISTRUSTED, "89 other channels of 200"),
        (CHANNEL, {"percentile": 90.0}, DOUBTFUL, "10 % of the images excite the unit more"),
        (CHANNEL, {"percentile": 40.0}, DISTRUSTED, "60 % of the images"),
        (CHANNEL, {"percentile": None}, DOUBTFUL, "no images to compare"),
        (CHANNEL, {"path_percentile": None, "agreement": None, "standardized_rank": None}, TRUSTED, None),
        (CHANNEL, {"path_percentile": 45.0}, DOUBTFUL, "55 % of images chosen by chance are more like"),
        (CHANNEL, {"path_percentile": 3.0}, DISTRUSTED, "in another way than images do"),
        (CHANNEL, {"agreement": 0.1}, DISTRUSTED, "agreement 0.10"),
        (CHANNEL, {"robustness_loss": 0.95}, DISTRUSTED, "95 % of its score"),
        (CHANNEL, {"robustness_loss": None}, TRUSTED, None),
        (CHANNEL, {"picture_status": "grey"}, DISTRUSTED, "one colour"),
        (CHANNEL, {"picture_status": "weak"}, TRUSTED, None),  # its reasons are among the measurements
        (LOGIT, {"rank": 1}, TRUSTED, None),
        (LOGIT, {"rank": 2}, DOUBTFUL, "1 other class a higher value"),
        (LOGIT, {"rank": 293}, DISTRUSTED, "292 other classes"),
        (LEAST, {"percentile": 90.0}, DOUBTFUL, "10 % of the images excite the unit less"),
        (LEAST, {"standardized_rank": 6}, DOUBTFUL, "5 other channels of 200 are excited less"),
        (MINIMIZED, {"rank": 293}, TRUSTED, None),  # many classes are equally far from most images
    ],
)
def test_a_picture_is_judged_by_each_of_its_measurements(
    shown: Any, changes: dict[str, Any], word: str, reason: str | None
) -> None:
    judged = verdict(shown, GOOD | changes, channels=200, limits=LIMITS)
    assert judged.word == word
    assert len(judged.reasons) == (reason is not None)
    assert reason is None or reason in judged.reasons[0]


def test_the_weightiest_reason_comes_first_and_decides() -> None:
    judged = verdict(CHANNEL, GOOD | {"percentile": 90.0, "agreement": 0.1}, channels=200, limits=LIMITS)
    assert judged.word == DISTRUSTED
    assert ["agreement" in reason for reason in judged.reasons] == [True, False]
    assert worst([TRUSTED, DISTRUSTED, DOUBTFUL]) == DISTRUSTED
    assert worst([]) is None


def shown_in(root: Path, layer: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    (table,) = (root / "atlas").glob(f"*-{layer}*.parquet")
    return [(row, shown) for row in pq.read_table(table).to_pylist() for shown in row["visualizations"]]


SELECTED = [
    "sweep.select.0.types=[]",
    "sweep.select.0.channels=all",
    "sweep.variants=[{objective: channel}]",
    "optimize.steps=192",
    "optimize.learning_rate=0.1",
]


def test_a_channel_made_to_fool_is_not_trusted_and_its_honest_neighbour_is(
    tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    seeds = ",".join(f"{{objective: channel, seed: {number}}}" for number in range(8))
    network = ["model.name=fooling_network:build", "sweep.select.0.include=[responses]", *SELECTED]
    network += ['sweep.select.0.channels="0:2"', f"sweep.variants=[{seeds}]"]
    quietly(tiny(*network, f'dataset.root="{write_colours(images)}"', "dataset.label=none"))
    pictures = shown_in(tmp_path / "atlas", "responses")
    honest, fooling = ([(row, shown) for row, shown in pictures if row["channel"] == channel] for channel in (0, 1))
    # Of some starts the ascent is led astray: nothing else gives these pictures away. They beat every image, and are
    # the channel's own in its layer.
    fooled = [shown for _, shown in fooling if (shown["percentile"], shown["standardized_rank"]) == (100, 1)]
    assert len(fooled) > 1
    for shown in fooled:
        assert shown["picture_verdict"] != TRUSTED
        assert ["in another way than images do" in reason for reason in shown["verdict_reasons"]] == [True]
    assert fooling[0][0]["verdict"] != TRUSTED
    assert {shown["picture_verdict"] for _, shown in honest} == {TRUSTED}, honest[0][1]["verdict_reasons"]


def test_another_limit_joins_anew_and_makes_nothing_again(tiny: Callable[..., RunConfig], finished: Path) -> None:
    def files(folder: str) -> set[Path]:
        return set((finished / folder).rglob("*.parquet"))

    before = {folder: files(folder) for folder in ("visualizations", "calibrations", "scan")}
    quietly(tiny("assemble.verdict.percentile_below=[101, 101]"))
    assert {folder: files(folder) for folder in before} == before
    verdicts = {shown["picture_verdict"] for _, shown in shown_in(finished, "conv2")}
    assert verdicts == {DISTRUSTED}


def test_limits_in_the_wrong_order_are_refused(tiny: Callable[..., RunConfig]) -> None:
    with pytest.raises(Exception, match=r"percentile_below=\[50.0, 90.0\].*give \[90.0, 50.0\]"):
        tiny("assemble.verdict.percentile_below=[50, 90]")


def test_the_standardized_rank_is_that_of_activations_in_standard_deviations(finished: Path) -> None:
    stats = pq.read_table(next((finished / "channel_stats").glob("*conv2*"))).to_pylist()
    mean, variance = (np.array([row["spatial_mean"][name] for row in stats]) for name in ("mean", "variance"))
    tables = [pq.read_table(path).to_pylist() for path in (finished / "calibrations").rglob("*.parquet")]
    activations = {row["key"]: np.array(row["activations"]) for rows in tables for row in rows}
    compared = 0
    for row, shown in shown_in(finished, "conv2"):
        if row["dead"] or shown["objective"] == "neuron":
            assert shown["standardized_rank"] is None
            continue
        alive = variance > 0
        deviations = (activations[shown["key"]][alive] - mean[alive]) / np.sqrt(variance[alive])
        channel = int(alive[: row["channel"]].sum())
        assert shown["standardized_rank"] == 1 + int((deviations > deviations[channel]).sum())
        compared += 1
    assert compared
