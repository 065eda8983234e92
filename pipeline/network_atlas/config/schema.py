"""The configuration of a run, as frozen values.

One `RunConfig` describes one atlas. The classes here hold types and checks; `conf/` has the values and explains them to
users. Nothing here knows Hydra: `network_atlas.config.compose` builds these classes from YAML.

Each field says which results it determines (`config.declare`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from network_atlas.config.arguments import Arguments
from network_atlas.config.attribute import AttributeConfig
from network_atlas.config.check_chains import check_chains
from network_atlas.config.dataset import DatasetConfig
from network_atlas.config.declare import (
    ASSEMBLE,
    HASHED,
    NOTHING,
    OPTIMIZE,
    SCAN,
    AboveZero,
    Count,
    Positive,
    Seed,
    Text,
    setting,
    settings,
)
from network_atlas.config.executor import InlineConfig, RayConfig
from network_atlas.config.layout import LayoutConfig
from network_atlas.config.priors import PACKAGED, TRAINED, DenoiserPrior, PriorsConfig
from network_atlas.config.recipe import GeneratorConfig, OptimizeConfig
from network_atlas.config.sweep import SweepConfig
from network_atlas.config.verdict import VerdictConfig
from network_atlas.errors import counted


@settings
class InputConfig:
    """The model's input, of shape (batch, channels, height, width), and how it is made from an image.

    An image is resized so that its shorter side is `resize`, cropped around its centre to
    (`height`, `width`), scaled to the range 0..`value_range`, and normalized as (x - mean) / std per channel.
    """

    channels: Positive = setting(SCAN, OPTIMIZE, ASSEMBLE)
    height: Positive = setting(SCAN, OPTIMIZE, ASSEMBLE)
    width: Positive = setting(SCAN, OPTIMIZE, ASSEMBLE)
    resize: Positive = setting(SCAN, OPTIMIZE, ASSEMBLE)
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = setting(SCAN, OPTIMIZE, ASSEMBLE)
    value_range: AboveZero = setting(SCAN, OPTIMIZE, ASSEMBLE)
    # (channels,), or one value for all channels.
    mean: tuple[float, ...] = setting(SCAN, OPTIMIZE, ASSEMBLE)
    std: tuple[AboveZero, ...] = setting(SCAN, OPTIMIZE, ASSEMBLE)

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


@settings
class ModelConfig:
    """The network, its weights and its input."""

    source: Literal["packaged", "torchvision", "timm", "function"] = setting(HASHED)
    name: str = setting(HASHED, ASSEMBLE)
    weights: str = setting(HASHED, may_change=True)
    """'default' (the source's own), 'none' (random, from `seed`), or the path of a checkpoint file."""
    arguments: Arguments = setting(HASHED)
    """Keyword arguments of the function that builds the network: any YAML values, lists and mappings too."""
    seed: Seed = setting(HASHED)
    output: str = setting(HASHED, default="")
    """Of a model that returns several tensors, the name of the one that is its output: a key, a field or a number, with
    dots for those inside others ('logits', 'features.0')."""
    allow_code: bool = setting(NOTHING)
    version: str = setting(HASHED, may_change=True, default="")
    """A text of the user's that says which network this is: another one makes everything anew. While it stands, edits
    of the code do not: it counts in place of the code's own hash."""
    input: InputConfig
    classes: str = setting(HASHED, may_change=True)
    """'imagenet', 'none', or the path of a text file with one class name a line."""
    main_layers: tuple[str, ...] = setting(NOTHING)
    main_classes: str | tuple[Count, ...] = setting(NOTHING)
    """The classes whose logits `sweep=demo` shows, in the form of a select's `channels`."""
    frozen: bool = setting(NOTHING)
    """Let convolutions, what follows them, and their gradients run in fewer passes; numbers change by rounding alone.
    False: the network's own code, for a check."""
    compile: Literal["auto", "never", "always"] = setting(NOTHING, default="auto")
    """Let torch compile the network's blocks for the steps of pictures; numbers change by rounding alone. 'auto': on a
    GPU, for large atlases, if that is faster there (`models.steps`)."""


@settings
class ScanConfig:
    """How the dataset is scanned."""

    span: Positive = setting(HASHED, may_change=True)
    """Examples per task."""
    batch: Count = setting(NOTHING)
    """0: 4 on processors, 64 on GPUs."""
    top_k: Positive = setting(SCAN, ASSEMBLE)
    bottom_k: Count = setting(SCAN, ASSEMBLE)
    spectrum_k: Count = setting(SCAN, ASSEMBLE)
    """Number of examples of each kind that is ranked by spatial mean."""
    class_k: Count = setting(SCAN, ASSEMBLE)
    """Number of classes of which each channel's record has an example; 0 leaves classes out altogether."""
    sample: Positive = setting(HASHED, ASSEMBLE)
    """Least number of examples, chosen by hash of their ids, whose values are all kept, for percentiles."""


@settings
class StoreConfig:
    """Where the atlas is kept."""

    root: Text = setting(NOTHING)
    """A folder or the URI of any pyarrow filesystem: s3://bucket/path, gs://..."""
    allow_changes: bool = setting(NOTHING)
    """Go on in a root whose atlas was made by other settings, and publish a new snapshot there."""


@settings
class AssembleConfig:
    """The form of the joined tables and the pages."""

    crop_px: Annotated[int, Field(ge=16, le=1024)] = setting(ASSEMBLE, may_change=True)
    """Side of the stored crops of dataset examples."""
    image_px: Annotated[int, Field(ge=16, le=2048)] = setting(ASSEMBLE, may_change=True)
    """Longer side of the stored whole images of dataset examples; smaller ones are not enlarged."""
    whole_images: Count = setting(ASSEMBLE, may_change=True)
    """A dataset of no more examples has each one that is listed stored whole. Of a larger one those that many channels
    of a layer list are stored whole, of others the crops alone."""
    views_per_image: Count = setting(ASSEMBLE, may_change=True)
    """Views of one image that a list of examples may show; 0 for any number."""
    near_copy_bits: Annotated[int, Field(ge=-1, le=32)] = setting(ASSEMBLE, may_change=True)
    """Of two examples in one list whose perceptual hashes (64 bits) differ in no more bits, the better one is shown;
    -1 shows both."""
    concept_images: Positive = setting(ASSEMBLE, may_change=True)
    """Images that a label, or a union of labels, must have for a channel to be named after it."""
    verdict: VerdictConfig


@settings
class RunConfig:
    """Everything one run needs."""

    model: ModelConfig
    dataset: DatasetConfig
    sweep: SweepConfig
    scan: ScanConfig
    layout: LayoutConfig
    priors: PriorsConfig
    optimize: OptimizeConfig
    """The recipe of all variants that name no other."""
    recipes: dict[str, OptimizeConfig]
    """Further recipes, by name; variants choose them by that name."""
    attribute: AttributeConfig
    assemble: AssembleConfig
    executor: Annotated[InlineConfig | RayConfig, Field(discriminator="name")]
    store: StoreConfig
    retry_failed: bool = setting(NOTHING)
    """Try the pictures again that earlier runs could not make and left out."""

    def __post_init__(self) -> None:
        _check_dataset(self)
        _check_recipes(self)
        _check_images(self)
        _check_priors(self)
        check_chains(self)
        if self.retry_failed and self.sweep.share:
            raise ValueError(
                f"retry_failed=true empties the whole quarantine, and sweep.share={self.sweep.share} is one run of "
                "several; leave sweep.share out"
            )

    @property
    def kept(self) -> ScanConfig:
        """Return the scan with as many examples of each kind as it keeps, which may be more than lists show.

        The best `k` images are among the best `k * views` examples, as each image has so many views. By spatial mean as
        many are kept as by spatial maximum: calibration compares pictures with these.
        """
        scan, views = self.scan, self.dataset.views
        by_mean = max(scan.spectrum_k, scan.top_k)
        return replace(scan, top_k=scan.top_k * views, bottom_k=scan.bottom_k * views, spectrum_k=by_mean * views)

    def recipe(self, name: str) -> OptimizeConfig:
        """Return a recipe by name; '' stands for `optimize`."""
        return self.recipes[name] if name else self.optimize


def _check_dataset(config: RunConfig) -> None:
    """Raise ValueError if the dataset does not fit the model or the sweep."""
    channels, sweep = config.model.input.channels, config.sweep
    none = config.dataset.source == "none"
    if channels not in (1, 3) and not none:
        raise ValueError(
            f"model.input.channels={channels}, but the images of a dataset are grey or RGB; give 1 or 3, or "
            "dataset=none for pictures without examples"
        )
    if none and config.attribute.layers:
        raise ValueError("attribute.layers: attributions are of images, but dataset=none has none; give attribute=none")
    if none and sweep.directions.include:
        raise ValueError(
            "sweep.directions.include: directions are found in the activations of the dataset, but dataset=none has no "
            "images; give sweep.directions.include=[]"
        )
    for variant in sweep.variants:
        if none and (variant.facets or variant.start == "example" or variant.objective == "coactive"):
            raise ValueError(f"sweep: variant {variant.name!r} uses the scan, but dataset=none has no images to scan")
        examples_kept = config.scan.top_k if variant.sign == "+" else config.scan.bottom_k
        if variant.facets > examples_kept:
            raise ValueError(
                f"sweep: facets={variant.facets} are clusters of best examples, but the scan keeps {examples_kept}; "
                "raise scan.top_k (scan.bottom_k for minimized pictures), best to several times that number"
            )
    parameterizations = [
        config.optimize.parameterization,
        *(recipe.parameterization for recipe in config.recipes.values()),
    ]
    if none and any(
        parameterization.name == "maco" and parameterization.magnitude == "dataset"
        for parameterization in parameterizations
    ):
        raise ValueError(
            "maco takes its magnitude from the dataset, but dataset=none has no images; give magnitude=packaged"
        )


def _check_images(config: RunConfig) -> None:
    """Raise ValueError if a recipe needs images of the dataset that there are none of."""
    for name, recipe in {"optimize": config.optimize, **config.recipes}.items():
        kind = recipe.parameterization
        if isinstance(kind, GeneratorConfig) and not kind.function and config.dataset.source == "none":
            raise ValueError(
                f"the parameterization generator of {name} is a decoder that is trained on the dataset, but "
                "dataset=none has no images; give one of your own in parameterization.function"
            )
        penalty = recipe.examples or recipe.patches
        if penalty is not None and config.dataset.source == "none":
            raise ValueError(
                f"the penalty {penalty.name!r} of {name} compares pictures with images of the dataset, but "
                "dataset=none has none; leave it out of the regularizers"
            )
    if config.layout.layers and config.recipe(config.layout.recipe).examples is not None:
        raise ValueError(
            "layout.recipe has the penalty 'examples', which compares a picture with its unit's best examples; the "
            "scan keeps those of channels alone, not of cells. Give the icons another recipe: "
            "+optimize@recipes.icon=icon layout.recipe=icon"
        )


def _check_recipes(config: RunConfig) -> None:
    """Raise ValueError if the sweep names a recipe that does not exist, or one that can't make its pictures."""
    names, sweep = ("", *config.recipes), config.sweep
    named = [item.recipe for items in (sweep.variants, sweep.combine, sweep.interpolate) for item in items]
    named += [config.layout.recipe, sweep.directions.recipe]
    for name in dict.fromkeys(named):
        if name not in names:
            raise ValueError(
                f"recipe={name!r} is not among recipes ({', '.join(config.recipes) or 'none given'}); "
                f"add it: +optimize@recipes.{name}=lucid, or leave it empty for `optimize`"
            )
    for variant in sweep.variants:
        kind = config.recipe(variant.recipe).parameterization.name
        if kind in ("cppn", "generator") and (variant.facets or variant.start == "example"):
            raise ValueError(
                f"sweep: variant {variant.name!r} starts from images, which parameterization {kind} can't; "
                "give it a recipe with pixels, fourier, laplacian_pyramid or maco"
            )
    for row in sweep.interpolate:
        kind = config.recipe(row.recipe).parameterization.name
        if kind in ("cppn", "maco", "generator"):
            raise ValueError(
                f"sweep: interpolations share coarse parts, which parameterization {kind} does not have; "
                "give them a recipe with fourier, pixels or laplacian_pyramid"
            )


def _check_priors(config: RunConfig) -> None:
    """Raise ValueError for a denoiser that does not fit the model's channels, or that has no images to learn from."""
    recipes, channels = (config.optimize, *config.recipes.values()), config.model.input.channels
    chosen = [recipe.prior.weights for recipe in recipes if isinstance(recipe.prior, DenoiserPrior)]
    if config.layout.layers and config.recipe(config.layout.recipe).is_shaped:
        raise ValueError(
            "layout: icons of a map have no pictures without a prior beside them; give layout.recipe a recipe with "
            "optimize/prior=none, of pixels of its own: +optimize@recipes.icon=icon layout.recipe=icon"
        )
    for weights in (*chosen, config.priors.naturalness):
        if weights == TRAINED and config.dataset.source == "none":
            raise ValueError(
                "a denoiser is trained on the dataset, but dataset=none has no images; give weights=packaged (RGB), or "
                f"the path of a file with weights of an FFDNet of {counted(channels, 'channel')}"
            )
        if weights == PACKAGED and channels != 3:
            raise ValueError(
                f"the packaged denoiser is for RGB, and the model takes {counted(channels, 'channel')}; give "
                "weights=trained (grey or RGB), or the path of a file with weights of an FFDNet of as many channels"
            )
