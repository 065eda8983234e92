"""The tables of any snapshot, read through its manifest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import TESTS
from s3_server import needs_s3, s3_bucket, uri

from network_atlas import open_atlas
from network_atlas.analysis.atlas import Atlas
from network_atlas.analysis.tables import FOLDERS, SCHEMAS
from network_atlas.errors import CorruptShardError, StoreError
from network_atlas.store.root import Store

LAYERS = ("conv1", "conv2", "conv3")
OF_A_LATER_LAYER = ("clarity", "clarity_by_chance", "clarity_groups", "two_groups", "monosemanticity")
"""Columns that change when a layer behind does."""


def values(atlas: Atlas, name: str, layer: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = atlas.table(name, layers=[layer]).to_pylist()
    return rows


def values_up_to_it(atlas: Atlas, name: str, layer: str) -> list[dict[str, object]]:
    rows = values(atlas, name, layer)
    return [{column: row[column] for column in row if column not in OF_A_LATER_LAYER} for row in rows]


def test_every_table_has_the_columns_of_its_schema(retrained_root: Path) -> None:
    atlas = open_atlas(str(retrained_root))
    assert (atlas.number, atlas.root, atlas.layers) == (2, str(retrained_root), LAYERS)
    for name in atlas.tables:
        assert atlas.table(name).schema.names == SCHEMAS[name].names
    assert {name for name in FOLDERS if not atlas.table(name).num_rows} == {
        *("failures", "attributions", "edges", "circuits", "activation_atlas", "layouts", "cells", "directions")
    }
    assert atlas.table("atlas", ["channel"]).column_names == ["channel"]
    assert b"description" in atlas.table("atlas").schema.field("status").metadata


def test_an_older_snapshot_reads_as_before_the_next_run(atlas_root: Path, retrained_root: Path) -> None:
    then, now = open_atlas(str(atlas_root)), open_atlas(str(retrained_root), snapshot=1)
    for name in then.tables:
        assert now.table(name).equals(then.table(name)), name


def test_snapshots_differ_where_the_weights_do(retrained_root: Path) -> None:
    old, new = (open_atlas(str(retrained_root), number) for number in (1, 2))
    for name in ("atlas", "channel_stats", "activation_samples", "visualizations"):
        same = [layer for layer in LAYERS if values_up_to_it(old, name, layer) == values_up_to_it(new, name, layer)]
        assert same == ["conv1", "conv2"], name
        assert old.table(name).num_rows == new.table(name).num_rows


def test_a_sample_has_each_example_once_per_layer(retrained_root: Path) -> None:
    """Files of the first snapshot hold all layers, and the second one lists them for the layers that it reuses."""
    atlas = open_atlas(str(retrained_root))
    table = atlas.table("activation_samples", ["layer", "example_id", "spatial_mean"])
    pairs = table.select(["layer", "example_id"]).to_pylist()
    assert len({tuple(pair.values()) for pair in pairs}) == len(pairs) == 3 * 12
    rows = [row for row in table.to_pylist() if row["layer"] == "conv3"]
    means = np.mean([row["spatial_mean"] for row in rows], axis=0)
    stated = [row["spatial_mean"]["mean"] for row in values(atlas, "channel_stats", "conv3")]
    assert means == pytest.approx(stated, rel=1e-4)


def test_globs_see_the_newest_snapshot_only(retrained_root: Path) -> None:
    for name in ("atlas", "channel_stats"):
        shown = [row for path in sorted((retrained_root / name).iterdir()) for row in pq.read_table(path).to_pylist()]
        assert shown == open_atlas(str(retrained_root)).table(name).to_pylist()
        assert shown != open_atlas(str(retrained_root), 1).table(name).to_pylist()


def test_what_is_not_there_is_named(retrained_root: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no snapshot 7; it has 1, 2\."):
        open_atlas(str(retrained_root), 7)
    with pytest.raises(StoreError, match="has no snapshot yet; make one with"):
        open_atlas(str(tmp_path / "nothing"))
    with pytest.raises(StoreError, match=r"no table 'chanel_stats'.* Did you mean 'channel_stats'"):
        open_atlas(str(retrained_root)).table("chanel_stats")
    with pytest.raises(StoreError, match=r"no column 'maximun'.* Did you mean 'maximum'"):
        open_atlas(str(retrained_root)).table("channel_stats", ["maximun"])


@pytest.mark.parametrize("damage", ["cut", "edited", "renamed"])
def test_a_damaged_manifest_is_named_and_harms_no_other_snapshot(retrained: Path, damage: str) -> None:
    path = retrained / "manifests" / "00001.json"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "edited":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"created": "2001-01-01"}))
    else:
        path.write_bytes((retrained / "manifests" / "00002.json").read_bytes())
    with pytest.raises(CorruptShardError, match=r"00001.json.*not a whole manifest.*Restore the file, or delete it"):
        open_atlas(str(retrained), 1)
    assert open_atlas(str(retrained)).table("channel_stats").num_rows


@needs_s3
def test_a_snapshot_is_read_from_an_object_store(retrained_root: Path) -> None:
    with s3_bucket() as port:
        root = uri(port, "bucket/atlas")
        store = Store.open(root)
        for path in Store.open(str(retrained_root)).list(""):
            store.write(path, (retrained_root / path).read_bytes())
        for number in (1, 2):
            here, there = open_atlas(str(retrained_root), number), open_atlas(root, number)
            assert all(there.table(name).equals(here.table(name)) for name in here.tables)


WITHOUT = """
import sys
for name in {absent}: sys.modules[name] = None  # whose import fails then
import network_atlas
print([name for name in ("pyarrow", "numpy") if name in sys.modules])
atlas = network_atlas.open_atlas({root!r}, 1)
print(atlas.table("atlas").num_rows, atlas.channels().num_rows, len(atlas.unit("conv2:3")._repr_html_()) > 1000)
"""


def test_reading_needs_four_libraries_only(retrained_root: Path) -> None:
    """numpy, Pillow, pyarrow and tenacity, of all that the package depends on."""
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["run"]]
    names = [re.split(r"[^a-z0-9-]", line)[0] for line in lines]
    imports = {"hydra-core": "hydra", "pillow": "PIL", "scikit-learn": "sklearn", "umap-learn": "umap"}
    absent = {imports.get(name, name) for name in names} - {"numpy", "PIL", "pyarrow", "tenacity"}
    assert {"torch", "ray", "hydra", "psutil"} < absent
    program = WITHOUT.format(absent=sorted(absent), root=str(retrained_root))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "18 26 True"]
