"""Old snapshots go, with what only they use; kept ones stay whole, also after a kill at any step."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import quietly
from crashing import STOPPED, Crashing, prune_to_one
from forked import Forking

from network_atlas import open_atlas
from network_atlas.cli.main import main
from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError, CorruptShardError, StoreError
from network_atlas.store import schemas
from network_atlas.store.lease import Lease
from network_atlas.store.manifest import Manifest, numbers, publish, read_manifest
from network_atlas.store.prune import ORPHAN_SECONDS, plan_prune, prune
from network_atlas.store.receipts import Receipt, commit, read_receipts
from network_atlas.store.results import ITEMS_FILE
from network_atlas.store.root import Store
from network_atlas.store.shards import FileEntry, put_shard, put_table

EVERY = {"stop": 2, "error": 7}
"""Steps from one failure to the next, for each kind of failure; with --exhaustive every step is tried."""
SCHEMA = pa.schema([("key", pa.string())])


def shard(store: Store, name: str) -> FileEntry:
    return put_shard(store, "visualizations/layer_slug=0000-conv1", [{"key": name}], SCHEMA)


def made(store: Store, names: Sequence[str]) -> dict[str, FileEntry]:
    """Commit a result for each name, in a shard of its own."""
    files = {name: shard(store, name) for name in names}
    for name, file in files.items():
        commit(store, Receipt(stage="optimize", task=name, keys=(name,), files=(file,), seconds=1.0))
    return files


def published(store: Store, files: dict[str, FileEntry], names: str) -> Manifest:
    entries = tuple(files[name] for name in names)
    return publish(store, Manifest(created="now", version="1", config={}, upstream={}, files=entries))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root of three snapshots: results a, b; then b, c; then c, d. The last run also planned p, and e has no user."""
    folder = tmp_path / "root"
    store = Store.open(str(folder))
    files = made(store, "abcdep")
    for names in ("ab", "bc", "cd"):
        published(store, files, names)
    item = dict.fromkeys(schemas.ITEMS.names) | {"stage": "optimize"}
    put_table(store, ITEMS_FILE, [item | {"key": key} for key in "cdp"], schemas.ITEMS)
    return folder


def there(root: Path) -> dict[str, list[str]]:
    """Return the names of the results that are there, and of those that have a receipt."""
    store = Store.open(str(root))
    names = {shard(Store.open(str(root.parent / "names")), name).path: name for name in "abcdepxy"}
    return {
        "files": sorted(names[path] for path in store.list("visualizations")),
        "receipts": [receipt.task for receipt in read_receipts(store, "optimize")],
        "snapshots": [str(number) for number in numbers(store)],
    }


def check_listed_snapshots_are_whole(root: Path) -> None:
    store = Store.open(str(root))
    for number in numbers(store):
        assert all(store.size(file.path) == file.size_bytes for file in read_manifest(store, number).files)


@pytest.mark.parametrize(
    ("keep", "left", "snapshots"),
    [(1, "cdep", ["3"]), (2, "bcdep", ["2", "3"]), (3, "abcdep", ["1", "2", "3"]), (9, "abcdep", ["1", "2", "3"])],
)
def test_what_a_kept_snapshot_the_last_plan_or_a_receipt_alone_names_stays(
    root: Path, keep: int, left: str, snapshots: list[str]
) -> None:
    before, store = there(root), Store.open(str(root))
    plan = plan_prune(store, keep=keep)
    assert there(root) == before
    prune(store, plan)
    assert there(root) == {"files": list(left), "receipts": list(left), "snapshots": snapshots}
    assert plan.size_bytes == shard(store, "a").size_bytes * (6 - len(left))
    check_listed_snapshots_are_whole(root)
    assert plan_prune(store, keep=keep).removed == ()


def test_the_newest_snapshot_keeps_its_number(root: Path) -> None:
    store = Store.open(str(root))
    prune(store, plan_prune(store, keep=1))
    assert published(store, made(store, "cx"), "cx").number == 4


def test_files_that_nothing_names_go_once_they_are_a_day_old(root: Path) -> None:
    store = Store.open(str(root))
    old, young = shard(store, "x"), shard(store, "y")
    (root / "visualizations" / "mine.parquet").write_bytes(b"not ours")
    for path in (root / old.path, root / "visualizations" / "mine.parquet"):
        os.utime(path, (time.time() - ORPHAN_SECONDS - 10,) * 2)
    plan = plan_prune(store, keep=3)
    assert (plan.orphans, plan.files) == ((old.path,), ())
    prune(store, plan)
    assert not store.exists(old.path)
    assert store.exists(young.path)
    assert store.exists("visualizations/mine.parquet")


def test_a_damaged_manifest_stops_it(root: Path) -> None:
    (root / "manifests" / "00002.json").write_text("{")
    for keep in (1, 2):
        with pytest.raises(CorruptShardError, match=r"00002\.json.*not a whole manifest"):
            plan_prune(Store.open(str(root)), keep=keep)
    with pytest.raises(ConfigError, match="--keep=0: give the number"):
        plan_prune(Store.open(str(root)), keep=0)


@pytest.mark.parametrize("how", ["stop", "error"])
def test_a_failure_at_any_step_harms_no_listed_snapshot_and_the_same_command_goes_on(
    forking: Forking, root: Path, tmp_path: Path, how: str, exhaustive: bool
) -> None:
    crashing = Crashing(forking, tmp_path, "prune")
    undisturbed = Path(shutil.copytree(root, tmp_path / "undisturbed"))
    steps = crashing.work(undisturbed).steps
    assert len(steps) > 20
    for step in range(1, len(steps) + 1, 1 if exhaustive else EVERY[how]):
        other = Path(shutil.copytree(root, tmp_path / str(step)))
        ended = crashing.work(other, fail_at=step, how=how)
        assert ended.code in ((STOPPED,) if how == "stop" else (0, 1)), ended.output
        check_listed_snapshots_are_whole(other)
        # What is left of a removed snapshot may be used by the next one, also before the removal goes on.
        again = published(Store.open(str(other)), made(Store.open(str(other)), "ad"), "ad")
        prune_to_one(str(other))
        check_listed_snapshots_are_whole(other)
        left = list("acdep")
        assert there(other) == {"files": left, "receipts": left, "snapshots": [str(again.number)]}, steps[step - 1]
        assert not (other / "pruning").exists()


def test_a_pruned_atlas_reads_as_before_and_a_run_finds_everything(
    retrained: Path, tiny: Callable[..., RunConfig], retrained_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = open_atlas(str(retrained))
    tables = {name: before.table(name) for name in before.tables}
    size = sum(path.stat().st_size for path in retrained.rglob("part-*"))
    assert main(["prune", str(retrained), "--keep", "1"]) == 0
    assert "nothing was removed" in capsys.readouterr().out
    assert [path.name for path in (retrained / "manifests").iterdir()] != ["00002.json"]
    assert main(["prune", str(retrained), "--keep", "1", "--yes"]) == 0
    assert "removed   1 snapshot: 1;" in capsys.readouterr().out
    after = open_atlas(str(retrained))
    assert (after.number, numbers(after.store)) == (2, [2])
    assert all(after.table(name).equals(table) for name, table in tables.items())
    assert sum(path.stat().st_size for path in retrained.rglob("part-*")) < size
    weights = retrained_root.parent / "weights.pth"
    assert quietly(tiny(f'model.weights="{weights}"')).manifest == after.manifest
    assert not any(path.name == "lease.json" for path in retrained.iterdir())


def test_it_is_refused_while_a_run_works_on_the_root(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Lease(Store.open(str(root))):
        assert main(["prune", str(root), "--keep", "1", "--yes"]) == 1
        assert main(["prune", str(root), "--keep", "1"]) == 0  # which changes nothing
    assert "is being worked on by process" in capsys.readouterr().err
    check_listed_snapshots_are_whole(root)
    assert there(root)["snapshots"] == ["1", "2", "3"]


def test_a_root_without_snapshots_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has no snapshot"):
        plan_prune(Store.open(str(tmp_path / "mistyped")), keep=2)


def test_images_of_examples_stay_while_a_snapshot_lists_them(finished: Path, tiny: Callable[..., RunConfig]) -> None:
    store = Store.open(str(finished))
    before = set(store.list("site/examples"))
    assert before <= {file.path for file in read_manifest(store, 1).files}
    quietly(tiny("assemble.image_px=16"))
    assert before < set(store.list("site/examples"))
    with Lease(store):
        prune(store, plan_prune(store, keep=1))
    after = set(store.list("site/examples"))
    assert after
    assert after.isdisjoint(before)
