"""Turn a sweep into a plan: every layer, picture and span, each with the key of its result. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

from network_atlas.config.priors import NONE
from network_atlas.config.schema import RunConfig
from network_atlas.config.sweep import SweepConfig
from network_atlas.errors import ConfigError
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec, ModelFacts
from network_atlas.plan.attributions import attribution_keys, owners
from network_atlas.plan.calibration import RANDOM_EXAMPLES
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.directions import with_directions
from network_atlas.plan.expansion import Context, extra_pictures, pictures_of
from network_atlas.plan.layouts import with_layouts
from network_atlas.plan.learned import Origin, measuring_model, models_of
from network_atlas.plan.pictures import Picture, distinct
from network_atlas.plan.plan import Plan
from network_atlas.plan.recipes import recipe_of, takes_magnitude, takes_sample
from network_atlas.plan.scans import Scans
from network_atlas.plan.shares import Share
from network_atlas.plan.spans import scanned_how, spans_of, statistics_keys
from network_atlas.plan.sweep import Selection
from network_atlas.plan.variants import has_units
from network_atlas.stats.sample import sample_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The facts about a dataset that planning uses."""

    examples: Sequence[tuple[str, str]]
    """Pairs of (example_id, version), sorted by id."""
    labels: Sequence[str] = ()
    """One label per example; empty if none is known."""
    sample_limit: str
    """The largest hash of an example whose values are kept."""
    images_limit: str
    """The largest hash of an example whose pixels go into the statistics of the images."""


def make_plan(
    config: RunConfig,
    facts: ModelFacts,
    selections: Sequence[Selection],
    dataset: Dataset,
    *,
    dtypes: Mapping[str, str],
    weights_files: Mapping[str, str] | None = None,
    measured_otherwise: str = NONE,
) -> Plan:
    """Return the plan for `selections` over a dataset.

    `dtypes` has the number format of each recipe ('float32' or 'bfloat16', never 'auto'), by the recipe's name;
    `weights_files` the SHA-256 of each file that recipes take a learned model from. `measured_otherwise` is the
    denoiser that says how natural pictures look where that is left open (`run.naturalness`).
    Raises ConfigError for a variant that fits no selected layer, and for units that the model does not have.
    """
    spans = spans_of(
        dataset.examples,
        dataset.labels or [""] * len(dataset.examples),
        config,
        sample_limit=dataset.sample_limit,
        images_limit=dataset.images_limit,
    )
    scans = Scans(facts, scanned_how(spans, config))
    content = fingerprint("dataset", [span.content for span in spans])
    recipes = {
        name: fingerprint("recipe", recipe_of(config.recipe(name), config.model.input, dtype))
        for name, dtype in dtypes.items()
    }
    origin = Origin(
        config=config,
        dataset=content,
        files=weights_files or {},
        upstream=facts.upstream,
        layers=facts.layers,
        repeats=facts.repeats,
        otherwise=measured_otherwise,
    )
    models = {name: models_of(config.recipe(name), origin) for name in dtypes}
    models = {name: asked for name, asked in models.items() if asked}
    context = Context(config=config, facts=facts, recipes=recipes, scans=scans, dataset=content, models=models)
    _check_variants(config.sweep, [selection.layer for selection in selections])
    layers = [_layer_plan(selection, pictures, context) for selection, pictures in _pictures(selections, context)]
    random_ids = tuple(nsmallest(RANDOM_EXAMPLES, (name for name, _ in dataset.examples), key=sample_hash))
    return Plan(
        layers=with_directions(with_layouts(layers, config.layout), config.sweep.directions, facts.lowest),
        spans=spans,
        statistics_keys=statistics_keys(spans, config),
        sample_limit=dataset.sample_limit,
        images_limit=dataset.images_limit,
        block=config.sweep.block,
        dtypes=dtypes,
        random_ids=random_ids,
        model_layers={layer.name: layer for layer in facts.layers},
        repeats=frozenset(facts.repeats),
        passed_on=owners(facts.layers, facts.repeats),
        attributions=attribution_keys(layers, config.attribute, random_ids),
        magnitude_recipes=frozenset(name for name in dtypes if takes_magnitude(config.recipe(name))),
        matched_layers={
            name: examples.layers for name in dtypes if (examples := config.recipe(name).examples) is not None
        },
        sampled_recipes=frozenset(name for name in dtypes if takes_sample(config.recipe(name))),
        recipe_models=models,
        measuring_model=measuring_model([config.recipe(name) for name in dtypes], origin),
        share=Share.of(config.sweep.share),
    )


def _check_variants(sweep: SweepConfig, layers: Sequence[LayerSpec]) -> None:
    for number, variant in enumerate(sweep.variants):
        if not any(has_units(layer, variant, sweep.cosine_power) for layer in layers):
            raise ConfigError(
                f"sweep.variants.{number} ({variant.name}) fits none of the selected layers: probabilities need the "
                "output, class tokens a token layer, directions and whole layers any layer but the output"
            )


def _pictures(selections: Sequence[Selection], context: Context) -> Iterator[tuple[Selection, tuple[Picture, ...]]]:
    """Yield every layer of the atlas with its pictures: the selected layers, and the layers of extra pictures."""
    extra = extra_pictures(context)
    selected = {selection.layer.name: selection for selection in selections}
    for layer in sorted(context.facts.layers, key=lambda layer: layer.index):
        if layer.name in selected or layer.name in extra:
            selection = selected.get(layer.name, Selection(layer=layer, channels=(), variants=()))
            yield selection, distinct(pictures_of(selection, context) + extra.get(layer.name, ()))


def _layer_plan(selection: Selection, pictures: tuple[Picture, ...], context: Context) -> LayerPlan:
    return LayerPlan(
        layer=selection.layer,
        upstream=context.facts.upstream[selection.layer.name],
        channels=selection.channels,
        pictures=pictures,
        scan_keys=context.scans.keys(selection.layer),
    )
