"""The recipe of a picture: how it is represented, warped, penalized and optimized.

`conf/optimize/` has the values and explains them to users; `pictures` and `optimize` use them. Each setting that
determines a picture declares so.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from network_atlas.config.declare import (
    HASHED,
    NOTHING,
    OPTIMIZE,
    AboveZero,
    Count,
    Fraction,
    NotNegative,
    Positive,
    setting,
    settings,
)
from network_atlas.config.priors import Prior


@settings
class PixelsConfig:
    """The picture as pixels: the baseline that the other parameterizations improve on."""

    name: Literal["pixels"] = setting(OPTIMIZE)
    std: AboveZero = setting(OPTIMIZE)
    decorrelated: bool = setting(OPTIMIZE)


@settings
class FourierConfig:
    """The picture as Fourier coefficients, scaled by frequency (Olah et al. 2017)."""

    name: Literal["fourier"] = setting(OPTIMIZE)
    decay: float = setting(OPTIMIZE)
    std: AboveZero = setting(OPTIMIZE)
    decorrelated: bool = setting(OPTIMIZE)


@settings
class PyramidConfig:
    """The picture as a sum of planes, each half as large as the one before (Burt, Adelson 1983)."""

    name: Literal["laplacian_pyramid"] = setting(OPTIMIZE)
    levels: Annotated[int, Field(ge=1, le=10)] = setting(OPTIMIZE)
    std: AboveZero = setting(OPTIMIZE)
    decorrelated: bool = setting(OPTIMIZE)


@settings
class CppnConfig:
    """The picture as a small network from a pixel's position to its colour (Stanley 2007; Mordvintsev et al. 2018)."""

    name: Literal["cppn"] = setting(OPTIMIZE)
    hidden: Positive = setting(OPTIMIZE)
    layers: Positive = setting(OPTIMIZE)


@settings
class MacoConfig:
    """The picture as the phases of its Fourier coefficients; their magnitudes are those of photographs (Fel 2023)."""

    name: Literal["maco"] = setting(OPTIMIZE)
    magnitude: Literal["dataset", "packaged"] = setting(OPTIMIZE)
    """Mean frequency magnitude of the run's own dataset, from the scan, or of the packaged demo photos."""


Parameterization = Annotated[
    PixelsConfig | FourierConfig | PyramidConfig | CppnConfig | MacoConfig, Field(discriminator="name")
]


@settings
class CropConfig:
    """Random square crops, each resized to the model's full input (Fel et al. 2023)."""

    start: Fraction = setting(OPTIMIZE)
    """Side of a crop as a share of the picture's, at the first step; it falls linearly to `end`."""
    end: Fraction = setting(OPTIMIZE)
    spread: NotNegative = setting(OPTIMIZE)
    """Standard deviation of a crop's centre around the picture's, as a share of the picture's size."""


@settings
class TransformConfig:
    """The random warp before each forward pass, drawn anew for every picture and step."""

    pad_px: NotNegative = setting(OPTIMIZE)
    """Width of a frame around the picture before it is warped, in pixels of the learned picture."""
    fill: Literal["grey", "border", "reflection"] = setting(OPTIMIZE)
    """Content of the area outside of the picture."""
    jitter_px: NotNegative = setting(OPTIMIZE)
    """Largest shift along each axis, in pixels of the learned picture."""
    scale_min: AboveZero = setting(OPTIMIZE)
    scale_max: AboveZero = setting(OPTIMIZE)
    rotate_degrees: NotNegative = setting(OPTIMIZE)
    crop: CropConfig | None = setting(OPTIMIZE)
    views: Positive = setting(OPTIMIZE)
    """Warps of each picture per step; the score of the picture is their mean."""
    noise_std: NotNegative = setting(OPTIMIZE)
    """Standard deviation of the Gaussian noise that is added to the warped picture, on 0..1."""

    def __post_init__(self) -> None:
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min={self.scale_min} is larger than scale_max={self.scale_max}")


@settings
class RegularizerConfig:
    """One penalty. With weight w, a penalty of 1 costs the share w of the score."""

    name: Literal["l1", "l2", "total_variation", "blur", "bilateral", "border"] = setting(OPTIMIZE)
    weight: NotNegative = setting(OPTIMIZE)


@settings
class StopConfig:
    """When a picture stops before its last step: once its score has flattened.

    The smoothed score is the mean over `window` steps. A picture stops when this mean rises, from one window to the
    next, by less than the share `gain` of its whole rise.
    """

    window: Positive = setting(OPTIMIZE)
    gain: NotNegative = setting(OPTIMIZE)
    """0 never stops early."""


@settings
class TogetherConfig:
    """How pictures that are learned together act on each other.

    If a layer is empty, it is the picture's own layer, or the last layer before it that has more than one position.
    """

    diversity: NotNegative = setting(OPTIMIZE)
    """Weight of the penalty on likeness within a set of diverse pictures (Olah et al. 2017)."""
    diversity_layer: str = setting(OPTIMIZE)
    alignment: NotNegative = setting(OPTIMIZE)
    """Weight of the penalty on difference between neighbours of an interpolation."""
    alignment_layer: str = setting(OPTIMIZE)


@settings
class OptimizeConfig:
    """The whole recipe of a picture."""

    height_px: Annotated[int, Field(ge=8, le=4096)] = setting(OPTIMIZE)
    width_px: Annotated[int, Field(ge=8, le=4096)] = setting(OPTIMIZE)
    steps: Positive = setting(OPTIMIZE)
    warm_steps: Count = setting(HASHED, may_change=True)
    """Steps of a picture that starts from the one that the root's newest snapshot has of its unit; 0: no such start."""
    learning_rate: AboveZero = setting(OPTIMIZE)
    ascent: Literal["adam", "nadam", "l2", "linf"] = setting(OPTIMIZE)
    """Rule of a step: an optimizer, or steepest ascent under a norm."""
    gradient: Literal["plain", "blurred", "laplacian"] = setting(OPTIMIZE)
    """Filter on the gradient before each step; others than 'plain' are only for pixels."""
    dtype: Literal["auto", "float32", "bfloat16"] = setting(HASHED)
    batch: Positive = setting(NOTHING)
    """Pictures per forward pass; the number does not change the pictures."""
    parameterization: Parameterization
    transform: TransformConfig
    regularizers: tuple[RegularizerConfig, ...]
    prior: Prior
    stop: StopConfig
    coarse: Annotated[float, Field(ge=0, lt=1)] = setting(OPTIMIZE)
    """Share of the steps, counted from the first, in which the model gets the picture at half its input size."""
    opacity: bool = setting(OPTIMIZE)
    """Store an opacity for each picture: a second image, of the parts that mattered to the score."""
    together: TogetherConfig

    def __post_init__(self) -> None:
        if self.gradient != "plain" and self.parameterization.name != "pixels":
            raise ValueError(
                f"gradient={self.gradient} acts on pixels, the parameterization is {self.parameterization.name}; "
                "give optimize/parameterization=pixels or optimize.gradient=plain"
            )
