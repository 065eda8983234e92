"""What a snapshot changed, said from two manifests; and second names for files."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from network_atlas.store.changes import changes, own_bytes
from network_atlas.store.manifest import Manifest, ScanGroup
from network_atlas.store.root import Store
from network_atlas.store.shards import FileEntry


def file(path: str, *, size: int = 10, rows: int = 1) -> FileEntry:
    return FileEntry(path=path, size_bytes=size, sha256="", rows=rows)


FIRST = Manifest(
    number=1,
    created="",
    version="0.1",
    config={"optimize.steps": 4, "model.weights": "a"},
    upstream={"conv1": "x", "conv2": "y"},
    files=(file("examples/1"), file("visualizations/1", rows=6)),
    scans=(ScanGroup(layers=("conv1", "conv2"), files=("scan/partials/1", "examples/1")),),
)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"upstream": {"conv1": "x", "conv2": "z"}}, "conv2 recomputed (1 of 2 layers)"),
        ({"upstream": {"conv1": "x", "fc": "z"}}, "fc added; conv2 removed"),
        ({"config": {"optimize.steps": 5, "model.weights": "a"}}, "settings: optimize.steps"),
        ({"config": {"model.weights": "a", "new": None}}, "settings: new, optimize.steps"),
        ({"config": {**FIRST.config, "optimize.coarse": 0.5, "dataset.views": 1}, "version": "0.2"},
         "network-atlas 0.1 -> 0.2"),  # settings that 0.1 did not know
        ({"version": "0.2"}, "network-atlas 0.1 -> 0.2"),
        ({"files": (file("examples/2"), file("visualizations/1", rows=6))},
         "other examples, or the same in other spans"),
        ({"files": (*FIRST.files, file("visualizations/2", rows=2))}, "2 pictures in new files"),
        ({"files": (*FIRST.files, file("tables/atlas/1"))}, "tables only"),
        ({"scans": (ScanGroup(layers=("conv1", "conv2"), files=("scan/partials/2", "examples/1")),)},
         "conv1, conv2 scanned again, with other results"),
        ({"upstream": {f"conv{number}": "" for number in range(1, 6)}},
         "conv1, conv2 recomputed (2 of 5 layers); conv3, conv4, conv5 added"),
    ],
)  # fmt: skip
def test_changes_are_said_in_words(changed: dict[str, object], words: str) -> None:
    assert changes(FIRST, replace(FIRST, **changed)).in_words == words  # type: ignore[arg-type]


def test_own_bytes_are_those_of_files_that_no_other_snapshot_lists() -> None:
    second = replace(FIRST, number=2, files=(FIRST.files[0], file("visualizations/2", size=7), file("x", size=1)))
    assert own_bytes([FIRST, second]) == {1: 10, 2: 8}


def test_a_second_name_is_a_link_and_does_not_follow_what_replaces_the_first(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    store.write("tables/1", b"one")
    for _ in range(2):  # the second time both are one file already
        store.copy("tables/1", "atlas/table")
    assert os.path.samefile(tmp_path / "tables/1", tmp_path / "atlas/table")
    store.write("tables/2", b"two")
    store.copy("tables/2", "atlas/table")
    assert (store.read("tables/1"), store.read("atlas/table")) == (b"one", b"two")
    assert os.listdir(tmp_path / ".staging") == []


def test_without_links_a_second_name_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    store = Store.open(str(tmp_path))
    store.write("tables/1", b"one")
    store.copy("tables/1", "atlas/table")
    assert store.read("atlas/table") == b"one"
    assert not os.path.samefile(tmp_path / "tables/1", tmp_path / "atlas/table")
