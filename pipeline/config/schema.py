"""The configuration of a run, as frozen values.

One `RunConfig` makes one atlas. The classes here hold types and checks; the values and what they mean to a
user are in `conf/`. Nothing here knows Hydra; `pipeline.config.compose` builds these from YAML.

Fields that do not change the result (batch sizes, executor, paths) are kept apart from those that do: see
`RunConfig.result_settings`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from pipeline.config.recipe import OptimizeConfig

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(gt=0, le=1)]

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
SHARE_TOLERANCE = 1e-3  # people write a third as 0.333


def _check_gpu_share(share: float) -> None:
    """Raise ValueError unless whole workers fill a GPU, or whole GPUs a worker."""
    if share >= 1:
        below = float(math.floor(share))
        near = (below, below + 1)
    else:
        workers = math.floor(1 / share) if share > 0 else 0
        near = (1 / (workers + 1), 1 / workers) if workers else (0.0, 0.0)
    if min(abs(share - allowed) for allowed in near) > SHARE_TOLERANCE:
        raise ValueError(
            f"gpus_per_worker={share} must be 0, a whole number, or 1/n to share a GPU among n workers; "
            f"the nearest are {near[0]:.4g} and {near[1]:.4g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InputConfig:
    """What the model's input looks like, and how an image becomes one.

    An image is resized so that its shorter side is `resize`, cropped around its centre to
    (`height`, `width`), put on the range 0..`value_range`, and normalized as (x - mean) / std per channel.
    """

    channels: Positive
    height: Positive
    width: Positive
    resize: Positive
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"]
    value_range: Annotated[float, Field(gt=0)]
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            got = len(getattr(self, name))
            if got not in (1, self.channels):
                raise ValueError(f"{name} has {got} values for {self.channels} channels; give 1 or {self.channels}")
        if self.resize < min(self.height, self.width):
            raise ValueError(
                f"resize={self.resize} is smaller than the {self.height} x {self.width} crop; "
                f"give at least {min(self.height, self.width)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Which network, with which weights, fed how."""

    source: Literal["packaged", "torchvision", "timm", "function"]
    name: str
    weights: str
    """'default' (the source's own), 'none' (random, from `seed`), or the path of a checkpoint file."""
    arguments: dict[str, str | int | float | bool | None]
    seed: Seed
    allow_code: bool
    input: InputConfig
    classes: str
    """'imagenet', 'none', or the path of a text file with one class name a line."""
    main_layers: tuple[str, ...]
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantConfig:
    """One picture of every selected unit."""

    objective: Literal["channel", "neuron"]
    sign: Literal["+", "-"] = "+"
    seed: Seed = 0
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    @property
    def name(self) -> str:
        """Return for example 'channel+', or 'neuron-@3' for seed 3."""
        return f"{self.objective}{self.sign}" + (f"@{self.seed}" if self.seed else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectConfig:
    """A choice of layers, and of channels in each.

    `include` and `exclude` are globs over layer names, in which '*' stays within one dotted part and '**'
    does not. `types` are globs over the names of the module's class and its bases.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    spread: Count = 0
    """Keep only this many of the matching layers, evenly spaced from first to last; 0 keeps all."""
    channels: str | tuple[Annotated[int, Field(ge=0)], ...] = "all"
    """'all', 'sample:12' (the same 12 every time), 'start:stop' (half-open), or a list of numbers."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepConfig:
    """Which units get pictures, and which pictures."""

    select: Annotated[tuple[SelectConfig, ...], Field(min_length=1)]
    variants: Annotated[tuple[VariantConfig, ...], Field(min_length=1)]
    block: Positive
    """Pictures per task."""
    seed: Seed
    """Chooses the channels of 'sample:N'."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"variants {twice} are given twice; give them different seeds")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanConfig:
    """How the dataset is scanned."""

    span: Positive
    """Examples per task."""
    batch: Positive
    top_k: Positive
    bottom_k: Count
    sample: Positive
    """Examples (chosen by hash of their ids) whose values are all kept, for percentiles."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineConfig:
    """Run everything in this process."""

    name: Literal["inline"]
    threads: Count
    """Torch threads; 0 leaves torch's own choice."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class RayConfig:
    """Run workers on Ray."""

    name: Literal["ray"]
    address: str
    """'local' starts Ray on this machine; 'auto' or an address joins a running cluster."""
    workers: Count
    """0: as many as the cluster has room for."""
    cpus_per_worker: Annotated[float, Field(gt=0)]
    gpus_per_worker: Annotated[float, Field(ge=0)]
    """0, a whole number, or 1/n to share a GPU among n workers."""
    verbose: bool
    """Show Ray's own messages."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        if not self.address.strip():
            raise ValueError("address is empty; give 'local', 'auto' or the address of a running cluster")
        _check_gpu_share(self.gpus_per_worker)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Where the atlas is kept."""

    root: Annotated[str, Field(min_length=1)]
    """A folder or the URI of any pyarrow filesystem: s3://bucket/path, gs://..."""
    allow_changes: bool
    """Go on in a root whose atlas was made by other settings, and publish a new snapshot there."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleConfig:
    """How the joined tables and the pages look."""

    crop_px: Annotated[int, Field(ge=16, le=1024)]
    """Side of the stored crops of dataset examples."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything one run needs."""

    model: ModelConfig
    dataset: DatasetConfig
    sweep: SweepConfig
    scan: ScanConfig
    optimize: OptimizeConfig
    assemble: AssembleConfig
    executor: Annotated[InlineConfig | RayConfig, Field(discriminator="name")]
    store: StoreConfig
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        channels = self.model.input.channels
        if channels not in (1, 3) and self.dataset.source != "none":
            raise ValueError(
                f"model.input.channels={channels}, but the images of a dataset are grey or RGB; give 1 or 3, or "
                "dataset=none for pictures without examples"
            )
