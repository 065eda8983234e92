"""Measure the icons of a map anew, beside noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tiny_network import build

from network_atlas.pictures.cells import direction_of, read_directions
from network_atlas.pictures.stored import measure
from network_atlas.pictures.target import Target
from network_atlas.run.prepare import prepare
from network_atlas.store.png import decode_png
from network_atlas.units import Cell


def assert_icons_excite_their_cells(config: Any, root: Path, *, at_least: int) -> None:
    """Each icon of conv3 scores at its cell's direction as stored, and higher than images of noise."""
    prepared = prepare(config)
    plan = next(layer for layer in prepared.plan.layers if layer.layer.name == "conv3")
    path = next((root / "cells").glob("*conv3/*.parquet")).relative_to(root).as_posix()
    directions = read_directions(prepared.store, path)
    icons = {
        row["unit"]: row for row in pq.ParquetFile(next((root / "activation_atlas").glob("*conv3*"))).read().to_pylist()
    }
    target = Target(model=build(), layers=[plan.layer], input=config.model.input, device=torch.device("cpu"))
    noise = np.random.default_rng(1).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    cells = [picture.unit for picture in plan.pictures if isinstance(picture.unit, Cell)]
    assert len(cells) == len(icons) >= at_least
    for cell in cells:
        unit = direction_of(cell, directions)
        pixels = decode_png(icons[cell.label]["icon"]["bytes"], channels=3)
        (score,) = measure(target, pixels[None], [unit])
        assert score == pytest.approx(icons[cell.label]["score"], rel=1e-4)
        assert score > max(measure(target, noise, [unit] * len(noise)))
