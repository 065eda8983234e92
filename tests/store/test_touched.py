"""A file that was edited after it was committed is noticed by its checksum, and its results are made again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import quietly

from network_atlas.config.schema import RunConfig
from network_atlas.run.basis import reasons_of
from network_atlas.run.prepare import prepare
from network_atlas.store import touched
from network_atlas.store.results import what_is_done
from network_atlas.store.root import Store

LATER = time.time() + 3600


def edit(path: Path) -> bytes:
    """Change one byte of a file in place, an hour later; return what it held."""
    before = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(len(before) // 2)
        file.write(bytes([before[len(before) // 2] ^ 1]))
    os.utime(path, (LATER, LATER))
    return before


@pytest.mark.parametrize("folder", ["visualizations", "scan/partials", "tables", "site/layers"])
def test_an_edited_file_is_made_again(finished: Path, tiny: Callable[..., RunConfig], folder: str) -> None:
    edited = next(path for path in sorted((finished / folder).rglob("*")) if path.is_file())
    before = edit(edited)
    shown = [path for path in (finished / "atlas").iterdir() if path.stat().st_mtime == pytest.approx(LATER)]
    quietly(tiny())
    assert edited.read_bytes() == before or folder == "visualizations"  # whose rows hold seconds
    assert not [path for path in shown if path.stat().st_mtime == pytest.approx(LATER)]


def test_an_edited_picture_is_named_as_the_reason(finished: Path, tiny: Callable[..., RunConfig]) -> None:
    edit(next((finished / "visualizations/layer_slug=0002-conv2").iterdir()))
    prepared = prepare(tiny(), measured=False)
    reason = reasons_of(prepared, what_is_done(prepared.store).keys)[1]
    assert (reason.state, reason.missing) == ("recomputed", ("pictures",))
    assert "missing or damaged" in reason.text


def test_an_edited_file_is_said_once_with_what_to_do(finished: Path, caplog: pytest.LogCaptureFixture) -> None:
    edited = next((finished / "visualizations/layer_slug=0002-conv2").iterdir())
    edit(edited)
    for _ in range(3):
        what_is_done(Store.open(str(finished)))
    (line,) = [record.getMessage() for record in caplog.records if edited.name in record.getMessage()]
    assert "Delete the file to end this warning" in line
    edited.unlink()
    caplog.clear()
    what_is_done(Store.open(str(finished)))
    assert caplog.records == []


def test_a_copied_root_is_read_whole_once_and_reused(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copyfile))
    read: list[str] = []
    original = touched._has

    def noted(store: Store, path: str, sha256: str) -> bool:
        read.append(path)
        return original(store, path, sha256)

    monkeypatch.setattr(touched, "_has", noted)
    assert what_is_done(Store.open(str(finished))).keys
    assert read == []
    for path in copy.rglob("*.parquet"):
        os.utime(path, (LATER, LATER))
    assert what_is_done(Store.open(str(copy))).keys == what_is_done(Store.open(str(finished))).keys
    assert read
