"""Write the same twelve images as a folder, as tar shards and as Parquet files."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

NAMES = [f"{kind}/{number:02d}_a {kind}.png" for kind in ("cat", "dog") for number in range(6)]


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


IMAGES = {name: png(seed) for seed, name in enumerate(NAMES)}


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_parquet(path: Path, names: Iterable[str], **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"image": {"bytes": IMAGES[name], "path": name}, "label": int("dog" in name)} for name in names]
    features = {"label": {"names": ["a cat", "a dog"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(metadata), path, **options)
    return path


def write_folder(root: Path) -> Path:
    for name, data in IMAGES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root
