from __future__ import annotations

import os
from pathlib import Path

import pytest

from network_atlas.config.compose import compose
from network_atlas.config.paths import with_absolute_paths

PATHS = ("model.weights", "model.classes", "dataset.root", "dataset.only", "store.root")


def test_a_tilde_is_replaced_in_every_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = with_absolute_paths(compose([f'{path}="~/x/{path}"' for path in PATHS]))
    for path in PATHS:
        group, name = path.split(".")
        assert getattr(getattr(config, group), name) == f"{tmp_path}/x/{path}"


def test_words_and_uris_stay_as_they_are() -> None:
    config = with_absolute_paths(compose(["model.weights=none", "model.classes=none", "store.root=s3://bucket/x"]))
    assert (config.model.weights, config.model.classes, config.store.root) == ("none", "none", "s3://bucket/x")
    assert config.dataset.only == ""


def test_a_relative_path_is_below_the_working_folder() -> None:
    assert with_absolute_paths(compose(["store.root=here"])).store.root == os.path.abspath("here")
