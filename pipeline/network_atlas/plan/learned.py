"""Models behind priors: which ones the recipes of a run ask for, the key of each, and the tasks that fit them. Pure.

A model is fitted to the run's own dataset, comes with a package, or is a file of the user's. Each kind that can be
fitted has settings of its name in `config.priors`, an entry in `KINDS`, and one in `priors.worker.FITTERS`. Pictures
that are made or measured with a model have its key in their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest

from network_atlas.config.arguments import keywords
from network_atlas.config.declare import PRIOR
from network_atlas.config.determines import determining
from network_atlas.config.priors import AUTO, NONE, PACKAGED, RECIPE, TRAINED, DenoiserPrior
from network_atlas.config.recipe import GeneratorConfig, OptimizeConfig
from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError, did_you_mean
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec
from network_atlas.plan.contents import LearnedModel
from network_atlas.plan.patterns import matches
from network_atlas.plan.plan import Plan
from network_atlas.plan.prices import GENERATOR_RATE, denoiser_weights, generator_passes
from network_atlas.plan.tasks import PriorTask
from network_atlas.stats.sample import sample_hash

ROWS_SHARE = 16
"""A decoder's layer has at least this part of the input's rows: with fewer, small images leave it too little to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What learned models follow from."""

    config: RunConfig
    dataset: str
    """Fingerprint of all spans of the dataset."""
    files: Mapping[str, str]
    """SHA-256 of each file of weights that a recipe names."""
    upstream: Mapping[str, str]
    """Hash of the network up to each layer, for models of its activations."""
    layers: Sequence[LayerSpec] = ()
    """The layers of the network, in the order of execution."""
    repeats: Collection[str] = ()
    """Names of those whose channels are another's."""
    otherwise: str = NONE
    """The denoiser that measures where `priors.naturalness` is 'auto' and no recipe has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of model that is fitted to the dataset."""

    algorithm: int
    """Raise this number when the same images give another model."""
    seconds: Callable[[RunConfig], float]
    """Seconds that fitting takes on one core of a typical machine."""


def _denoiser_seconds(config: RunConfig) -> float:
    training = config.priors.denoiser
    parameters = denoiser_weights(training.features, training.convolutions, config.model.input.channels)
    # A forward and a backward pass at each position of the patches, which are half as wide inside of the network.
    speed = 4e10 if training.dtype == "float32" else 1.5e11
    return training.steps * training.batch * (training.patch_px / 2) ** 2 * parameters * 3 / speed


def _patches_seconds(config: RunConfig) -> float:
    training = config.priors.patches
    # Each round whitens all patches for every component, and sums their products.
    return training.iterations * training.patches * training.components * 64**2 * 4 / 1e10


def _decoder_seconds(config: RunConfig) -> float:
    training = config.priors.decoder
    return training.steps * training.batch * generator_passes(config) / GENERATOR_RATE


KINDS = {
    "denoiser": Kind(algorithm=1, seconds=_denoiser_seconds),
    "patches": Kind(algorithm=1, seconds=_patches_seconds),
    "decoder": Kind(algorithm=1, seconds=_decoder_seconds),
}


def models_of(recipe: OptimizeConfig, origin: Origin) -> tuple[LearnedModel, ...]:
    """Return the models that pictures of a recipe are made with; () for a recipe without a learned prior."""
    models = []
    prior = recipe.prior
    if isinstance(prior, DenoiserPrior) and recipe.has_prior:
        models.append(_denoiser(prior.weights, origin))
    if recipe.patches is not None:
        models.append(fitted("patches", origin))
    if isinstance(recipe.parameterization, GeneratorConfig):
        models.append(_generator(recipe.parameterization, origin))
    return tuple(models)


def _generator(config: GeneratorConfig, origin: Origin) -> LearnedModel:
    if config.function:
        identity = origin.files[generator_name(config)]
        return LearnedModel(kind="generator", key=fingerprint("generator", identity), source=config.function)
    layer = decoder_layer(origin)
    # Not the settings' name of the layer: left empty, it means this one.
    return replace(fitted("decoder", origin, layer.name, origin.upstream[layer.name]), layer=layer)


def generator_name(config: GeneratorConfig) -> str:
    """Return the name under which `Origin.files` has the hash of a generator of the user's."""
    return f"{config.function} {sorted(keywords(config.arguments).items())}"


def decoder_layer(origin: Origin) -> LayerSpec:
    """Return the layer whose activations a decoder learns to turn into images.

    The last with at least a sixteenth of the input's rows; of the main layers, where some have so many. Raises
    ConfigError for a layer that has no maps, and for a network of which no layer has.
    """
    config = origin.config
    name, rows = config.priors.decoder.layer, config.model.input.height / ROWS_SHARE
    maps = [layer for layer in origin.layers if layer.positions[1] > 1]
    names = [layer.name for layer in maps]
    if name:
        if name not in names:
            raise ConfigError(
                f"priors.decoder.layer={name!r}: no layer of that name has maps of rows and columns."
                + did_you_mean(name, names)
            )
        return maps[names.index(name)]
    large = [layer for layer in maps if layer.positions[0] >= rows and layer.name not in origin.repeats]
    main = [layer for layer in large if any(matches(glob, layer.name) for glob in config.model.main_layers)]
    if not large:
        raise ConfigError(
            "parameterization=generator trains a decoder from a layer with maps of rows and columns, of which this "
            "network has none that is large enough; name one in priors.decoder.layer, or give a generator of your own "
            "in optimize.parameterization.function"
        )
    return (main or large)[-1]


def measuring_model(recipes: Collection[OptimizeConfig], origin: Origin) -> LearnedModel | None:
    """Return the denoiser by which pictures are measured; None if nothing asks for one."""
    choice = origin.config.priors.naturalness
    if choice in (AUTO, RECIPE):
        models = [model for recipe in recipes for model in models_of(recipe, origin)]
        of_recipe = next((model for model in models if model.kind == "denoiser"), None)
        if of_recipe is not None:
            return of_recipe
        choice = origin.otherwise if choice == AUTO else NONE
    return None if choice == NONE else _denoiser(choice, origin)


def _denoiser(weights: str, origin: Origin) -> LearnedModel:
    if weights == TRAINED:
        return fitted("denoiser", origin)
    key = fingerprint("denoiser", weights if weights == PACKAGED else origin.files[weights])
    return LearnedModel(kind="denoiser", key=key, source=weights, sha256=origin.files.get(weights, ""))


def fitted(kind: str, origin: Origin, *more: object) -> LearnedModel:
    """Return the model of a kind that is fitted to the dataset; `more` is what it follows from besides."""
    config = origin.config
    settings = determining(getattr(config.priors, kind), PRIOR)
    content = (KINDS[kind].algorithm, origin.dataset, config.model.input.channels, settings, *more)
    return LearnedModel(kind=kind, key=fingerprint("prior", kind, content), source=TRAINED)


def fitted_here(plan: Plan) -> tuple[LearnedModel, ...]:
    """Return the models of the plan that the run's share fits."""
    return tuple(model for model in plan.learned if model.source == TRAINED and plan.share.has(model.key))


def prior_tasks(plan: Plan, done: Collection[str], config: RunConfig) -> list[PriorTask]:
    """Return a task for each model of the share that is not yet fitted."""
    ids = [example_id for span in plan.spans for example_id in span.example_ids]
    return [
        PriorTask(
            kind=model.kind,
            key=model.key,
            example_ids=tuple(sorted(nsmallest(getattr(config.priors, model.kind).images, ids, key=sample_hash))),
            seconds=KINDS[model.kind].seconds(config),
            layer=model.layer,
        )
        for model in fitted_here(plan)
        if model.key not in done
    ]
