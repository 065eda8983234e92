"""How a finished picture stands among real images, in a whole small atlas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

COMPARED_WITH = {"channel+": "spatial_mean", "neuron+": "centre"}


def rows_of(root: Path, table: str) -> list[dict[str, Any]]:
    return [row for path in sorted((root / table).rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_a_picture_is_compared_with_the_same_number_of_real_images(atlas_root: Path) -> None:
    samples = rows_of(atlas_root, "activation_samples")
    for row in rows_of(atlas_root, "atlas"):
        of_layer = [sample for sample in samples if sample["layer"] == row["layer"]]
        for picture in row["visualizations"]:
            values = np.array([sample[COMPARED_WITH[picture["variant"]]][row["channel"]] for sample in of_layer])
            if row["dead"]:
                assert picture["percentile"] is picture["times_maximum"] is None
            else:
                assert picture["percentile"] == pytest.approx(100 * np.mean(values < picture["score"]))
