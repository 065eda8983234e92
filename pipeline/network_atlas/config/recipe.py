"""The recipe that makes a picture: how it is represented, warped, penalized and improved.

Values, and what they mean to a user, are in `conf/optimize/`; what they do is in `pictures` and `optimize`. Everything
here but `OptimizeConfig.batch` belongs to a picture's identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
AboveZero = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelsConfig:
    """The picture as pixels: the baseline that shows why the others are there."""

    name: Literal["pixels"]
    std: AboveZero
    decorrelated: bool
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class FourierConfig:
    """The picture as Fourier coefficients, scaled by frequency (Olah et al. 2017)."""

    name: Literal["fourier"]
    decay: float
    std: AboveZero
    decorrelated: bool
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class PyramidConfig:
    """The picture as a sum of planes, each half as large as the one before (Burt, Adelson 1983)."""

    name: Literal["laplacian_pyramid"]
    levels: Annotated[int, Field(ge=1, le=10)]
    std: AboveZero
    decorrelated: bool
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class CppnConfig:
    """The picture as a small network from a pixel's place to its colour (Stanley 2007; Mordvintsev et al. 2018)."""

    name: Literal["cppn"]
    hidden: Positive
    layers: Positive
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class MacoConfig:
    """The picture as the phases of its Fourier coefficients; their magnitudes are those of photographs (Fel 2023)."""

    name: Literal["maco"]
    magnitude: Literal["dataset", "packaged"]
    """Mean frequency magnitude of the run's own dataset, as scanned, or of the demo photos, packaged."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


Parameterization = Annotated[
    PixelsConfig | FourierConfig | PyramidConfig | CppnConfig | MacoConfig, Field(discriminator="name")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CropConfig:
    """Random square crops, each shown to the model at its full input size (Fel et al. 2023)."""

    start: Share
    """Side of a crop as a share of the picture's, at the first step; it falls linearly to `end`."""
    end: Share
    spread: NotNegative
    """Standard deviation of a crop's centre around the picture's, as a share of the picture's size."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformConfig:
    """The random warp that a picture must survive, drawn anew for every picture and step."""

    pad_px: NotNegative
    """Frame put around the picture before it is warped, in pixels of the learned picture."""
    fill: Literal["grey", "border", "reflection"]
    """What lies outside of the picture."""
    jitter_px: NotNegative
    """Largest shift along each axis, in pixels of the learned picture."""
    scale_min: AboveZero
    scale_max: AboveZero
    rotate_degrees: NotNegative
    crop: CropConfig | None
    views: Positive
    """Warps of each picture per step; its score is their mean."""
    noise_std: NotNegative
    """Standard deviation of Gaussian noise added to what the model sees, on 0..1."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min={self.scale_min} is larger than scale_max={self.scale_max}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegularizerConfig:
    """One penalty, subtracted from the score with its weight."""

    name: Literal["l1", "l2", "total_variation", "blur", "bilateral", "border"]
    weight: NotNegative
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class StopConfig:
    """When a picture is done before its last step: once its score has flattened.

    The smoothed score is the mean over `window` steps. A picture stops when that has risen, since the window before,
    by less than `gain` of its whole rise.
    """

    window: Positive
    gain: NotNegative
    """0 never stops early."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class TogetherConfig:
    """How pictures that are learned together pull on each other.

    A layer left empty is chosen: the picture's own if it has positions, else the last one before it that has.
    """

    diversity: NotNegative
    """Weight of the penalty on likeness within a set of diverse pictures (Olah et al. 2017)."""
    diversity_layer: str
    alignment: NotNegative
    """Weight of the penalty on unlikeness between neighbours of an interpolation."""
    alignment_layer: str
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeConfig:
    """The recipe that makes a picture."""

    height_px: Annotated[int, Field(ge=8, le=4096)]
    width_px: Annotated[int, Field(ge=8, le=4096)]
    steps: Positive
    learning_rate: AboveZero
    ascent: Literal["adam", "nadam", "l2", "linf"]
    """Rule of a step: an optimizer, or steepest ascent under a norm."""
    gradient: Literal["plain", "blurred", "laplacian"]
    """What is done to the gradient first; other than 'plain' only for pixels."""
    dtype: Literal["auto", "float32", "bfloat16"]
    batch: Positive
    """Pictures per forward pass; does not change them."""
    parameterization: Parameterization
    transform: TransformConfig
    regularizers: tuple[RegularizerConfig, ...]
    stop: StopConfig
    coarse: Annotated[float, Field(ge=0, lt=1)]
    """Share of the steps, from the first, in which the model sees the picture at half its input size."""
    opacity: bool
    """Keep which parts of a picture mattered, as an image of its own."""
    together: TogetherConfig
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        if self.gradient != "plain" and self.parameterization.name != "pixels":
            raise ValueError(
                f"gradient={self.gradient} acts on pixels, the parameterization is {self.parameterization.name}; "
                "give optimize/parameterization=pixels or optimize.gradient=plain"
            )
