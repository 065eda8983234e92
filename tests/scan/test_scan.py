from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_network import build

from pipeline.config.schema import RunConfig
from pipeline.dataset import Preprocessing, open_source
from pipeline.plan.tasks import ScanTask
from pipeline.prepare import prepare
from pipeline.scan.reducers import reduce_maps
from pipeline.scan.worker import ScanWorker
from pipeline.stats.merge import ChannelScan, merge_partials
from pipeline.store.paths import Store
from pipeline.store.receipts import Receipt
from pipeline.store.shards import read_rows


def scan(config: RunConfig) -> dict[str, dict[int, ChannelScan]]:
    """Scan everything and return the merged result by layer and channel."""
    prepared = prepare(config)
    worker = ScanWorker(prepared.config, threads=1)
    receipts = [worker.run(task) for task in prepared.plan.scan_tasks(set())]
    return merged(config, prepared.plan.layers[0].layer.index, receipts, len(prepared.examples))


def merged(config: RunConfig, _: int, receipts: list[Receipt], examples: int) -> dict[str, dict[int, ChannelScan]]:
    store = Store.open(config.store.root)
    rows = [row for receipt in receipts for row in read_rows(store, receipt.files[0].path)]
    settings = {"examples": examples, "top_k": config.scan.top_k, "bottom_k": config.scan.bottom_k}
    return {
        layer: merge_partials([row for row in rows if row["layer"] == layer], **settings)
        for layer in {str(row["layer"]) for row in rows}
    }


def brute_force(config: RunConfig) -> dict[str, np.ndarray]:
    """Return all activations in memory, (examples, channels, rows, columns), computed one image at a time."""
    source, preprocessing, model = open_source(config.dataset), Preprocessing(config.model.input), build()
    mean = torch.tensor(config.model.input.mean).view(1, -1, 1, 1)
    std = torch.tensor(config.model.input.std).view(1, -1, 1, 1)
    maps: dict[str, list[np.ndarray]] = {"conv1": [], "conv2": [], "fc": []}
    for example in source.examples():
        pixels = torch.from_numpy(preprocessing.apply(source.read(example.example_id)).copy())
        x = (pixels.permute(2, 0, 1)[None].float() / 255 - mean) / std
        conv1 = model.conv1(x)
        conv2 = model.conv2(conv1.relu())
        conv3 = model.conv3(conv2.relu())
        fc = model.fc(conv3.mean(dim=(2, 3)))
        for name, value in (("conv1", conv1), ("conv2", conv2), ("fc", fc[..., None, None])):
            maps[name].append(value[0].numpy())
    return {name: np.stack(values) for name, values in maps.items()}


@pytest.fixture
def everything(tiny: Callable[..., RunConfig]) -> Callable[..., RunConfig]:
    def make(*overrides: str) -> RunConfig:
        types = "sweep.select.0.types=[Conv2d,Linear]"
        return tiny(types, "sweep.select.0.channels=all", "optimize.batch=1", *overrides)

    return make


def test_the_scan_equals_brute_force(everything: Callable[..., RunConfig]) -> None:
    config = everything()
    found, expected = scan(config), brute_force(config)
    ids = [example.example_id for example in open_source(config.dataset).examples()]
    for layer, maps in expected.items():
        for channel in range(maps.shape[1]):
            own, got = maps[:, channel], found[layer][channel]
            flat = own.reshape(len(ids), -1)
            assert got.count == 12
            assert got.mean == pytest.approx(own.mean(dtype=np.float64), rel=1e-5, abs=1e-6)
            assert got.variance == pytest.approx(own.var(dtype=np.float64), rel=1e-4, abs=1e-9)
            assert got.minimum == pytest.approx(own.min(), rel=1e-5, abs=1e-5)
            assert got.maximum == pytest.approx(own.max(), rel=1e-5, abs=1e-5)
            np.testing.assert_allclose(got.sample_mean, flat.mean(axis=1), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(got.sample_maximum, flat.max(axis=1), rtol=1e-4, atol=1e-5)
            for examples, values, best in ((got.top, flat.max(axis=1), -1), (got.bottom, flat.min(axis=1), 1)):
                order = sorted(range(12), key=lambda n, v=values, s=best: (s * round(float(v[n]), 4), ids[n]))
                listed = [example["example_id"] for example in examples]
                assert listed == [ids[n] for n in order[: len(examples)]]
                for example in examples:
                    where = own[ids.index(example["example_id"]), example["row"], example["column"]]
                    assert example["value"] == pytest.approx(where, rel=1e-5, abs=1e-5)


def test_a_channel_below_zero_has_real_top_examples(everything: Callable[..., RunConfig]) -> None:
    top = scan(everything())["conv2"][3].top
    assert len(top) == 4
    assert all(example["value"] < 0 for example in top)


@pytest.mark.parametrize("overrides", [["scan.batch=1"], ["scan.batch=64"], ["scan.span=64"], ["scan.span=1"]])
def test_batches_and_spans_change_nothing(everything: Callable[..., RunConfig], overrides: list[str]) -> None:
    before, after = scan(everything()), scan(everything(*overrides))
    for layer in before:
        for channel, one in before[layer].items():
            other = after[layer][channel]
            assert [e["example_id"] for e in one.top] == [e["example_id"] for e in other.top]
            assert [(e["row"], e["column"]) for e in one.bottom] == [(e["row"], e["column"]) for e in other.bottom]
            assert one.variance == pytest.approx(other.variance, rel=1e-5, abs=1e-9)
            assert one.mean == pytest.approx(other.mean, rel=1e-6, abs=1e-6)
            np.testing.assert_allclose(one.sample_mean, other.sample_mean, rtol=1e-5, atol=1e-6)


def test_the_sample_is_the_same_for_all_channels_and_no_larger_than_asked(
    everything: Callable[..., RunConfig],
) -> None:
    found = scan(everything("scan.sample=5"))
    assert {len(channel.sample_mean) for layer in found.values() for channel in layer.values()} == {5}


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
    assert merged(config, 0, receipts, 7)["conv1"][0].count == 5


def test_a_span_without_a_readable_image_merges_as_nothing(
    everything: Callable[..., RunConfig], tmp_path: Path, images: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "0.png").write_bytes(b"")
    (folder / "1.png").write_bytes(sorted(images.iterdir())[0].read_bytes())
    found = scan(everything(f'dataset.root="{folder}"', "scan.span=1"))
    assert found["conv1"][0].count == 1
    assert np.isfinite(found["conv1"][0].variance)


def test_reductions_are_float32_of_what_the_layer_computed() -> None:
    maps = torch.randn(2, 3, 4, 5, dtype=torch.bfloat16)
    reduced = reduce_maps(maps)
    assert reduced.peak.dtype == torch.float32
    assert torch.equal(reduced.peak, maps.float().flatten(2).amax(dim=2))


def test_a_layer_already_scanned_is_not_scanned_again(everything: Callable[..., RunConfig]) -> None:
    prepared = prepare(everything())
    task = prepared.plan.scan_tasks(set())[0]
    some = replace(task, layers=task.layers[:1], keys=task.keys[:1])
    assert isinstance(some, ScanTask)
    receipt = ScanWorker(prepared.config, threads=1).run(some)
    rows = read_rows(prepared.store, receipt.files[0].path)
    assert {row["layer"] for row in rows} == {task.layers[0].name}
    other = {*prepared.plan.scan_keys, *prepared.plan.statistics_keys} - {*task.keys, task.statistics_key}
    (left,) = prepared.plan.scan_tasks(other | {*receipt.keys})
    assert left.layers == task.layers[1:]
    assert left.statistics_key == ""  # the images were looked at already
