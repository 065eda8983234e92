"""Expand a sweep into its pictures, each with the key of its result. Pure.

A key covers all that a picture is (`network_atlas.plan.pictures`), the network up to every layer that the picture is
read from, and the scans that it uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from network_atlas.config.recipe import ExamplesConfig, OptimizeConfig
from network_atlas.config.schema import RunConfig
from network_atlas.config.sweep import CombineConfig, InterpolateConfig, VariantConfig, variant_name
from network_atlas.errors import ConfigError, did_you_mean
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec, ModelFacts
from network_atlas.plan.channels import choose_among
from network_atlas.plan.contents import LearnedModel
from network_atlas.plan.earlier import earlier_layers
from network_atlas.plan.pictures import Kind, Picture, Start, Together
from network_atlas.plan.recipes import takes_magnitude, takes_sample, takes_scan
from network_atlas.plan.references import is_measured_by_scan
from network_atlas.plan.scans import Scans
from network_atlas.plan.sweep import Selection
from network_atlas.plan.unit_text import read_unit
from network_atlas.plan.variants import objective_of, unit_of, whole_layer_units
from network_atlas.units import Neuron, Single, Sum, Term, Unit, layers_of, terms_of

PICTURE_ALGORITHM = 4
"""Raise this number when the same recipe makes another picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The inputs from which pictures are made, and which their keys cover."""

    config: RunConfig
    facts: ModelFacts
    recipes: Mapping[str, str]
    """Fingerprint of each recipe, by name."""
    scans: Scans
    dataset: str
    """Fingerprint of all spans of the dataset."""
    models: Mapping[str, tuple[LearnedModel, ...]]
    """The learned models that recipes take, by the recipe's name."""

    def layer(self, name: str) -> LayerSpec:
        return next(layer for layer in self.facts.layers if layer.name == name)


def pictures_of(selection: Selection, context: Context) -> tuple[Picture, ...]:
    """Return all pictures of one layer's variants: first channel by channel, then those of the layer as a whole."""
    layer, seed = selection.layer, context.config.sweep.seed
    having = [
        (variant, frozenset(choose_among(variant.channels, layer, selection.channels, seed=seed)))
        for variant in selection.variants
    ]
    pictures = [
        picture
        for channel in selection.channels
        for variant, channels in having
        if channel in channels and (unit := unit_of(layer, channel, variant)) is not None
        for picture in _set(unit, variant, layer, context)
    ]
    for variant in selection.variants:
        for unit in whole_layer_units(layer, variant, context.config.sweep.cosine_power):
            pictures += _set(unit, variant, layer, context)
    return tuple(pictures)


def extra_pictures(context: Context) -> dict[str, tuple[Picture, ...]]:
    """Return the pictures of `sweep.combine` and `sweep.interpolate`, by the last layer that each is read from.

    A picture is learned with, and shown under, that layer.
    """
    by_layer: dict[str, list[Picture]] = {}
    sweep = context.config.sweep
    for number, combine in enumerate(sweep.combine):
        unit, layer = _read(combine.unit, f"sweep.combine.{number}.unit", context)
        by_layer.setdefault(layer.name, []).append(_keyed(_combined(combine, unit, layer), layer, context))
    for number, row in enumerate(sweep.interpolate):
        for layer, picture in _interpolation(row, f"sweep.interpolate.{number}", context):
            by_layer.setdefault(layer.name, []).append(picture)
    return {name: tuple(pictures) for name, pictures in by_layer.items()}


def _unkeyed(unit: Unit, setting: VariantConfig | CombineConfig | InterpolateConfig, variant: str) -> Picture:
    return Picture(
        key="",
        unit=unit,
        variant=variant,
        objective=objective_of(unit),
        sign=-1 if getattr(setting, "sign", "+") == "-" else 1,  # interpolations have none
        seed=setting.seed,
        recipe=setting.recipe,
    )


def _combined(setting: CombineConfig, unit: Single | Sum, layer: LayerSpec) -> Picture:
    """Return the picture of a unit written as text, with the variant's name that `sweep.variants` would give it."""
    elsewhere = isinstance(unit, Neuron) and (unit.row, unit.column) != layer.centre
    position = f"{unit.row},{unit.column}" if isinstance(unit, Neuron) and elsewhere else ""
    name = variant_name(f"{objective_of(unit)}{setting.sign}", setting.seed, position, recipe=setting.recipe)
    return _unkeyed(unit, setting, name)


def _set(unit: Unit, variant: VariantConfig, layer: LayerSpec, context: Context) -> Iterator[Picture]:
    """Yield the pictures of one variant of one unit: a single picture, or a set."""
    together = _together("diverse", layer, context.config.recipe(variant.recipe), context) if variant.diverse else None
    for number, name in enumerate(variant.names):
        picture = _unkeyed(unit, variant, name)
        if together is not None:
            picture = replace(picture, together=replace(together, index=number, count=variant.diverse))
        elif variant.samples:
            member = Together(kind="chain", layer=layer.name, index=number, count=variant.samples)
            picture = replace(picture, together=member)
        elif variant.facets:
            picture = replace(picture, start=Start(kind="facet", index=number, count=variant.facets))
        else:
            picture = replace(picture, start=Start(kind=variant.start))
        yield _keyed(picture, layer, context)


def _interpolation(row: InterpolateConfig, setting_path: str, context: Context) -> Iterator[tuple[LayerSpec, Picture]]:
    first, _ = _read(row.first, f"{setting_path}.first", context)
    last, _ = _read(row.last, f"{setting_path}.last", context)
    layers = {name: context.layer(name) for name in (*layers_of(first), *layers_of(last))}
    last_layer = max(layers.values(), key=lambda layer: layer.index)
    together = _together("aligned", last_layer, context.config.recipe(row.recipe), context)
    for number in range(row.pictures):
        t = number / (row.pictures - 1)  # 0 and 1 included: the row begins and ends with the units themselves
        mixed = [(1 - t, term) for term in terms_of(first)] + [(t, term) for term in terms_of(last)]
        terms = tuple(Term(weight=share * term.weight, unit=term.unit) for share, term in mixed if share)
        step = f"{number + 1} of {row.pictures}"
        picture = _unkeyed(Sum(terms=terms), row, variant_name("interpolation", row.seed, step, recipe=row.recipe))
        member = replace(together, index=number, count=row.pictures)
        label = f"{first.label} → {last.label}"
        yield (
            last_layer,
            _keyed(replace(picture, objective="interpolation", together=member, row=label), last_layer, context),
        )


def _read(text: str, setting_path: str, context: Context) -> tuple[Single | Sum, LayerSpec]:
    try:
        unit = read_unit(text, {layer.name: layer for layer in context.facts.layers})
    except ConfigError as error:
        raise ConfigError(f"{setting_path}: {error}") from error
    return unit, max((context.layer(name) for name in layers_of(unit)), key=lambda layer: layer.index)


def _together(kind: Kind, last_layer: LayerSpec, recipe: OptimizeConfig, context: Context) -> Together:
    """Return the group's first member, with the layer in which the pictures of the group are compared."""
    name = recipe.together.diversity_layer if kind == "diverse" else recipe.together.alignment_layer
    if not name:
        before = [
            layer for layer in context.facts.layers if layer.index <= last_layer.index and layer.positions != (1, 1)
        ]
        name = before[-1].name if before else last_layer.name
    elif name not in (names := [layer.name for layer in context.facts.layers]):
        field = "diversity_layer" if kind == "diverse" else "alignment_layer"
        raise ConfigError(f"together.{field}={name!r}: no such layer can be captured.{did_you_mean(name, names)}")
    return Together(kind=kind, layer=name, index=0, count=1)


def _matched(picture: Picture, layer: LayerSpec, examples: ExamplesConfig | None, context: Context) -> tuple[str, ...]:
    """Return the layers in which a picture is matched with its unit's best examples. Raises if it has none."""
    if examples is None:
        return ()
    if picture.channel is None:
        recipe = f"recipes.{picture.recipe}" if picture.recipe else "optimize"
        raise ConfigError(
            f"{picture.subject}: the penalty 'examples' of {recipe} compares a picture with its unit's best examples, "
            "which the scan keeps for channels alone; give this picture a recipe without it"
        )
    layers = earlier_layers(context.facts.layers, context.facts.repeats, layer, examples.layers)
    return tuple(spec.name for spec in layers)


def _check_sampled(picture: Picture, layer: LayerSpec, recipe: OptimizeConfig) -> None:
    """Raise ConfigError if samples of a chain are to be kept by what the scan does not measure."""
    unit = picture.unit
    elsewhere = isinstance(unit, Neuron) and (unit.row, unit.column) != layer.centre
    if takes_sample(recipe) and (elsewhere or not is_measured_by_scan(picture)):
        raise ConfigError(
            f"{unit.label}: sampler.percentile={recipe.chain and recipe.chain.percentile:g} keeps samples that excite "
            "a unit more than the dataset's images do, which the scan knows of channels, classes and the neuron at the "
            "centre alone; give this picture a recipe without a chain, or with sampler.percentile=0"
        )


def _keyed(picture: Picture, layer: LayerSpec, context: Context) -> Picture:
    upstream = context.facts.upstream
    recipe = context.config.recipe(picture.recipe)
    _check_sampled(picture, layer, recipe)
    matched = _matched(picture, layer, recipe.examples, context)
    # A picture's row holds the name and the index of `layer`, so the key covers them too.
    upstream_hashes = [(name, upstream[name]) for name in sorted({layer.name, *picture.layers, *matched})]
    # One hash, not the keys of all spans: ImageNet has hundreds of spans, and a plan a hundred thousand pictures.
    input_hashes = [context.scans.whole(layer)] if picture.needs_scan or takes_scan(recipe) else []
    if takes_magnitude(recipe):
        input_hashes.append(context.dataset)
    input_hashes += [model.key for model in context.models.get(picture.recipe, ())]
    # All members of a group have this part of the key in common; the index enters below.
    together = picture.together and replace(picture.together, index=0)
    content = (
        layer.index,
        upstream_hashes,
        picture.row,
        picture.sign,
        picture.seed,
        together,
        input_hashes,
        picture.start,
    )
    recipe_hash = context.recipes[picture.recipe]
    # Each picture of an interpolation has another unit; the row's label, which names both ends, stands for all.
    shared = fingerprint("picture", PICTURE_ALGORITHM, content, recipe_hash, None if picture.row else picture.unit)
    if picture.together is None:
        return replace(picture, key=shared)
    key = fingerprint("member", shared, picture.unit, picture.together.index)
    return replace(picture, key=key, group=shared)
