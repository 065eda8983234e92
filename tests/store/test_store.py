from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from network_atlas.errors import CorruptShardError, StoreError
from network_atlas.store import scan_schemas, schemas
from network_atlas.store.manifest import Manifest, encoded, latest, publish
from network_atlas.store.receipts import Receipt, commit, read_receipts, receipts_by_key
from network_atlas.store.root import Store
from network_atlas.store.shards import encode, entry_for, put_shard, read_first_rows, read_rows

PICTURE_BYTES = 300_000


def visualization(channel: int, *, size_bytes: int = 100, layer_index: int = 3) -> dict[str, object]:
    return dict.fromkeys(schemas.VISUALIZATIONS.names) | {
        "layer_index": layer_index,
        "layer": f"layer{layer_index}",
        "channel": channel,
        "unit": f"layer{layer_index}:{channel}",
        "key": f"key-{channel}",
        "variant": "channel+",
        "objective": "channel",
        "recipe": "",
        "image": {"bytes": os.urandom(size_bytes), "path": None},
        "opacity": None,
        "score": 1.5,
        "steps": 4,
        "depth": "middle",
        "curve": [{"step": 4, "score": 1.0}],
        "seed": 0,
        "attempt": 1,
        "start": "noise",
        "before_activation": False,
        "status": "ok",
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "root"))


def test_written_rows_are_read_back_unchanged_and_sorted(store: Store) -> None:
    rows = [visualization(channel) for channel in (5, 1, 3)]
    entry = put_shard(store, "visualizations", rows, schemas.VISUALIZATIONS, sorted_by=("layer_index", "channel"))
    assert read_rows(store, entry.path) == sorted(rows, key=lambda row: row["channel"])


def test_a_shard_is_named_by_its_content(store: Store) -> None:
    rows = [visualization(1)]
    first = put_shard(store, "x", rows, schemas.VISUALIZATIONS)
    again = put_shard(store, "x", rows, schemas.VISUALIZATIONS)
    other = put_shard(store, "x", [visualization(1)], schemas.VISUALIZATIONS)
    assert first == again
    assert other.path != first.path
    assert len(store.list("x")) == 2


def test_image_bytes_are_plain_and_row_groups_small(store: Store, tmp_path: Path) -> None:
    rows = [visualization(channel, size_bytes=PICTURE_BYTES) for channel in range(60)]
    entry = put_shard(store, "x", rows, schemas.VISUALIZATIONS)
    metadata = pq.read_metadata(tmp_path / "root" / entry.path)
    assert metadata.num_row_groups >= 3
    group = metadata.row_group(0)
    assert group.total_byte_size < 8_000_000
    columns = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
    image = columns["image.bytes"]
    assert image.compression == "UNCOMPRESSED"
    assert not image.is_stats_set
    assert columns["channel"].compression == "ZSTD"
    assert columns["channel"].is_stats_set
    assert columns["channel"].has_offset_index


def test_only_the_requested_layer_is_read(store: Store) -> None:
    rows = [visualization(channel, layer_index=index) for index in (1, 2) for channel in range(3)]
    entry = put_shard(store, "x", rows, schemas.VISUALIZATIONS, sorted_by=("layer_index",))
    assert {row["layer_index"] for row in read_rows(store, entry.path, layer_index=2)} == {2}
    assert len(read_first_rows(store, entry.path, 2, columns=["channel"])) == 2


def test_every_field_explains_itself_and_every_schema_has_a_version() -> None:
    values = [*vars(schemas).values(), *vars(scan_schemas).values()]
    tables = [value for value in values if isinstance(value, pa.Schema)]
    assert len(tables) == 14
    for schema in tables:
        assert schema.metadata[b"atlas.schema"]
        assert schema.metadata[b"atlas.version"]
        for name in schema.names:
            assert schema.field(name).metadata[b"description"], name


def test_an_empty_table_can_be_written(store: Store) -> None:
    entry = put_shard(store, "x", [], schemas.ATLAS, sorted_by=("channel",))
    assert read_rows(store, entry.path) == []


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_truncated_file_is_an_error_that_names_it(store: Store, tmp_path: Path, cut: int) -> None:
    entry = put_shard(store, "x", [visualization(1)], schemas.VISUALIZATIONS)
    path = tmp_path / "root" / entry.path
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CorruptShardError, match=entry.path):
        read_rows(store, entry.path)


def test_a_failed_write_leaves_no_file(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="no space left on device"):
        store.write("atlas/x.parquet", b"data")
    assert store.list("") == []
    assert not (tmp_path / "root" / "atlas" / "x.parquet").exists()


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "free space there and run the same command again"),
        (errno.EROFS, "mount it for writing again and run the same command again"),
        (errno.EACCES, "let this user write there and run the same command again"),
        (errno.ENOTDIR, "fix this and run the same command again"),
    ],
)
def test_a_failure_of_the_root_is_named_with_its_fix(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, fix: str
) -> None:
    def failing(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StoreError, match=f"'x' under store.root='{store.root}': {os.strerror(number).lower()}.*{fix}"):
        store.write("x", b"1")


def test_an_unwritable_root_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="file/root"):
        Store.open(str(tmp_path / "file" / "root")).write("x", b"")


def test_an_unknown_filesystem_is_a_clear_error() -> None:
    with pytest.raises(StoreError, match="s3://bucket"):
        Store.open("nonsense://bucket/atlas")


def test_staging_is_outside_tables_and_only_old_files_are_cleared(store: Store, tmp_path: Path) -> None:
    staging = tmp_path / "root" / ".staging"
    (staging / "a-folder").mkdir(parents=True)
    for name in ("left-by-a-kill", "being-written"):
        (staging / name).write_bytes(b"half")
    os.utime(staging / "left-by-a-kill", (0, 0))
    store.clear_staging()
    assert sorted(path.name for path in staging.iterdir()) == ["a-folder", "being-written"]
    store.write("a/b", b"1")
    assert "a/b" in store.list("")


def test_a_file_as_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        Store.open(str(tmp_path / "file"))


def test_a_name_that_no_file_can_have_is_not_there(store: Store) -> None:
    assert store.size("a" * 300) is None
    assert not store.exists("a/" * 5000)


def test_a_store_works_on_other_filesystems(tmp_path: Path) -> None:
    store = Store.open((tmp_path / "by-uri").as_uri())
    store.write("deep/down/file", b"data")
    assert store.read("deep/down/file") == b"data"
    assert store.list("deep") == ["deep/down/file"]
    assert store.size("deep/down/file") == 4
    assert not store.exists("nothing")
    assert store.list("nothing") == []


def test_receipts_are_read_back_with_the_keys_that_are_done(store: Store) -> None:
    file = entry_for("x/part.parquet", b"data", 2)
    receipt = commit(store, Receipt(stage="scan", task="t1", keys=("a", "b"), files=(file,), seconds=1.0))
    assert read_receipts(store, "scan") == [receipt]
    assert receipts_by_key(read_receipts(store, "scan")) == {"a": receipt, "b": receipt}
    assert read_receipts(store, "optimize") == []


@pytest.mark.parametrize("content", [b"{", b"5", b"[]", b"{}", b"\xff"])
def test_a_damaged_receipt_counts_as_missing_and_is_named(
    store: Store, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store.write("receipts/scan/t1.json", content)
    assert read_receipts(store, "scan") == []
    assert "receipts/scan/t1.json" in caplog.text


def test_manifests_are_numbered_and_unchanged_snapshots_are_not_published_again(store: Store) -> None:
    file = entry_for("x", b"1", 1)

    def snapshot(config: dict[str, object], created: str) -> int:
        made = Manifest(created=created, version="1", config=config, upstream={"layer": "hash"}, files=(file,))
        return publish(store, made).number

    assert latest(store) is None
    assert snapshot({"a": 1}, "monday") == 1
    assert snapshot({"a": 1}, "tuesday") == 1
    assert snapshot({"a": 2}, "tuesday") == 2
    newest = latest(store)
    assert newest is not None
    assert (newest.number, newest.config, newest.files) == (2, {"a": 2}, (file,))
    assert json.loads(store.read("manifests/00001.json"))["created"] == "monday"


def test_the_highest_manifest_wins_beyond_five_digits(store: Store) -> None:
    for number in (99_999, 100_000):
        manifest = Manifest(number=number, created="", version="1", config={}, upstream={}, files=())
        store.write(f"manifests/{number:05d}.json", encoded(manifest))
    newest = latest(store)
    assert newest is not None
    assert newest.number == 100_000


def test_encoding_refuses_rows_that_do_not_fit_the_schema() -> None:
    with pytest.raises(Exception, match=r"int32|Int|integer|convert"):
        encode([dict.fromkeys(schemas.ATLAS.names) | {"channel": "seven"}], schemas.ATLAS)


def test_a_row_without_one_of_the_columns_is_refused_and_so_is_one_with_another() -> None:
    whole = dict.fromkeys(scan_schemas.FAILURES.names, "a.png")
    assert encode([whole], scan_schemas.FAILURES)
    with pytest.raises(ValueError, match="row 1 of 'failures' lacks reason; fill every column"):
        encode([whole, {"example_id": "b.png"}], scan_schemas.FAILURES)
    with pytest.raises(ValueError, match="row 0 of 'failures' has the unknown when;"):
        encode([whole | {"when": "now"}], scan_schemas.FAILURES)
