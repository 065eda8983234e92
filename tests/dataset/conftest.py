from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from network_atlas.config.dataset import DatasetConfig
from network_atlas.config.schema import InputConfig

MakeConfig = Callable[..., DatasetConfig]


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """Return a function that makes a DatasetConfig: by default of the folder `tmp_path`, with the changes."""

    def make(**changes: object) -> DatasetConfig:
        values: dict[str, object] = {
            "source": "folder",
            "root": str(tmp_path),
            "label": "none",
            "views": 1,
            "seed": 0,
            "limit": 0,
            "version": "",
            "max_pixels": 1_000_000,
            "readers": 1,
        }
        return DatasetConfig(**(values | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def save() -> Callable[..., Path]:
    """Return a function that saves a small image of noise, making its folders."""

    def save_noise(path: Path, *, height: int = 12, width: int = 20, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, format="PNG")
        return path

    return save_noise


@pytest.fixture
def input_config() -> Callable[..., InputConfig]:
    """Return a function that makes an InputConfig: 28 x 28 out of a shorter side of 32, with the changes."""

    def make(**changes: object) -> InputConfig:
        values: dict[str, object] = {
            "channels": 3,
            "height": 28,
            "width": 28,
            "resize": 32,
            "interpolation": "bicubic",
            "value_range": 1.0,
            "mean": (0.5,),
            "std": (0.5,),
        }
        return InputConfig(**(values | changes))  # type: ignore[arg-type]

    return make
