"""Which pictures a sweep means, each with the key that names its result. Pure.

A picture is a unit, a sign, a seed, a recipe, a start, and the company it is learned in. Its key covers all of these,
the network up to every layer it is read from, and what it takes from the scan, if anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import RunConfig
from network_atlas.config.sweep import CombineConfig, InterpolateConfig, VariantConfig, variant_name
from network_atlas.errors import ConfigError, did_you_mean
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec, ModelFacts
from network_atlas.plan.recipes import takes_magnitude
from network_atlas.plan.scans import Scans
from network_atlas.plan.sweep import Selection
from network_atlas.plan.unit_text import read_unit
from network_atlas.plan.variants import objective_of, unit_of, whole_layer_units
from network_atlas.units import Coactive, Direction, Layer, Neuron, Single, Sum, Term, Unit, layers_of, terms_of

PICTURE_ALGORITHM = 3
"""Raise when the same recipe makes another picture."""


Kind = Literal["diverse", "aligned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a picture begins: at noise, at its unit's best example, or at the mean of a cluster of examples."""

    kind: Literal["noise", "example", "facet"] = "noise"
    index: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """The company a picture is learned in: what the pictures of its group do to each other, and in which layer."""

    kind: Kind
    layer: str
    index: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture to optimize, and the key that names the result."""

    key: str
    unit: Unit
    variant: str
    objective: str
    sign: int
    seed: int
    recipe: str = ""
    start: Start = Start()
    together: Together | None = None
    group: str = ""
    """Pictures of one group are learned together; '' is alone."""
    row: str = ""
    """Label of the atlas row it belongs to, when that is not its unit's own."""

    @property
    def channel(self) -> int | None:
        """Return the channel whose row in the atlas it belongs to; None has a row of its own."""
        return None if self.row or isinstance(self.unit, Layer | Direction | Sum) else self.unit.channel

    @property
    def subject(self) -> str:
        """Return the label of its row, for pictures that belong to no channel."""
        return self.row or self.unit.label

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the names of all layers that must be read to make it."""
        extra = (self.together.layer,) if self.together else ()
        return tuple(dict.fromkeys((*layers_of(self.unit), *extra)))

    @property
    def readable(self) -> Single | Sum:
        """Return its unit, which the scan must have resolved by now."""
        assert not isinstance(self.unit, Coactive)
        return self.unit

    @property
    def needs_scan(self) -> bool:
        """Say whether it takes something from the scan of its layer."""
        return self.start.kind != "noise" or isinstance(self.unit, Coactive)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What pictures are made from, and what their keys cover."""

    config: RunConfig
    facts: ModelFacts
    recipes: Mapping[str, str]
    """Fingerprint of each recipe, by name."""
    scans: Scans
    dataset: str
    """Fingerprint of all spans of the dataset."""

    def layer(self, name: str) -> LayerSpec:
        return next(layer for layer in self.facts.layers if layer.name == name)


def pictures_of(selection: Selection, context: Context) -> tuple[Picture, ...]:
    """Return the pictures that the variants mean for one layer: its channels' one after the other, then its own."""
    layer = selection.layer
    made = [
        picture
        for channel in selection.channels
        for variant in selection.variants
        if (unit := unit_of(layer, channel, variant)) is not None
        for picture in _set(unit, variant, layer, context)
    ]
    for variant in selection.variants:
        for unit in whole_layer_units(layer, variant, context.config.sweep.cosine_power):
            made += _set(unit, variant, layer, context)
    return tuple(made)


def extra_pictures(context: Context) -> dict[str, tuple[Picture, ...]]:
    """Return the pictures of `sweep.combine` and `sweep.interpolate`, by the last layer that each is read from."""
    found: dict[str, list[Picture]] = {}
    sweep = context.config.sweep
    for number, combine in enumerate(sweep.combine):
        unit, home = _read(combine.unit, f"sweep.combine.{number}.unit", context)
        found.setdefault(home.name, []).append(_keyed(_combined(combine, unit, home), home, context))
    for number, row in enumerate(sweep.interpolate):
        for home, picture in _interpolation(row, f"sweep.interpolate.{number}", context):
            found.setdefault(home.name, []).append(picture)
    return {name: tuple(pictures) for name, pictures in found.items()}


def _unkeyed(unit: Unit, setting: VariantConfig | CombineConfig | InterpolateConfig, variant: str) -> Picture:
    return Picture(
        key="",
        unit=unit,
        variant=variant,
        objective=objective_of(unit),
        sign=-1 if getattr(setting, "sign", "+") == "-" else 1,
        seed=setting.seed,
        recipe=setting.recipe,
    )


def _combined(setting: CombineConfig, unit: Single | Sum, home: LayerSpec) -> Picture:
    """Return the picture of a unit written as text, named as `sweep.variants` names one of the same unit."""
    elsewhere = isinstance(unit, Neuron) and (unit.row, unit.column) != home.centre
    position = f"{unit.row},{unit.column}" if isinstance(unit, Neuron) and elsewhere else ""
    name = variant_name(f"{objective_of(unit)}{setting.sign}", setting.seed, position, recipe=setting.recipe)
    return _unkeyed(unit, setting, name)


def _set(unit: Unit, variant: VariantConfig, layer: LayerSpec, context: Context) -> Iterator[Picture]:
    """Yield the pictures of one variant of one unit: one, or a set."""
    company = _company("diverse", layer, context.config.recipe(variant.recipe), context) if variant.diverse else None
    for number, name in enumerate(variant.names):
        one = _unkeyed(unit, variant, name)
        if company is not None:
            one = replace(one, together=replace(company, index=number, count=variant.diverse))
        elif variant.facets:
            one = replace(one, start=Start(kind="facet", index=number, count=variant.facets))
        else:
            one = replace(one, start=Start(kind=variant.start))
        yield _keyed(one, layer, context)


def _interpolation(row: InterpolateConfig, place: str, context: Context) -> Iterator[tuple[LayerSpec, Picture]]:
    first, _ = _read(row.first, f"{place}.first", context)
    last, _ = _read(row.last, f"{place}.last", context)
    homes = {name: context.layer(name) for name in (*layers_of(first), *layers_of(last))}
    home = max(homes.values(), key=lambda layer: layer.index)
    company = _company("aligned", home, context.config.recipe(row.recipe), context)
    for number in range(row.pictures):
        t = number / (row.pictures - 1)
        mixed = [(1 - t, term) for term in terms_of(first)] + [(t, term) for term in terms_of(last)]
        terms = tuple(Term(weight=share * term.weight, unit=term.unit) for share, term in mixed if share)
        step = f"{number + 1} of {row.pictures}"
        picture = _unkeyed(Sum(terms=terms), row, variant_name("interpolation", row.seed, step, recipe=row.recipe))
        own = replace(company, index=number, count=row.pictures)
        label = f"{first.label} → {last.label}"
        yield home, _keyed(replace(picture, objective="interpolation", together=own, row=label), home, context)


def _read(text: str, place: str, context: Context) -> tuple[Single | Sum, LayerSpec]:
    try:
        unit = read_unit(text, {layer.name: layer for layer in context.facts.layers})
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
    return unit, max((context.layer(name) for name in layers_of(unit)), key=lambda layer: layer.index)


def _company(
    kind: Literal["diverse", "aligned"], home: LayerSpec, recipe: OptimizeConfig, context: Context
) -> Together:
    """Return the company of a group, with the layer in which its pictures are compared."""
    name = recipe.together.diversity_layer if kind == "diverse" else recipe.together.alignment_layer
    if not name:
        before = [layer for layer in context.facts.layers if layer.index <= home.index and layer.positions != (1, 1)]
        name = before[-1].name if before else home.name
    elif name not in (names := [layer.name for layer in context.facts.layers]):
        field = "diversity_layer" if kind == "diverse" else "alignment_layer"
        raise ConfigError(f"together.{field}={name!r}: no such layer can be captured.{did_you_mean(name, names)}")
    return Together(kind=kind, layer=name, index=0, count=1)


def _keyed(picture: Picture, home: LayerSpec, context: Context) -> Picture:
    upstream = context.facts.upstream
    # Rows carry the home layer's name and number, so these belong to what a key names.
    places = [(name, upstream[name]) for name in sorted({home.name, *picture.layers})]
    recipe = context.config.recipe(picture.recipe)
    # Their hash and not the keys of all spans: ImageNet has hundreds, and a plan a hundred thousand pictures.
    taken = [context.scans.whole(home)] if picture.needs_scan else []
    if takes_magnitude(recipe):
        taken.append(context.dataset)
    company = picture.together and replace(picture.together, index=0)
    what = (home.index, places, picture.row, picture.sign, picture.seed, company, taken, picture.start)
    how = context.recipes[picture.recipe]
    shared = fingerprint("picture", PICTURE_ALGORITHM, what, how, None if picture.row else picture.unit)
    if picture.together is None:
        return replace(picture, key=shared)
    key = fingerprint("member", shared, picture.unit, picture.together.index)
    return replace(picture, key=key, group=shared)


def distinct(pictures: Iterable[Picture]) -> tuple[Picture, ...]:
    """Return each picture once, the first of those with the same key.

    A unit of `sweep.combine` may be selected too, and two recipes of other names may have the same settings.
    """
    by_key: dict[str, Picture] = {}
    for picture in pictures:
        by_key.setdefault(picture.key, picture)
    return tuple(by_key.values())


def grouped(pictures: Sequence[Picture]) -> list[tuple[Picture, ...]]:
    """Return pictures in their groups, in order of first appearance; a picture alone is a group of one."""
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(picture.group or picture.key, []).append(picture)
    return [tuple(group) for group in groups.values()]
