"""The recipe of a picture: how it is represented, warped, penalized and optimized.

`conf/optimize/` has the values and explains them to users; `pictures` and `optimize` use them. Each setting that
determines a picture declares so.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from network_atlas.config.arguments import Arguments, frozen
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
from network_atlas.config.priors import DenoiserPrior, Prior
from network_atlas.config.sampler import ChainConfig, Sampler

Ascent = Literal["adam", "brisk", "nadam", "l2", "linf", "mean"]
"""Rules of a step (`optimize.ascent`): optimizers, and steepest ascent under a norm."""


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
    fill: Literal["grey", "border", "reflection", "wrap"] = setting(OPTIMIZE)
    """Content of the area outside of the picture. 'wrap': the picture again, which has no border then and goes all the
    way round under shifts, so that every pixel is reached alike."""
    jitter_px: NotNegative = setting(OPTIMIZE)
    """Largest shift along each axis, in pixels of the learned picture; with fill 'wrap' only of single neurons."""
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
class WithoutGenerator:
    """How the picture beside a generator's is made, which no generator shapes."""

    parameterization: FourierConfig
    transform: TransformConfig
    ascent: Ascent = setting(OPTIMIZE)
    learning_rate: AboveZero = setting(OPTIMIZE)


@settings
class GeneratorConfig:
    """The picture as what a generator makes of a code, which is learned (Nguyen et al. 2016)."""

    name: Literal["generator"] = setting(OPTIMIZE)
    function: str = setting(HASHED, default="")
    """'module:function' of the user's that builds the generator (`pictures.generators`); '' is a decoder that is
    trained on the run's dataset (`priors.decoder`)."""
    arguments: Arguments = setting(HASHED, default_factory=lambda: frozen({}))
    """Keyword arguments of that function."""
    allow_code: bool = setting(NOTHING, default=False)
    limit: AboveZero = setting(OPTIMIZE)
    """Codes stay within so many standard deviations of their mean over real images."""
    decay: Fraction = setting(OPTIMIZE)
    """What is left after each step of a code's distance from that mean."""
    without_prior: WithoutGenerator = setting(NOTHING)
    """What the twin of such a picture takes in place of the generator (`config.twins`)."""


Parameterization = Annotated[
    PixelsConfig | FourierConfig | PyramidConfig | CppnConfig | MacoConfig | GeneratorConfig,
    Field(discriminator="name"),
]


@settings
class RegularizerConfig:
    """One penalty. With weight w, a penalty of 1 costs the share w of the score."""

    name: Literal["l1", "l2", "total_variation", "blur", "bilateral", "border"] = setting(OPTIMIZE)
    weight: NotNegative = setting(OPTIMIZE)


@settings
class ExamplesConfig:
    """The penalty on activations unlike those of the unit's best examples (after VITAL, Gorgun et al. 2025).

    In a few layers before the unit's own, the distribution of each channel's values over the picture is compared with
    that over the parts of the examples that the unit saw. The difference is measured in the examples' variances.
    """

    name: Literal["examples"] = setting(OPTIMIZE)
    weight: NotNegative = setting(OPTIMIZE)
    match: Literal["moments", "sorted"] = setting(OPTIMIZE, default="sorted")
    """What is compared: mean and standard deviation, or all values in order of size."""
    layers: Annotated[int, Field(ge=1, le=16)] = setting(OPTIMIZE, default=3)
    """Layers in which they are compared, evenly spaced among those before the unit's."""
    examples: Positive = setting(OPTIMIZE, default=9)
    """Examples that the picture is compared with; one view of each image."""


@settings
class PatchesConfig:
    """The penalty on patches of 8 x 8 pixels that are rare in the dataset (Wei et al. 2015; EPLL, Zoran, Weiss 2011).

    It is how much less likely they are than the dataset's, in nats for each value of a patch. The mixture of Gaussians
    that says so is fitted to the run's dataset (`priors.patches`).
    """

    name: Literal["patches"] = setting(OPTIMIZE)
    weight: NotNegative = setting(OPTIMIZE)


LEARNED = ("examples", "patches")
"""Penalties that read more than the picture; a recipe has each at most once."""
Regularizer = Annotated[RegularizerConfig | ExamplesConfig | PatchesConfig, Field(discriminator="name")]


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
class DepthConfig:
    """How a recipe follows the depth of a picture's layer (`plan.depth`)."""

    follow: bool = setting(OPTIMIZE)
    """False: the recipe is the same for all layers."""
    early_field: Fraction = setting(OPTIMIZE)
    """Layers whose receptive field is a smaller share of the input's side are early: zooms and turns shrink with it."""
    late_positions: Count = setting(OPTIMIZE)
    """Layers of at most this many positions along a side are late, as are vectors and the output."""
    late_steps: AboveZero = setting(OPTIMIZE)
    """Steps of a picture of a late layer, as a multiple of the recipe's."""
    late_coarse: Annotated[float, Field(ge=0, lt=1)] = setting(OPTIMIZE)
    """`coarse` in late layers, where half the model's input is about as large as the picture."""


@settings
class OptimizeConfig:
    """The whole recipe of a picture."""

    height_px: Annotated[int, Field(ge=8, le=4096)] = setting(OPTIMIZE)
    width_px: Annotated[int, Field(ge=8, le=4096)] = setting(OPTIMIZE)
    steps: Positive = setting(OPTIMIZE)
    warm_steps: Count = setting(HASHED, may_change=True)
    """Steps of a picture that starts from the one that the root's newest snapshot has of its unit; 0: no such start."""
    learning_rate: AboveZero = setting(OPTIMIZE)
    ascent: Ascent = setting(OPTIMIZE)
    gradient: Literal["plain", "blurred", "laplacian"] = setting(OPTIMIZE)
    """Filter on the gradient before each step; others than 'plain' are only for pixels."""
    dtype: Literal["auto", "float32", "bfloat16"] = setting(HASHED)
    batch: Count = setting(NOTHING)
    """Views of pictures in a step, which does not change the pictures. 0: 12 on processors, 64 on GPUs."""
    parameterization: Parameterization
    transform: TransformConfig
    regularizers: tuple[Regularizer, ...]
    prior: Prior
    sampler: Sampler
    stop: StopConfig
    depth: DepthConfig
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
        names: list[str] = [regularizer.name for regularizer in self.regularizers]
        if twice := [name for name in LEARNED if names.count(name) > 1]:
            raise ValueError(f"regularizers has {twice[0]!r} {names.count(twice[0])} times; give it once")

    @property
    def has_prior(self) -> bool:
        """Say whether a denoiser of natural images pulls at the pictures."""
        return isinstance(self.prior, DenoiserPrior) and self.prior.strength > 0

    @property
    def is_shaped(self) -> bool:
        """Say whether anything that was learned of what is natural shapes the pictures (`config.twins`)."""
        generated = isinstance(self.parameterization, GeneratorConfig)
        return self.has_prior or generated or self.examples is not None or self.patches is not None

    @property
    def chain(self) -> ChainConfig | None:
        """Return the chain that pictures are samples of; None for a recipe whose pictures climb."""
        return self.sampler if isinstance(self.sampler, ChainConfig) else None

    @property
    def examples(self) -> ExamplesConfig | None:
        """Return the penalty that needs the units' best examples; None if the recipe has none, or without weight."""
        return next((each for each in self.regularizers if isinstance(each, ExamplesConfig) and each.weight), None)

    @property
    def patches(self) -> PatchesConfig | None:
        """Return the penalty that needs the dataset's patches; None if the recipe has none, or without weight."""
        return next((each for each in self.regularizers if isinstance(each, PatchesConfig) and each.weight), None)
