"""Where the images come from, as a frozen value; the values and what they mean to a user are in `conf/dataset/`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import ConfigDict

from network_atlas.config.sweep import Count, Positive, Seed

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetConfig:
    """Where the images come from."""

    source: Literal["photos", "folder", "tar", "parquet", "torchvision", "none"]
    root: str
    """A folder; for 'tar' and 'parquet' also a file or a pattern. Local, or the URI of any pyarrow filesystem."""
    label: Literal["none", "folder", "name", "beside", "column"]
    """'folder': the first folder below the root; 'name': the file name after its first '_'; 'beside': the .cls or .json
    of the tar's sample; 'column': `label_column`, or what torchvision says."""
    views: Positive
    seed: Seed
    limit: Count
    """Use only this many examples, chosen by hash of their ids; 0 uses all."""
    version: str
    """Change this text to have the images read again although no name or size changed."""
    max_pixels: Positive
    readers: Positive
    """Threads that decode images ahead of the forward pass, per worker."""
    include: tuple[str, ...] = ()
    """Globs over ids ('*' also matches '/'), of which an example must match one; none given: all do."""
    exclude: tuple[str, ...] = ()
    only: str = ""
    """A text file that lists, one a line, the ids (without the view) to use."""
    ids: Literal["name", "shard", "content"] = "name"
    """Of images in tar and Parquet: their names; with the shard's name before; (Parquet) the SHA-256 of the image."""
    image_column: str = "image"
    label_column: str = ""
    name_column: str = ""
    name: str = ""
    """torchvision's name of the dataset."""
    arguments: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    download: bool = False
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        allowed = {
            "photos": ("none", "name"),
            "folder": ("none", "folder", "name"),
            "tar": ("none", "folder", "name", "beside"),
            "parquet": ("none", "folder", "name", "column"),
            "torchvision": ("none", "column"),
            "none": ("none",),
        }[self.source]
        if self.label not in allowed and self.source != "photos":
            raise ValueError(
                f"label={self.label!r} is not for source={self.source!r}; give one of {', '.join(allowed)}"
            )
        if self.label == "column" and self.source == "parquet" and not self.label_column:
            raise ValueError("label='column' needs label_column")
        if self.ids == "content" and self.source != "parquet":
            raise ValueError(f"ids='content' is for Parquet, not for source={self.source!r}; give name or shard")
