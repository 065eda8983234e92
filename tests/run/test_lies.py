"""Files that are not what they seem: a run names them or makes their results again, and never reuses them silently."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from conftest import quietly
from tiny_network import build

from network_atlas import open_atlas
from network_atlas.config.schema import RunConfig
from network_atlas.errors import CorruptShardError, StoreError
from network_atlas.run.prepare import prepare
from network_atlas.store import schemas
from network_atlas.store.manifest import numbers
from network_atlas.store.root import Store
from network_atlas.store.shards import encode, read_leaves, read_rows

Tiny = Callable[..., RunConfig]


def test_a_shard_that_was_edited_is_named_and_made_again_once_it_is_deleted(finished: Path, tiny: Tiny) -> None:
    before = open_atlas(str(finished)).table("visualizations")
    path = sorted((finished / "visualizations").rglob("*.parquet"))[0]
    rows = pq.ParquetFile(path).read().to_pylist()
    image = rows[0]["image"]
    # Another whole file of the same size, with whole page checksums.
    image["bytes"] = image["bytes"][:-1] + bytes([image["bytes"][-1] ^ 1])
    edited = encode(rows, schemas.VISUALIZATIONS, sorted_by=("layer_index", "channel"))
    assert len(edited) == path.stat().st_size
    times = path.stat()
    path.write_bytes(edited)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # else its time gives it away (`store.touched`)
    with pytest.raises(StoreError, match=rf"{path.name}.*content is not that of its name.*Delete it and run again"):
        quietly(tiny("assemble.crop_px=20"))  # joins the tables anew
    assert numbers(Store.open(str(finished))) == [1]
    path.unlink()
    assert quietly(tiny("assemble.crop_px=20")).manifest.number == 2
    assert open_atlas(str(finished)).table("visualizations").equals(before)


def test_a_bit_that_flipped_is_found_where_it_is_read(finished: Path) -> None:
    store = Store.open(str(finished))
    (path, *_) = store.list("visualizations")
    image = read_rows(store, path)[0]["image"]["bytes"]  # type: ignore[index]
    data = bytearray((finished / path).read_bytes())
    data[data.index(image) + len(image) // 2] ^= 1
    (finished / path).write_bytes(data)
    with pytest.raises(CorruptShardError, match=r"not a whole Parquet file.*(CRC|checksum)"):
        read_rows(store, path)
    assert read_leaves(store, path, ["score"]).num_rows  # of other columns nothing is lost


def test_a_checkpoint_of_the_same_name_size_and_time_is_recognized_by_its_content(tiny: Tiny, tmp_path: Path) -> None:
    model, path = build(), tmp_path / "weights.pth"

    def hashes() -> dict[str, str]:
        torch.save(model.state_dict(), path)
        os.utime(path, (1e9, 1e9))
        upstream = dict(prepare(tiny(f'model.weights="{path}"')).facts.upstream)
        sizes.append(path.stat().st_size)
        return upstream

    sizes: list[int] = []
    before = hashes()
    assert hashes() == before
    model.get_submodule("conv3").weight[0, 0, 0, 0] += 0.5
    after = hashes()
    assert len(set(sizes)) == 1
    assert {name for name in before if before[name] == after[name]} == {"conv1", "act", "conv2", "shared#1", "shared#2"}


def test_settings_that_change_no_result_make_no_new_snapshot(finished: Path, tiny: Tiny) -> None:
    neutral = ("scan.batch=2", "optimize.batch=2", "sweep.block=2", "dataset.readers=1", "model.frozen=false")
    assert quietly(tiny(*neutral)).manifest.number == 1
    assert [path.name for path in (finished / "manifests").iterdir()] == ["00001.json"]


def test_fixed_names_are_set_again_when_they_are_missing_or_of_another_size(finished: Path, tiny: Tiny) -> None:
    tables = {path.name: path.read_bytes() for path in (finished / "atlas").iterdir()}
    first, second = sorted(finished.glob("atlas/*"))[:2]
    first.unlink()
    second.unlink()
    second.write_bytes(b"PAR1")
    (finished / "atlas" / "layer=0099-gone.parquet").write_bytes(b"PAR1")
    assert quietly(tiny()).manifest.number == 1
    assert {path.name: path.read_bytes() for path in (finished / "atlas").iterdir()} == tables
