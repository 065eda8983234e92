"""What pages say about the atlas as a whole."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from conftest import TINY

from network_atlas.config.compose import compose
from network_atlas.config.plain import to_plain
from network_atlas.site.worker import atlas_info


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model=torchvision", "model.name=resnet50", "model.weights=none", "model.seed=3"],
        ["model=torchvision", "model.name=resnet50", 'model.weights="run 7, best (1).pth"'],
        ["model=torchvision", "model.name=resnet50", 'model.weights="it\'s C:\\runs\\[a]=\\"1\\".pth"'],
        [*TINY[:3], 'model.arguments={classes: 7, path: "C:\\a \\"b\\"\\\\"}'],
        [
            *TINY[:3],
            "model.input.channels=1",
            "model.input.mean=[0.5]",
            "model.arguments={classes: 7}",
            "model.input.std=[1]",
        ],
    ],
)
def test_the_command_of_a_picture_names_the_network_as_it_was_loaded(overrides: list[str]) -> None:
    config = compose(overrides)
    program, subcommand, *words = shlex.split(atlas_info(to_plain(config)).command)
    assert (program, subcommand) == ("atlas", "run")
    same = {"main_layers": config.model.main_layers, "main_classes": config.model.main_classes}
    assert replace(compose(words).model, classes=config.model.classes, **same) == config.model
