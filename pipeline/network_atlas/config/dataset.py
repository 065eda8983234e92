"""The settings of the dataset, as a frozen value; `conf/dataset/` explains them to users."""

from __future__ import annotations

from typing import Literal

from network_atlas.config.declare import ASSEMBLE, HASHED, NOTHING, SCAN, Count, Positive, Seed, setting, settings

LABELS = {
    "photos": ("none", "name"),
    "folder": ("none", "folder", "folders", "name"),
    "tar": ("none", "folder", "folders", "name", "beside"),
    "parquet": ("none", "folder", "folders", "name", "column"),
    "torchvision": ("none", "column"),
    "none": ("none",),
}
"""The values of `dataset.label` that each source takes."""


@settings
class DatasetConfig:
    """Where the images come from."""

    source: Literal["photos", "folder", "tar", "parquet", "torchvision", "none"] = setting(HASHED)
    root: str = setting(HASHED)
    """A folder; for 'tar' and 'parquet' also a file or a pattern. Local, or the URI of any pyarrow filesystem."""
    label: Literal["none", "folder", "folders", "name", "beside", "column"] = setting(HASHED, ASSEMBLE)
    """'folder': the first folder below the root; 'folders': all of them, 'animals/dogs'; 'name': the file name after
    its first '_'; 'beside': the .cls or .json beside the image in a tar; 'column': `label_column`, or
    torchvision's own."""
    hierarchy: str = setting(HASHED, may_change=True, default="")
    """What labels are kinds of, for the names of units: 'imagenet', the path of a text file (`dataset.hierarchy`), or
    '' for the labels alone (with label='folders': and the folders above)."""
    embeddings: str = setting(HASHED, may_change=True, default="")
    """A folder with vectors of images and of concepts (`dataset.embeddings`), to describe units by; '' for none."""
    views: Positive = setting(HASHED, default=1)
    seed: Seed = setting(SCAN, default=0)
    limit: Count = setting(HASHED, default=0)
    """Use only this many examples, chosen by hash of their ids; 0 uses all."""
    version: str = setting(HASHED, may_change=True, default="")
    """Change this text to have the images read again although no name or size changed."""
    max_pixels: Positive = setting(SCAN, default=200_000_000)
    readers: Positive = setting(NOTHING, default=2)
    """Threads that decode images ahead of the forward pass, per worker."""
    include: tuple[str, ...] = setting(HASHED, default=())
    """Globs over ids ('*' also matches '/'). An example must match one of them; without globs every example passes."""
    exclude: tuple[str, ...] = setting(HASHED, default=())
    only: str = setting(HASHED, default="")
    """A text file in UTF-8 that lists the ids (without the view) to use, one a line."""
    ids: Literal["name", "shard", "content"] = setting(HASHED, default="name")
    """What names an image in tar and Parquet: its name; the shard's name before it; (Parquet) the image's SHA-256."""
    image_column: str = setting(HASHED, default="image")
    label_column: str = setting(HASHED, default="")
    name_column: str = setting(HASHED, default="")
    name: str = setting(HASHED, default="")
    """torchvision's name of the dataset."""
    arguments: dict[str, str | int | float | bool | None] = setting(HASHED, default_factory=dict)
    download: bool = setting(NOTHING, default=False)

    @property
    def example(self) -> str:
        """Return what an example is called where they are counted."""
        return "image" if self.views == 1 else "view"

    def __post_init__(self) -> None:
        allowed = LABELS[self.source]
        if self.label not in allowed and self.source != "photos":
            raise ValueError(
                f"label={self.label!r} does not fit source={self.source!r}; give one of {', '.join(allowed)}"
            )
        if self.label == "column" and self.source == "parquet" and not self.label_column:
            raise ValueError("label='column' needs label_column: the column of the labels")
        if self.ids == "content" and self.source != "parquet":
            raise ValueError(f"ids='content' is for Parquet, not for source={self.source!r}; give name or shard")
