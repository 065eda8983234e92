"""The working folder comes last where Python looks for modules. A whole run on Ray is in `test_unprivileged.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import TESTS

from network_atlas.search_path import put_working_folder_last

PACKAGE_FOLDER = TESTS.parent / "pipeline"


def reordered(monkeypatch: pytest.MonkeyPatch, path: list[str], *driver: object) -> list[str]:
    monkeypatch.setattr(sys, "path", path)
    put_working_folder_last(*driver)  # type: ignore[arg-type]
    return sys.path


def test_working_folder_comes_last_under_each_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working = tmp_path / "working"
    working.mkdir()
    (tmp_path / "link").symlink_to(working)
    monkeypatch.chdir(working)
    path = reordered(monkeypatch, ["", str(tmp_path / "link"), "/libraries", "."])
    assert path == ["/libraries", str(working), str(tmp_path / "link")]


def test_folders_of_the_driver_come_behind_those_of_the_worker_and_both_working_folders_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = reordered(monkeypatch, ["/driver/working", "/libraries", str(tmp_path)], ["/more", ""], "/driver/working")
    assert path == ["/libraries", "/more", "/driver/working", str(tmp_path)]


def test_folder_without_the_working_folder_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert reordered(monkeypatch, ["/first", "/libraries"]) == ["/first", "/libraries"]


def test_working_folder_that_holds_the_package_keeps_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PACKAGE_FOLDER)
    assert reordered(monkeypatch, ["", "/libraries"]) == [str(PACKAGE_FOLDER), "/libraries"]
