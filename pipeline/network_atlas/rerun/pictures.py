"""The pictures and best examples of a layer's channels, on one side of a diff: made small while they are read.

A layer's stored pictures may take hundreds of MB; what is kept of each is a small version to compare and a thumbnail
to show.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from network_atlas.analysis.example_files import ExampleFiles
from network_atlas.analysis.shown import shown
from network_atlas.rerun.likeness import small_version

THUMBNAIL_PX = 128
CROPS = 3
"""Best examples that the pages show of a channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a diff keeps of a picture."""

    key: str
    variant: str
    small: NDArray[np.float32]
    """See `likeness.small_version`."""
    thumbnail: bytes
    """A JPEG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a diff keeps of a channel's joined row."""

    caption: str
    status: str
    picture: Picture | None
    """The one of the variant that is compared."""
    crops: tuple[bytes, ...]
    """Images of its best examples."""


def records_of(rows: Iterable[Mapping[str, Any]], variant: str | None, files: ExampleFiles) -> dict[int, Record]:
    """Return the records of the channels of joined rows, with their pictures of a variant."""
    return {row["channel"]: _record(row, variant, files) for row in rows}


def _record(row: Mapping[str, Any], variant: str | None, files: ExampleFiles) -> Record:
    best = [example for example in row["examples"] or () if example["kind"] == "top"]
    stored = next((picture for picture in row["visualizations"] or () if picture["variant"] == variant), None)
    return Record(
        caption=row["class_name"] or f"channel {row['channel']}",
        status=row["status"],
        picture=_picture(stored) if stored else None,
        crops=tuple(files.crop_bytes(example) for example in best[:CROPS]),
    )


def _picture(stored: Mapping[str, Any]) -> Picture:
    with Image.open(io.BytesIO(shown(stored))) as image:
        picture = image.convert("RGB")
    return Picture(
        key=stored["key"], variant=stored["variant"], small=small_version(picture), thumbnail=_thumbnail(picture)
    )


def _thumbnail(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    small = picture.copy()
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    small.save(stream, format="JPEG", quality=88)
    return stream.getvalue()
