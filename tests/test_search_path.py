"""The working folder comes last where Python looks for modules, on the driver and on Ray's workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RAY, TESTS, TINY

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


@pytest.mark.ray
@pytest.mark.slow
def test_files_named_like_libraries_in_the_working_folder_harm_neither_driver_nor_workers(
    tmp_path: Path, images: Path
) -> None:
    for name in ("numpy", "torch", "pyarrow", "pydantic", "ray", "rich", "pipeline", "psutil", "numba"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('this is the {name} of the working folder')\n")
    (tmp_path / "nets.py").write_text((TESTS / "tiny_network.py").read_text())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    overrides = [override for override in TINY if not override.startswith("model.name=")]
    overrides += [
        f'dataset.root="{images}"',
        'sweep.select.0.include=["conv3"]',
        "optimize.steps=1",
        *RAY,
        "executor.workers=1",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "network_atlas", "run", *overrides, "model.name=nets:build", "store.root=atlas"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(PACKAGE_FOLDER)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert list(tmp_path.glob("atlas/manifests/*.json"))
