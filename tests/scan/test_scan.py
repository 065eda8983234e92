from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brute_force import activations, skewness
from scanning import merged, scan

from network_atlas.config.schema import RunConfig
from network_atlas.plan.tasks import ScanTask
from network_atlas.run.prepare import prepare
from network_atlas.scan.worker import ScanWorker
from network_atlas.stats.files import SAMPLES
from network_atlas.stats.sample import QUANTILES, position_of
from network_atlas.store.columns import read_columns
from network_atlas.store.root import Store
from network_atlas.store.shards import read_rows

ROUNDING = {"conv1": 0.0, "conv2": 0.0, "conv3": 0.0, "fc": 3e-6}
"""Torch's matrix products round differently in batches of another size; its convolutions don't."""
SUMS = {"rtol": 1e-6, "atol": 1e-6}
"""Of spatial means, which are summed in float32, in blocks; values are up to 6."""
APPROXIMATELY = {"rel": 1e-6, "abs": 1e-7}
"""Of means of spatial means, which may be near zero."""


@pytest.fixture
def everything(tiny: Callable[..., RunConfig], images: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    """Return a function that composes a scan of all channels over 12 images in folders of three classes."""
    folder = tmp_path / "classes"
    for number, image in enumerate(sorted(images.iterdir())):
        class_folder = folder / f"class {number % 3}"
        class_folder.mkdir(parents=True, exist_ok=True)
        (class_folder / image.name).write_bytes(image.read_bytes())

    def make(*overrides: str) -> RunConfig:
        types = ["sweep.select.0.types=[Conv2d,Linear]", "sweep.select.0.channels=all"]
        return tiny(*types, f'dataset.root="{folder}"', "dataset.label=folder", *overrides)

    return make


def test_examples_are_those_of_brute_force(everything: Callable[..., RunConfig]) -> None:
    config = everything("scan.spectrum_k=3", "scan.class_k=2")
    scans, expected = scan(config), activations(config)
    for layer, known in expected.items():
        got, whole, means = scans[layer], scans[layer].whole, known.means
        for channel in range(known.maps.shape[1]):
            lists = [
                (whole.top, known.best(known.spatial_maximum, channel, 4, sign=1), known.spatial_maximum),
                (whole.bottom, known.best(known.spatial_minimum, channel, 3, sign=-1), known.spatial_minimum),
                (whole.top_mean, known.best(means.astype(np.float32), channel, 4, sign=1), means),
                (whole.bottom_mean, known.best(means.astype(np.float32), channel, 4, sign=-1), means),
                (whole.classes.best, known.best_classes(channel, 2), known.spatial_maximum),
            ]
            for best, ids, values in lists:
                examples = got.examples(best, channel)
                assert [example["example_id"] for example in examples] == ids
                for example in examples:
                    number = known.ids.index(example["example_id"])
                    if values is means:  # summed in float32, in blocks
                        assert example["value"] == pytest.approx(values[number, channel], rel=1e-6, abs=1e-6)
                    else:
                        assert example["value"] == pytest.approx(values[number, channel], abs=ROUNDING[layer])
                    extremes = known.spatial_minimum if best is whole.bottom else known.spatial_maximum
                    there = known.maps[number, channel, example["row"], example["column"]]
                    assert there == extremes[number, channel]


def test_statistics_are_those_of_brute_force(everything: Callable[..., RunConfig]) -> None:
    config = everything()
    scans, expected = scan(config), activations(config)
    for layer, known in expected.items():
        got = scans[layer]
        for channel in range(known.maps.shape[1]):
            statistics, values = got[channel], known.maps[:, channel].astype(np.float64)
            assert statistics.count == 12
            assert statistics.mean == pytest.approx(values.mean(), rel=1e-6, abs=1e-6)
            assert statistics.variance == pytest.approx(values.var(), rel=1e-6, abs=1e-10)
            assert statistics.minimum == pytest.approx(values.min(), abs=ROUNDING[layer])
            assert statistics.maximum == pytest.approx(values.max(), abs=ROUNDING[layer])
            assert statistics.dead == (values.min() == values.max())
            for numbers, over in (
                (got.spatial_maximum(channel), known.spatial_maximum[:, channel]),
                (got.spatial_mean(channel), known.means[:, channel].astype(np.float32)),
            ):
                exact = over.astype(np.float64)
                assert numbers["mean"] == pytest.approx(exact.mean(), **APPROXIMATELY)
                assert numbers["variance"] == pytest.approx(exact.var(), rel=1e-6, abs=1e-12)
                assert numbers["minimum"] == pytest.approx(over.min(), rel=1e-6, abs=1e-6)
                assert numbers["maximum"] == pytest.approx(over.max(), rel=1e-6, abs=1e-6)
                assert numbers["fraction_active"] == np.mean(over > 0)
                assert numbers["fraction_above_noise"] == np.mean(over > got.noise_floor)
                expected_quantiles = pytest.approx(np.quantile(exact, QUANTILES), rel=1e-6, abs=1e-6)
                assert [q["value"] for q in numbers["quantiles"]] == expected_quantiles
                assert sum(bucket["count"] for bucket in numbers["histogram"]) == 12
                for bucket in numbers["histogram"]:
                    inside = (over >= bucket["low"] - 1e-6) & (over <= bucket["high"] + 1e-6)
                    assert bucket["count"] <= inside.sum()
                if statistics.dead:
                    assert numbers["skewness"] is None
                else:
                    assert numbers["skewness"] == pytest.approx(skewness(over), rel=1e-5, abs=1e-6)
            assert got.selectivity(channel) == (
                None if statistics.dead else pytest.approx(known.selectivity(channel), rel=1e-5, abs=1e-6)
            )
            means, classes = known.class_means(channel), got.classes
            assert classes is not None
            for label, total in zip(classes.labels, classes.maximum_sums[:, channel], strict=True):
                of_label = known.spatial_maximum[np.array(known.labels) == label, channel]
                assert total == of_label.sum(dtype=np.float64)
            assert {row["label"]: row["count"] for row in got.best_classes(channel)} == dict.fromkeys(means, 4)
            for row in got.best_classes(channel):
                assert row["mean"] == pytest.approx(means[row["label"]], rel=1e-5, abs=1e-6)


def test_channels_that_move_together_are_those_of_brute_force(everything: Callable[..., RunConfig]) -> None:
    config = everything()
    scans, expected = scan(config), activations(config)
    for layer, known in expected.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            correlations = np.corrcoef(known.means.T)
        for channel in range(known.maps.shape[1]):
            row = correlations[channel].copy()
            row[channel] = np.nan
            partners = scans[layer].partners(channel)
            assert [partner["channel"] for partner in partners] == np.argsort(-row)[: np.isfinite(row).sum()][
                :5
            ].tolist()
            for partner in partners:
                assert partner["correlation"] == pytest.approx(row[partner["channel"]], abs=1e-5)


def test_the_sample_holds_the_outputs_of_the_layers(everything: Callable[..., RunConfig]) -> None:
    config = everything("scan.sample=5")
    scans, expected = scan(config), activations(config)
    store = Store.open(config.store.root)
    for layer, known in expected.items():
        sample, channels = scans[layer].sample, known.maps.shape[1]
        numbers = [known.ids.index(name) for name in sample.ids]
        assert 5 <= len(numbers) <= 6
        np.testing.assert_allclose(sample.spatial_maximum, known.spatial_maximum[numbers], atol=ROUNDING[layer])
        np.testing.assert_allclose(sample.spatial_mean, known.means[numbers], **SUMS)
        row, column = scans[layer].layer.centre
        np.testing.assert_allclose(sample.centre, known.maps[numbers, :, row, column], atol=ROUNDING[layer])
        rows = {}
        for path in store.list(SAMPLES):
            names = ["example_id", "row", "column", "vector", "label"]
            shard = read_columns(store, path, names, layer_index=scans[layer].layer.index)
            vectors = shard["vector"].values.reshape(-1, channels)
            columns = (shard["example_id"], shard["row"], shard["column"], vectors, shard["label"])
            rows |= {name: values for name, *values in zip(*columns, strict=True)}
        assert set(rows) == set(sample.ids)
        for name, (row, column, vector, label) in rows.items():
            number, (height, width) = known.ids.index(name), known.maps.shape[2:]
            assert (row, column) == position_of(name, height, width)
            assert label == known.labels[number]
            if height > 2:
                assert 0 < row < height - 1
                assert 0 < column < width - 1
            np.testing.assert_allclose(vector, known.maps[number, :, row, column].astype(np.float16), rtol=2e-3)


def test_a_channel_below_zero_has_real_top_examples(everything: Callable[..., RunConfig]) -> None:
    top = scan(everything())["conv2"][3].top
    assert len(top) == 4
    assert all(example["value"] < 0 for example in top)


@pytest.mark.parametrize(
    "overrides",
    [["scan.batch=1"], ["scan.batch=64"], ["scan.span=64"], ["scan.span=1"], ["scan.span=3", "backwards"]],
)
def test_batches_spans_and_order_change_nothing(
    everything: Callable[..., RunConfig], overrides: list[str], tmp_path: Path
) -> None:
    backwards = "backwards" in overrides
    settings = [override for override in overrides if override != "backwards"]
    before = scan(everything(f"store.root={tmp_path}/before"))
    after = scan(everything(f"store.root={tmp_path}/after", *settings), backwards=backwards)
    for layer in before:
        first, second, rounding = before[layer].whole, after[layer].whole, {"rtol": 0, "atol": ROUNDING[layer]}
        for name in ("top", "bottom", "top_mean", "bottom_mean"):
            np.testing.assert_array_equal(getattr(first, name).numbers, getattr(second, name).numbers)
            np.testing.assert_array_equal(getattr(first, name).at, getattr(second, name).at)
            np.testing.assert_allclose(getattr(first, name).values, getattr(second, name).values, **rounding)
        np.testing.assert_array_equal(first.classes.best.numbers, second.classes.best.numbers)
        np.testing.assert_allclose(first.variance, second.variance, rtol=1e-6, atol=1e-12)
        for name in ("counts", "sums", "maximum_sums"):
            np.testing.assert_allclose(*(getattr(part[layer].classes, name) for part in (before, after)), **SUMS)
        for kind in ("spatial_maximum", "spatial_mean"):
            for name in ("mean", "variance", "skewness"):
                values = [getattr(getattr(whole, kind), name) for whole in (first, second)]
                np.testing.assert_allclose(*values, rtol=1e-6, atol=1e-6)
        for name in ("spatial_mean", "spatial_maximum", "spatial_maximum_at", "centre"):
            samples = [getattr(part[layer].sample, name) for part in (before, after)]
            np.testing.assert_allclose(*samples, **rounding)


def test_the_sample_is_the_same_for_all_channels_and_at_most_a_fifth_larger_than_asked(
    everything: Callable[..., RunConfig],
) -> None:
    scans = scan(everything("scan.sample=5"))
    assert len({layer.sample.ids for layer in scans.values()}) == 1
    sizes = {len(channel.sample_spatial_mean) for layer in scans.values() for channel in layer.values()}
    assert sizes in ({5}, {6})


def test_unreadable_images_are_counted_named_and_left_out(
    everything: Callable[..., RunConfig], tmp_path: Path, images: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number, image in enumerate(sorted(images.iterdir())[:6]):
        (folder / image.name).write_bytes(image.read_bytes() if number != 2 else b"")
    (folder / "torn <script>.png").write_bytes(sorted(images.iterdir())[0].read_bytes()[:60])
    config = everything(f'dataset.root="{folder}"')
    prepared = prepare(config)
    worker = ScanWorker(prepared.config, threads=1)
    receipts = [worker.run(task) for task in prepared.plan.scan_tasks(set())]
    assert sum(receipt.unreadable for receipt in receipts) == 2
    store = Store.open(config.store.root)
    failures = [row for path in store.list("failures/images") for row in read_rows(store, path)]
    assert {row["example_id"] for row in failures} == {sorted(images.iterdir())[2].name, "torn <script>.png"}
    assert all(row["reason"] for row in failures)
    assert merged(config, receipts)["conv1"][0].count == 5


def test_a_span_without_a_readable_image_merges_as_nothing(
    everything: Callable[..., RunConfig], tmp_path: Path, images: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "0.png").write_bytes(b"")
    (folder / "1.png").write_bytes(sorted(images.iterdir())[0].read_bytes())
    scans = scan(everything(f'dataset.root="{folder}"', "scan.span=1"))
    assert scans["conv1"][0].count == 1
    assert np.isfinite(scans["conv1"][0].variance)


def test_a_layer_already_scanned_is_not_scanned_again(everything: Callable[..., RunConfig]) -> None:
    prepared = prepare(everything())
    task = prepared.plan.scan_tasks(set())[0]
    some = replace(task, layers=task.layers[:1], layer_keys=task.keys[:1])
    assert isinstance(some, ScanTask)
    receipt = ScanWorker(prepared.config, threads=1).run(some)
    rows = read_rows(prepared.store, receipt.files[0].path)
    assert {row["layer"] for row in rows} == {task.layers[0].name}
    other = {*prepared.plan.scan_keys, *prepared.plan.statistics_keys} - {*task.keys, task.statistics_key}
    (left,) = prepared.plan.scan_tasks(other | {*receipt.keys})
    assert left.layers == task.layers[1:]
    assert left.statistics_key == ""  # the images were looked at already
