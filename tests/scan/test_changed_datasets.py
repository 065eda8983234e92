"""A dataset to which images come, from which they go, or in which they change: what is scanned again is the same bits.

The reference is a scan of the new dataset in a fresh root. Files are named by their content, so equal names are equal
numbers.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import quietly
from example_shards import png, write_tar

from network_atlas.analysis.atlas import open_atlas
from network_atlas.config.schema import RunConfig
from network_atlas.run.inputs import scanned_files
from network_atlas.run.prepare import prepare
from network_atlas.scan.worker import ScanWorker
from network_atlas.store.manifest import latest
from network_atlas.store.results import what_is_done
from network_atlas.store.root import Store

Tiny = Callable[..., RunConfig]
Images = dict[str, bytes]

BEFORE: Images = {f"cat/{number:03d}.png": png(number) for number in range(0, 100, 5)}
BEFORE |= {f"dog/{number:03d}.png": png(number + 1) for number in range(0, 100, 5)}
INSERTED, REMOVED, REPLACED = "cat/041.png", "dog/050.png", "cat/075.png"
AFTER: Images = {**BEFORE, INSERTED: png(900), REPLACED: png(901) + b"\0"}
del AFTER[REMOVED]
CHANGES: dict[str, Images] = {
    "inserted": BEFORE | {INSERTED: AFTER[INSERTED]},
    "removed": {name: data for name, data in BEFORE.items() if name != REMOVED},
    "replaced": BEFORE | {REPLACED: AFTER[REPLACED]},
}
SPAN = "scan.span=3"


def as_folder(root: Path, images: Mapping[str, bytes]) -> tuple[str, ...]:
    shutil.rmtree(root, ignore_errors=True)
    for name, data in images.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return ("dataset=folder", f'dataset.root="{root}"')


def as_list(root: Path, images: Mapping[str, bytes]) -> tuple[str, ...]:
    words = as_folder(root, BEFORE | AFTER | images)
    (root / "only.txt").write_text("\n".join(images))
    return (*words, f'dataset.only="{root}/only.txt"')


def as_tars(root: Path, images: Mapping[str, bytes]) -> tuple[str, ...]:
    names = sorted(images, reverse=True)
    for number in range(2):
        write_tar(root / f"{number}.tar", [(name, images[name]) for name in names[number::2]])
    return ("dataset=tar", f'dataset.root="{root}"', "dataset.label=folder")


def as_parquet(root: Path, images: Mapping[str, bytes]) -> tuple[str, ...]:
    root.mkdir(parents=True, exist_ok=True)
    rows = [{"image": {"bytes": data, "path": name}, "kind": name[:3]} for name, data in images.items()]
    pq.write_table(pa.Table.from_pylist(rows), root / "all.parquet")
    labels = ("dataset.label=column", "+dataset.label_column=kind")
    return ("dataset=parquet", f'dataset.root="{root}"', *labels, "+dataset.ids=content")


def scanned(config: RunConfig) -> tuple[int, list[tuple[str, ...]]]:
    """Scan what is missing; return how many spans that were, and the files of each layer and of the statistics."""
    prepared = prepare(config, measured=False)
    tasks = prepared.plan.scan_tasks(what_is_done(prepared.store).scan)
    worker = ScanWorker(prepared.config, threads=1)
    for task in tasks:
        worker.run(task)
    done = what_is_done(prepared.store).scan
    keys = [layer.scan_keys for layer in prepared.plan.layers]
    files = [scanned_files(done[key] for key in of_layer) for of_layer in keys]
    images = tuple(
        file.path
        for key in prepared.plan.statistics_keys
        for file in done[key].files
        if file.path.startswith("scan/dataset/")
    )
    return len(tasks), [*files, images]


@pytest.mark.parametrize("change", CHANGES)
def test_one_image_costs_about_one_span_and_gives_the_numbers_of_a_fresh_scan(
    tiny: Tiny, tmp_path: Path, change: str
) -> None:
    words = as_folder(tmp_path / "images", BEFORE)
    whole, _ = scanned(tiny(SPAN, *words))
    as_folder(tmp_path / "images", CHANGES[change])
    spans, files = scanned(tiny(SPAN, *words))
    fresh, expected = scanned(tiny(SPAN, *words, root=tmp_path / "fresh"))
    assert files == expected
    assert min(whole, fresh) >= 10
    assert 1 <= spans <= 2


@pytest.mark.parametrize("write", [as_list, as_tars, as_parquet])
def test_three_changed_images_cost_about_three_spans_in_every_kind_of_dataset(
    tiny: Tiny, tmp_path: Path, write: Callable[[Path, Images], tuple[str, ...]]
) -> None:
    scanned(tiny(SPAN, *write(tmp_path / "images", BEFORE)))
    after = AFTER if write is not as_list else {name: data for name, data in AFTER.items() if name != REPLACED}
    words = write(tmp_path / "images", after)
    spans, files = scanned(tiny(SPAN, *words))
    fresh, expected = scanned(tiny(SPAN, *words, root=tmp_path / "fresh"))
    assert files == expected
    assert fresh >= 10
    assert 2 <= spans <= 5


def test_an_atlas_of_a_changed_dataset_has_the_tables_of_a_fresh_one(tiny: Tiny, tmp_path: Path) -> None:
    little = (
        SPAN,
        "sweep.select.0.include=[conv2]",
        'sweep.select.0.channels="0:2"',
        "optimize.steps=1",
        "scan.sample=20",
    )
    words = (*little, *as_folder(tmp_path / "images", BEFORE))
    quietly(tiny(*words))
    as_folder(tmp_path / "images", AFTER)
    roots = [tmp_path / "atlas", tmp_path / "fresh"]
    for root in roots:
        quietly(tiny(*words, "store.allow_changes=true", root=root))
    manifests = [latest(Store.open(str(root))) for root in roots]
    folders = ("tables/", "scan/", "examples/", "activation_samples/", "statistics/")
    changed, fresh = (
        {file.path for file in manifest.files if file.path.startswith(folders)} for manifest in manifests if manifest
    )
    assert changed == fresh
    examples = open_atlas(str(roots[0])).table("examples")
    assert examples["example_id"].to_pylist() == sorted(AFTER)
    assert examples["number"].to_pylist() == list(range(len(AFTER)))
