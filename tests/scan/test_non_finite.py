"""Examples on which a layer's values are not all finite: left out of everything that is said about the layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import INLINE, quietly
from PIL import Image
from scanning import scan

from network_atlas.config.schema import RunConfig
from network_atlas.scan.reducers import on_device
from network_atlas.stats.merge import LayerScan
from network_atlas.store.root import Store
from network_atlas.store.shards import read_rows

BEHIND = ["inner.conv1", "inner.conv2", "inner.conv3", "inner.fc", "output"]


@pytest.fixture
def over(tiny: Callable[..., RunConfig], images: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    """Return a function that composes a run over 12 images and `evens` even ones, in folders of two classes."""

    def make(*overrides: str, evens: int, centred: bool = True) -> RunConfig:
        folder = tmp_path / f"with {evens} even"
        for number, image in enumerate(sorted(images.iterdir())):
            into = folder / f"class {number % 2}"
            into.mkdir(parents=True, exist_ok=True)
            (into / image.name).write_bytes(image.read_bytes())
        for number in range(evens):  # the last of the first class, and of a class of their own
            into = folder / ("class 0" if number == 0 else "class 2")
            into.mkdir(exist_ok=True)
            Image.new("RGB", (16, 16), (200, 100, 50)).save(into / f"zz{number}.png")
        return tiny(
            "model.name=tiny_network:standardized",
            f"model.arguments.centred={centred}",
            "sweep.select.0.types=[Conv2d,Linear]",
            "sweep.select.0.channels=all",
            "dataset.label=folder",
            f'dataset.root="{folder}"',
            f"store.root={tmp_path}/atlas-{evens}-{len(overrides)}",
            *overrides,
        )

    return make


def statistics(scan: LayerScan) -> list[object]:
    """Return everything that is said about each channel of a layer."""
    return [
        (
            [getattr(scan[channel], name) for name in ("count", "mean", "variance", "minimum", "maximum", "dead")],
            [scan.spatial_maximum(channel), scan.spatial_mean(channel), scan.noise_floor],
            [
                scan.examples(getattr(scan.whole, name), channel)
                for name in ("top", "bottom", "top_mean", "bottom_mean")
            ],
            [scan.partners(channel), scan.duplicates(channel), scan.class_examples(channel)],
            [scan.best_classes(channel), scan.selectivity(channel), scan.sample.ids],
        )
        for channel in scan
    ]


def assert_alike(first: Any, second: Any) -> None:
    """Check that nested values are the same, but for the rounding of sums over other spans."""
    if isinstance(first, dict):
        assert_alike(list(first.items()), list(second.items()))
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for left, right in zip(first, second, strict=True):
            assert_alike(left, right)
    else:
        assert first == (pytest.approx(second, rel=1e-9) if isinstance(second, float) else second)


@pytest.mark.parametrize(
    ("span", "centred"), [("scan.span=64", False), ("scan.span=5", True), ("scan.span=5", False), ("scan.span=1", True)]
)
def test_all_numbers_are_those_without_the_images_that_are_not_finite(
    over: Callable[..., RunConfig], span: str, centred: bool
) -> None:
    with_some, without = (scan(over(span, evens=evens, centred=centred)) for evens in (2, 0))
    for name in BEHIND[:4]:
        assert_alike(statistics(with_some[name]), statistics(without[name]))
        assert {with_some[name][channel].non_finite for channel in with_some[name]} == {2}
        assert {without[name][channel].non_finite for channel in without[name]} == {0}
    before = with_some["stem"][0]  # finite for every image
    assert (before.count, before.non_finite) == (14, 0)
    assert len(with_some["stem"].sample.ids) == 14


def test_a_layer_that_is_finite_nowhere_has_no_numbers(over: Callable[..., RunConfig], tmp_path: Path) -> None:
    config = over(evens=2)
    for image in [path for path in Path(config.dataset.root).rglob("*") if path.is_file() and "zz" not in path.name]:
        image.unlink()
    scans = scan(config)
    channel = scans["inner.conv1"][0]
    assert (channel.count, channel.non_finite, channel.mean, channel.minimum) == (0, 2, None, None)
    assert channel.top == ()
    assert not channel.dead
    numbers = scans["inner.conv1"].spatial_mean(0)
    assert (numbers["mean"], numbers["maximum"], numbers["histogram"], numbers["quantiles"]) == (None, None, [], [])
    assert scans["stem"][0].count == 2


def test_the_tables_say_how_many_examples_are_left_out(over: Callable[..., RunConfig]) -> None:
    config = over(*INLINE, 'sweep.select.0.channels="0:2"', evens=1)
    quietly(config)
    store = Store.open(config.store.root)
    rows = [row for path in store.list("atlas") for row in read_rows(store, path)]
    said = {(row["layer"], row["status"], row["count"], row["non_finite"]) for row in rows}
    assert ("inner.conv1", "non_finite", 12, 1) in said
    assert ("stem", "weak", 13, 0) in said
    samples = [row for path in store.list("activation_samples") for row in read_rows(store, path)]
    assert all(np.isfinite(row["spatial_mean"]).all() and np.isfinite(row["vector"]).all() for row in samples)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_device_reduces_a_map_that_is_not_finite_to_numbers_that_are_not(value: float) -> None:
    maps = torch.zeros(1, 1, 3, 3)
    maps[0, 0, 1, 1] = value
    assert not all(bool(torch.isfinite(number)) for number in on_device(maps).values())
