"""A finished atlas of the tiny network with maps, shared by the tests of layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import quietly

from network_atlas.config.schema import RunConfig

MAPS = [
    "layout=main_layers",
    'layout.layers=["**"]',
    "layout.grids=[2,4]",
    "layout.fewest=1",
    "recipes.icon.steps=4",
    "recipes.icon.height_px=16",
    "recipes.icon.width_px=16",
    "recipes.icon.dtype=float32",
    "sweep.block=16",
    "sweep.variants=[{objective: channel}]",
    'sweep.select.0.channels=":2"',
]
"""Two maps of few cells: with 24 vectors each they stay where they start, without UMAP."""


@pytest.fixture(scope="session")
def composed_maps(images: Path) -> Callable[..., RunConfig]:
    """Return a function that composes a run of the tiny network with maps."""
    from conftest import composed

    return lambda *overrides: composed(images, (*MAPS, *overrides))


@pytest.fixture(scope="session")
def mapped_root(composed_maps: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished atlas with maps, to read only."""
    root = tmp_path_factory.mktemp("mapped") / "atlas"
    quietly(composed_maps(f'store.root="{root}"'))
    return root
