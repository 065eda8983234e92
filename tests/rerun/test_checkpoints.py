"""Checkpoints are found by pattern, taken only when they are complete, and copied under the name of their content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import needs_s3, s3_bucket, uri

from network_atlas.errors import ConfigError, DatasetError
from network_atlas.rerun.checkpoints import complete, copied, list_checkpoints, remove_copies
from network_atlas.store.root import Store


def write(folder: Path, name: str, content: bytes = b"weights", *, seconds: int = 0) -> Path:
    """Write a file whose time is that many seconds after 2001."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (10**9 + seconds, 10**9 + seconds))
    return path


def names(pattern: str, marker: str = "") -> list[str]:
    return [checkpoint.name for checkpoint in list_checkpoints(pattern, marker)[0]]


def test_a_pattern_names_files_oldest_first_and_no_hidden_ones(tmp_path: Path) -> None:
    write(tmp_path, "b.ckpt", seconds=1)
    write(tmp_path, "a.ckpt", seconds=2)
    write(tmp_path, ".c.ckpt")
    write(tmp_path, "d.txt")
    assert names(f"{tmp_path}/*.ckpt") == ["b.ckpt", "a.ckpt"]
    assert names(f"{tmp_path}/a.ckpt") == ["a.ckpt"]
    assert names(f"{tmp_path}/not/there/*.ckpt") == names(f"{tmp_path}/not.ckpt") == []
    with pytest.raises(ConfigError, match=r"PATTERN 'ftp://host/x' can't be opened"):
        names("ftp://host/x")


def test_a_file_is_complete_at_the_second_look_that_shows_the_same(tmp_path: Path) -> None:
    pattern = f"{tmp_path}/*.ckpt"
    write(tmp_path, "empty.ckpt", b"")
    write(tmp_path, "whole.ckpt")
    write(tmp_path, "grows.ckpt", b"1")
    write(tmp_path, "touched.ckpt")
    before = {each.path: each for each in list_checkpoints(pattern)[0]}
    assert complete(list(before.values()), {}, frozenset()) == []
    write(tmp_path, "grows.ckpt", b"12")
    write(tmp_path, "touched.ckpt", seconds=5)
    write(tmp_path, "new.ckpt")
    assert [each.name for each in complete(list_checkpoints(pattern)[0], before, frozenset())] == ["whole.ckpt"]


@pytest.mark.parametrize("pattern", ["*.ckpt", "*"])
def test_a_marker_says_that_its_checkpoint_is_complete(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, "one.ckpt")
    write(tmp_path, "two.ckpt")
    write(tmp_path, "two.ckpt.done")
    now, marked = list_checkpoints(f"{tmp_path}/{pattern}", ".done")
    assert [each.name for each in now] == ["one.ckpt", "two.ckpt"]
    assert [each.name for each in complete(now, {}, marked)] == ["two.ckpt"]


def test_a_copy_is_named_by_its_content_and_old_ones_are_removed(tmp_path: Path) -> None:
    write(tmp_path, "epoch=1 (best).ckpt", b"first")
    (checkpoint,) = list_checkpoints(f"{tmp_path}/*.ckpt")[0]
    folder = tmp_path / "copies"
    copy = copied(checkpoint, f"{tmp_path}/*.ckpt", folder)
    assert copy.sha256 == hashlib.sha256(b"first").hexdigest()
    assert Path(copy.path).name == f"epoch_1_best_-{copy.sha256[:12]}.ckpt"
    assert Path(copy.path).read_bytes() == b"first"
    write(folder, "by hand.ckpt")
    remove_copies(folder, keep=[copy.path])
    assert len(list(folder.iterdir())) == 2
    remove_copies(folder, keep=[])
    assert [path.name for path in folder.iterdir()] == ["by hand.ckpt"]


def test_a_file_that_is_shorter_than_it_was_is_not_copied(tmp_path: Path) -> None:
    path = write(tmp_path, "a.ckpt", b"12345")
    (checkpoint,) = list_checkpoints(str(path))[0]
    path.write_bytes(b"12")
    with pytest.raises(DatasetError, match="changes: 2 bytes, and 5 listed"):
        copied(checkpoint, str(path), tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []


def write_index(folder: Path, second: bytes = b"22") -> str:
    """Write a checkpoint in two files, and return a pattern for its index."""
    write(folder, "model-1.bin", b"1")
    write(folder, "model-2.bin", second, seconds=4)
    write(folder, "config.json", b"{}")
    index = {"metadata": {}, "weight_map": {"a": "model-1.bin", "b": "model-2.bin", "c": "model-1.bin"}}
    write(folder, "model.bin.index.json", json.dumps(index).encode(), seconds=1)
    return f"{folder}/*.index.json"


def test_an_index_is_one_checkpoint_with_the_files_that_it_names(tmp_path: Path) -> None:
    pattern = write_index(tmp_path)
    (before,), _ = list_checkpoints(pattern)
    assert before.size_bytes == (tmp_path / "model.bin.index.json").stat().st_size + 3
    assert before.changed_ns == (10**9 + 4) * 10**9
    write(tmp_path, "model-2.bin", b"33", seconds=5)
    (after,), _ = list_checkpoints(pattern)
    assert complete([after], {before.path: before}, frozenset()) == []
    with pytest.raises(DatasetError, match="changes"):
        copied(before, pattern, tmp_path / "copies")


def test_the_copy_of_an_index_names_the_copies_of_its_files(tmp_path: Path) -> None:
    """So that other files behind the same index are another content, and equal ones are kept once."""
    copies = tmp_path / "copies"
    made = []
    for second in (b"22", b"33"):
        pattern = write_index(tmp_path, second)
        (checkpoint,), _ = list_checkpoints(pattern)
        made.append(copied(checkpoint, pattern, copies))
        names = json.loads(Path(made[-1].path).read_bytes())["weight_map"]
        assert [(copies / names[weight]).read_bytes() for weight in "abc"] == [b"1", second, b"1"]
        assert hashlib.sha256(Path(made[-1].path).read_bytes()).hexdigest() == made[-1].sha256
    assert made[0].sha256 != made[1].sha256
    assert len(list(copies.iterdir())) == 5
    remove_copies(copies, keep=[made[1].path])
    kept = {path.read_bytes() for path in copies.iterdir()}
    assert kept == {b"1", b"33", Path(made[1].path).read_bytes()}


def test_an_index_whose_file_is_missing_is_not_copied(tmp_path: Path) -> None:
    pattern = write_index(tmp_path)
    (tmp_path / "model-1.bin").unlink()
    (checkpoint,), _ = list_checkpoints(pattern)
    with pytest.raises(DatasetError, match=r"names the file 'model-1\.bin', which is not beside it"):
        copied(checkpoint, pattern, tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 1}', '{"weight_map": {"a": "../up.bin"}}', "\x00"])
def test_another_json_file_is_copied_as_it_is(tmp_path: Path, text: str) -> None:
    write(tmp_path, "one.json", text.encode())
    (checkpoint,), _ = list_checkpoints(f"{tmp_path}/one.json")
    assert Path(copied(checkpoint, f"{tmp_path}/one.json", tmp_path / "copies").path).read_text() == text


@pytest.fixture(scope="module")
def bucket() -> Iterator[int]:
    with s3_bucket() as port:
        yield port


@needs_s3
def test_checkpoints_on_s3_are_found_marked_and_copied(bucket: int, tmp_path: Path) -> None:
    store = Store.open(uri(bucket, "bucket/runs"))
    store.write("1.pt", b"first")
    store.write("2.pt", b"second")
    store.write("2.pt.done", b"")
    pattern = uri(bucket, "bucket/runs/*.pt")
    now, marked = list_checkpoints(pattern, ".done")
    (checkpoint,) = complete(now, {}, marked)
    assert (checkpoint.name, len(now)) == ("2.pt", 2)
    assert Path(copied(checkpoint, pattern, tmp_path).path).read_bytes() == b"second"
    store.write("parts/0.pt", b"part")
    store.write("parts/pt.index.json", b'{"weight_map": {"a": "0.pt"}}')
    pattern = uri(bucket, "bucket/runs/parts/*.json")
    (checkpoint,), _ = list_checkpoints(pattern)
    names = json.loads(Path(copied(checkpoint, pattern, tmp_path).path).read_bytes())["weight_map"]
    assert (tmp_path / names["a"]).read_bytes() == b"part"
