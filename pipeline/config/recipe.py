"""The recipe that makes a picture: how it is represented, warped, penalized and improved.

Values, and what they mean to a user, are in `conf/optimize/`; what they do is in `pipeline.optimize`. Everything here
but `OptimizeConfig.batch` belongs to a picture's identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
AboveZero = Annotated[float, Field(gt=0)]

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


Parameterization = Annotated[PixelsConfig | FourierConfig | PyramidConfig | CppnConfig, Field(discriminator="name")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformConfig:
    """The random warp that a picture must survive, drawn anew for every picture and step."""

    jitter_px: NotNegative
    """Largest shift along each axis, in pixels of the learned picture."""
    scale_min: AboveZero
    scale_max: AboveZero
    rotate_degrees: NotNegative
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
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        if self.gradient != "plain" and self.parameterization.name != "pixels":
            raise ValueError(
                f"gradient={self.gradient} acts on pixels, the parameterization is {self.parameterization.name}; "
                "give optimize/parameterization=pixels or optimize.gradient=plain"
            )
