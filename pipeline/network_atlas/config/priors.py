"""The settings of learned priors: what a recipe asks for, and how models are learned from the run's own dataset.

A recipe asks by its group `optimize/prior`; `plan.learned` turns what the recipes of a run ask for into models, and
the stage `prior` fits those that come from the dataset.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from network_atlas.config.declare import (
    HASHED,
    NOTHING,
    OPTIMIZE,
    PRIOR,
    AboveZero,
    NotNegative,
    Positive,
    Seed,
    Text,
    setting,
    settings,
)

TRAINED, PACKAGED = "trained", "packaged"
"""Sources of a denoiser's weights; any other text is the path of a file."""
SOURCES = (TRAINED, PACKAGED)
AUTO, RECIPE, NONE = "auto", "recipe", "none"
"""Further choices of `priors.naturalness`."""
NoiseLevel = Annotated[float, Field(gt=0, le=75)]


@settings
class NoPrior:
    """No prior: nothing but the objective, the parameterization and the transforms shape the picture."""

    name: Literal["none"] = setting(NOTHING)


@settings
class DenoiserPrior:
    """Climb the density of natural images too, whose gradient a denoiser knows (Kadkhodaie, Simoncelli 2021)."""

    name: Literal["denoiser"] = setting(OPTIMIZE)
    weights: Text = setting(HASHED)
    """'trained' on the run's dataset, 'packaged' (extra `denoiser`), or the path of a file with FFDNet's weights."""
    strength: NotNegative = setting(OPTIMIZE)
    """Size of the prior's gradient as a multiple of the objective's, at the first steps; 0 is no prior."""
    noise_start: NoiseLevel = setting(OPTIMIZE)
    noise_end: NoiseLevel = setting(OPTIMIZE)
    """Standard deviation of the noise at the first and the last step, of 255; in between it falls by equal factors."""

    def __post_init__(self) -> None:
        if self.noise_end > self.noise_start:
            raise ValueError(
                f"noise_end={self.noise_end} is above noise_start={self.noise_start}; noise falls, or stays equal"
            )


Prior = Annotated[NoPrior | DenoiserPrior, Field(discriminator="name")]


@settings
class NetworkTraining:
    """How a network is learned from the run's dataset by steps, whatever it is."""

    images: Positive = setting(PRIOR, may_change=True)
    """Images that it learns from, chosen by hash; one in sixteen is held out to measure it."""
    batch: Positive = setting(PRIOR, may_change=True)
    steps: Positive = setting(PRIOR, may_change=True)
    learning_rate: AboveZero = setting(PRIOR, may_change=True)
    seed: Seed = setting(PRIOR, may_change=True)
    dtype: Literal["auto", "float32", "bfloat16"] = setting(PRIOR, may_change=True)
    """Of the products while it learns; weights, and all that it does later, are float32."""
    checkpoint_every: Positive = setting(NOTHING)
    """Steps between two checkpoints, from which a training that was stopped goes on."""


@settings
class DenoiserTraining(NetworkTraining):
    """How a denoiser is learned from the run's dataset: a small network after FFDNet (Zhang et al. 2018)."""

    features: Positive = setting(PRIOR, may_change=True)
    convolutions: Annotated[int, Field(ge=3, le=32)] = setting(PRIOR, may_change=True)
    side_px: Annotated[int, Field(ge=16, le=4096)] = setting(PRIOR, may_change=True)
    """Images are made smaller until their shorter side is at most this."""
    patch_px: Annotated[int, Field(ge=8, le=512)] = setting(PRIOR, may_change=True)


@settings
class PatchesTraining:
    """How a mixture of Gaussians is fitted to patches of the run's dataset (EPLL; Zoran, Weiss 2011)."""

    components: Positive = setting(PRIOR, may_change=True)
    images: Positive = setting(PRIOR, may_change=True)
    """Images that patches are taken from, chosen by hash; equally many from each."""
    patches: Annotated[int, Field(ge=8)] = setting(PRIOR, may_change=True)
    side_px: Annotated[int, Field(ge=16, le=4096)] = setting(PRIOR, may_change=True)
    """Images are made smaller until their shorter side is at most this: about the size of pictures."""
    noise: AboveZero = setting(PRIOR, may_change=True)
    """Standard deviation, on 0..1, that every direction of a patch has at least."""
    iterations: Positive = setting(PRIOR, may_change=True)
    """Rounds of expectation maximization, at most."""
    seed: Seed = setting(PRIOR, may_change=True)

    def __post_init__(self) -> None:
        if 2 * self.components > self.patches:
            raise ValueError(
                f"components={self.components} of patches={self.patches}: each component needs two patches or more; "
                f"give at most components={self.patches // 2}, or at least patches={2 * self.components}"
            )


@settings
class DecoderTraining(NetworkTraining):
    """How a decoder from a layer's activations to images is learned (Dosovitskiy, Brox 2016)."""

    layer: str = setting(HASHED, may_change=True)
    """A layer of the atlas's network that has maps; '' takes the last with at least a sixteenth of the input's rows."""
    side_px: Annotated[int, Field(ge=8, le=1024)] = setting(PRIOR, may_change=True)
    """About the shorter side of the images that it makes: the layer's maps are doubled until they come nearest."""
    features: Annotated[int, Field(ge=8, le=1024)] = setting(PRIOR, may_change=True)
    """Of its first convolution; half as many after each doubling."""


@settings
class PriorsConfig:
    """Models learned from the run's own dataset, by kind; only those that something asks for are made."""

    denoiser: DenoiserTraining
    patches: PatchesTraining
    decoder: DecoderTraining
    naturalness: Text = setting(HASHED, may_change=True)
    """The denoiser by which pictures are compared with the dataset's images: 'recipe' takes that of the first recipe
    that has one, 'auto' too, and else the packaged one where the first run finds it; 'none' measures nothing;
    'trained', 'packaged' or a path as for `optimize.prior.weights`."""
