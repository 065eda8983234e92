"""What a step of a picture costs beside its passes through the network: priors, learned penalties, generators. Pure.

`atlas plan` times steps without these, whose models are not there yet. All figures are processor seconds of one core of
a typical machine, as measured by `scripts/bench/prices`; other machines differ, so that prices have a range. A chain
needs no figure: it takes as many times the passes as it has starts.
"""

from __future__ import annotations

from collections.abc import Sequence

from network_atlas.config.priors import TRAINED, DenoiserPrior
from network_atlas.config.recipe import GeneratorConfig, OptimizeConfig
from network_atlas.config.schema import RunConfig
from network_atlas.layers import LayerSpec
from network_atlas.plan.depth import fitted

DENOISER_RATE = {"float32": 6e10, "bfloat16": 1.2e11}
"""Multiplications a second of a denoiser's convolutions, by number format: that of the recipe for trained ones, float32
for all others."""
PACKAGED_WEIGHTS = 852_108
"""Of the packaged denoiser; files of the user's are taken to be as large."""
PATCHES_RATE = 1e10
"""Multiplications a second of the mixture of patches."""
GENERATOR_RATE = 1e10
"""Multiplications a second of a decoder, forward and backward; generators of the user's are taken to be like it."""
EXAMPLES = {"moments": 0.0004, "sorted": 0.0035}
"""Seconds of each layer in which a picture is compared with its unit's examples, by what is compared."""
NATURAL_IMAGES = 128
"""Images that pictures are compared with by a denoiser (`calibrate.naturalness`): a percentile to about one percent."""
RANGE = 2.0
"""Steps may take so many times these figures on another machine."""


def seconds_of_step(recipe: OptimizeConfig, config: RunConfig, dtype: str) -> float:
    """Return the seconds that a step of one picture takes beside its passes through the network.

    `dtype` is 'float32' or 'bfloat16'.
    """
    pixels, seconds = recipe.height_px * recipe.width_px, 0.0
    if isinstance(recipe.prior, DenoiserPrior) and recipe.has_prior:
        seconds += seconds_of_denoising(recipe, recipe.prior.weights, config, dtype)
    if recipe.patches is not None:
        # Each patch of 64 pixels is whitened, in 64 directions, for every component.
        seconds += pixels / 64 * 64**2 * config.priors.patches.components / PATCHES_RATE
    if recipe.examples is not None:
        seconds += EXAMPLES[recipe.examples.match] * recipe.examples.layers * recipe.transform.views
    if isinstance(recipe.parameterization, GeneratorConfig):
        seconds += generator_passes(config) / GENERATOR_RATE
    return seconds


def seconds_of_denoising(recipe: OptimizeConfig, weights: str, config: RunConfig, dtype: str = "float32") -> float:
    """Return the seconds that a denoiser takes for one picture of a recipe, or for an image of its size."""
    rate = DENOISER_RATE[dtype if weights == TRAINED else "float32"]
    # The network works at half the picture's side.
    return recipe.height_px * recipe.width_px / 4 * _weights(weights, config) / rate


def seconds_of_naturalness(recipes: Sequence[OptimizeConfig], weights: str, config: RunConfig) -> float:
    """Return the seconds to say how natural pictures look, one of each recipe given, by one worker.

    It compares each size of picture with images of the dataset first.
    """
    sizes = {(recipe.height_px, recipe.width_px): recipe for recipe in recipes}.values()
    images = NATURAL_IMAGES * sum(seconds_of_denoising(recipe, weights, config) for recipe in sizes)
    return images + sum(seconds_of_denoising(recipe, weights, config) for recipe in recipes)


def seconds_of_picture(
    recipe: OptimizeConfig, layer: LayerSpec, config: RunConfig, dtype: str, *, steps: int | None = None
) -> float:
    """Return the same of all steps of a picture, or of all samples of a chain together."""
    made_by = fitted(recipe, layer, config.model.input).recipe
    starts = made_by.chain.restarts if made_by.chain else 1
    return (steps or made_by.steps) * starts * seconds_of_step(made_by, config, dtype)


def denoiser_weights(features: int, convolutions: int, channels: int) -> int:
    """Return the weights of a denoiser (`priors.denoiser`), each of which is multiplied once for every four pixels."""
    return 9 * features * (features * (convolutions - 2) + 8 * channels + 1)


def generator_passes(config: RunConfig) -> float:
    """Return the multiplications of one image of a decoder, forward and backward.

    Its layers halve their features where they have four times the positions: each costs about as much as the last.
    """
    training = config.priors.decoder
    return 3 * 4 * 9 * (training.features / 8) ** 2 * training.side_px**2 / 2


def _weights(source: str, config: RunConfig) -> int:
    if source != TRAINED:
        return PACKAGED_WEIGHTS
    training = config.priors.denoiser
    return denoiser_weights(training.features, training.convolutions, config.model.input.channels)
