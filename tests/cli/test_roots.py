"""The atlas that a command reads if none is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from network_atlas.cli.main import main
from network_atlas.cli.roots import root_of, roots_below
from network_atlas.errors import StoreError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_root(folder: Path) -> None:
    (folder / "plan").mkdir(parents=True)
    (folder / "plan" / "run.json").write_text("{}")


def test_a_named_root_is_used(here: Path) -> None:
    make_root(here / "atlases" / "other")
    assert root_of("s3://bucket/atlas", command="view") == "s3://bucket/atlas"


def test_the_only_atlas_is_used(here: Path) -> None:
    make_root(here / "atlases" / "resnet50")
    (here / "atlases" / "notes").mkdir()
    assert root_of(None, command="view") == "atlases/resnet50"


def test_atlases_of_a_grid_lie_one_level_deeper(here: Path) -> None:
    make_root(here / "atlases" / "resnet50" / "model.seed=1")
    assert roots_below("atlases") == ["atlases/resnet50/model.seed=1"]


def test_of_several_atlases_each_is_named_with_its_line(here: Path) -> None:
    for name in ("a", "b c"):
        make_root(here / "atlases" / name)
    with pytest.raises(StoreError, match=r"2 atlases.*\n  atlas view atlases/a\n  atlas view 'atlases/b c'$"):
        root_of(None, command="view")


def test_of_many_atlases_the_first_are_named(here: Path) -> None:
    for number in range(8):
        make_root(here / "atlases" / str(number))
    with pytest.raises(StoreError, match="and 3 more"):
        root_of(None, command="status")


def test_without_an_atlas_the_message_says_how_to_make_one(here: Path) -> None:
    with pytest.raises(StoreError, match="make one with: atlas run, or name one: atlas status ROOT"):
        root_of(None, command="status")


def test_status_needs_no_root_where_there_is_one_atlas(
    here: Path, atlas_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(atlas_root, here / "atlases" / "tiny")
    assert main(["status"]) == 0
    assert "snapshot 1" in capsys.readouterr().out
