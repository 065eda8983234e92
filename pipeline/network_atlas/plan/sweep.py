"""Expand a sweep, as configured, into layers, channels and variants of one model.

    sweep = expand_sweep(facts, config.sweep)
    for selection in sweep.selections: ...      # a layer, its channels, its variants

A layer's selection depends only on the selects that match it: neither their order nor the number of other layers
changes it. Patterns of names are described in `network_atlas.plan.patterns`, channels in `network_atlas.plan.channels`.
The pseudo-layer 'output' is matched only by its exact name, and `types` do not apply to it. Of a module that runs more
than once in a pass, each call is a layer: 'relu#1', 'relu#2'. Globs match these by their name, and by the module's.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from network_atlas.config.sweep import SelectConfig, SweepConfig, VariantConfig
from network_atlas.errors import ConfigError, SelectionError, did_you_mean
from network_atlas.layers import OUTPUT, LayerSpec, ModelFacts, Repeat, calls_meant, split_call
from network_atlas.plan.channels import check_channels, choose_channels
from network_atlas.plan.patterns import is_glob, literal, matches
from network_atlas.plan.variants import variants_for

LISTED = "run `atlas layers` to list them"
OWN_NAMES = f"The names are the model's own: {LISTED}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The channels of one layer that get pictures, and the variants of each."""

    layer: LayerSpec
    channels: tuple[int, ...]
    variants: tuple[VariantConfig, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """An expanded sweep: selections in the order of layer index."""

    selections: tuple[Selection, ...]
    passed_over: Mapping[str, str]
    """Layers that a glob matched but that cannot be captured, with the reason, sorted by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """The layers and modules that a select can choose from."""

    layers: Mapping[str, LayerSpec]
    bases: Mapping[str, tuple[str, ...]]
    unsupported: Mapping[str, str]
    repeats: Mapping[str, Repeat]

    @property
    def names(self) -> list[str]:
        return [*self.layers, *(name for name in self.unsupported if name not in self.layers)]

    def types(self, name: str) -> tuple[str, ...]:
        kinds = (self.layers[name].type,) if name in self.layers else ()
        return (*kinds, *self.bases.get(name, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """The layers and channels that one select matches, or the problems it has."""

    channels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    passed_over: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def expand_sweep(facts: ModelFacts, config: SweepConfig) -> Sweep:
    """Return the layers and channels that a sweep selects.

    Raises one SelectionError with all problems of all selects.
    """
    ordered = sorted(
        (layer for layer in facts.layers if layer.name not in facts.unsupported), key=lambda layer: layer.index
    )
    model = _Model(
        layers={layer.name: layer for layer in ordered},
        bases=facts.bases,
        unsupported=facts.unsupported,
        repeats=facts.repeats,
    )
    per_select = [_match(index, model, config) for index in range(len(config.select))]
    # Not one by one: the user sees the problems of all selects at once.
    problems = [problem for match in per_select for problem in match.problems]
    for number, variant in enumerate(config.variants):
        problems += _form_problems(variant, f"sweep.variants.{number}")
    if problems:
        raise SelectionError("\n".join(problems))
    passed_over = {name: reason for match in per_select for name, reason in match.passed_over.items()}
    united = {name: _union(match.channels.get(name, ()) for match in per_select) for name in model.layers}
    return Sweep(
        selections=tuple(
            Selection(layer=layer, channels=united[layer.name], variants=variants_for(layer, config.variants))
            for layer in ordered
            if united[layer.name]
        ),
        passed_over=dict(sorted(passed_over.items())),
    )


def _match(index: int, model: _Model, config: SweepConfig) -> _Match:
    select, setting_path = config.select[index], f"sweep.select.{index}"
    problems = [*_name_problems(select, setting_path, model), *_form_problems(select, setting_path)]
    if OUTPUT in select.include and OUTPUT in model.unsupported:
        problems.append(f"{setting_path}.include: {_output_problem(model.unsupported[OUTPUT], config)}")
    matched = [name for name in model.names if _takes(select, name, model)]
    captured = [name for name in matched if name in model.layers]
    # Only globs come here with such names: an exact name that cannot be captured is a problem.
    passed_over = {name: model.unsupported[name] for name in matched if name not in model.layers}
    if not captured and not problems:
        problems.append(_no_match(select, setting_path, model, passed_over))
    if problems:
        return _Match(problems=tuple(problems))
    channels, problems = _choose(select, setting_path, [model.layers[name] for name in captured], config.seed)
    return _Match(channels=channels, passed_over=passed_over, problems=tuple(problems))


def _choose(
    select: SelectConfig, setting_path: str, layers: Sequence[LayerSpec], seed: int
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    channels: dict[str, tuple[int, ...]] = {}
    problems: list[str] = []
    for layer in spread(layers, select.spread):
        try:
            channels[layer.name] = choose_channels(select.channels, layer, seed=seed)
        except SelectionError as error:
            problems.append(f"{setting_path}.channels: {error}")
    return channels, problems


def spread(layers: Sequence[LayerSpec], count: int) -> list[LayerSpec]:
    """Return `count` of the layers, evenly spaced, first and last included; 0 returns all, 1 the first."""
    if count == 0 or count >= len(layers):
        return list(layers)
    steps = max(count - 1, 1)
    # round(linspace) in whole numbers, halves up: floating point could round a half differently on another platform.
    return [layers[(2 * step * (len(layers) - 1) + steps) // (2 * steps)] for step in range(count)]


def _takes(select: SelectConfig, name: str, model: _Model) -> bool:
    typed = any(matches(pattern, kind) for pattern in select.types for kind in model.types(name))
    return _named(select, name) and (typed or name == OUTPUT or not select.types) and _is_distinct(select, name, model)


def _is_distinct(select: SelectConfig, name: str, model: _Model) -> bool:
    """Say whether a layer makes channels of its own, or the select allows repeats; the output always passes."""
    return not select.distinct or name == OUTPUT or name not in model.repeats


def _named(select: SelectConfig, name: str) -> bool:
    return _any_matches(select.include, name) and not _any_matches(select.exclude, name)


def _any_matches(patterns: Iterable[str], name: str) -> bool:
    return any(pattern == name if name == OUTPUT else _matches(pattern, name) for pattern in patterns)


def _matches(pattern: str, name: str) -> bool:
    module, number = split_call(name)
    return matches(pattern, name) or (number is not None and is_glob(pattern) and matches(pattern, module))


def _name_problems(select: SelectConfig, setting_path: str, model: _Model) -> Iterable[str]:
    for side, patterns in (("include", select.include), ("exclude", select.exclude)):
        for name in (pattern for pattern in patterns if not is_glob(pattern)):
            if name not in model.names:
                meant = calls_meant(name, model.names) or did_you_mean(name, model.names)
                yield f"{setting_path}.{side}: the model has no layer '{name}'.{meant} {OWN_NAMES}"
            elif side == "include" and name in model.unsupported and name != OUTPUT:
                yield f"{setting_path}.include: layer '{name}' cannot be captured: {model.unsupported[name]}"


def _output_problem(reason: str, config: SweepConfig) -> str:
    """Return why the output cannot be captured, and an override that gives the sweep without it."""
    without_output = [
        replace(select, include=tuple(name for name in select.include if name != OUTPUT)) for select in config.select
    ]
    # A select of the output alone is left without layers: the advice is then the whole network.
    selects = [select for select in without_output if select.include] or [SelectConfig(include=("**",))]
    return (
        f"layer '{OUTPUT}' cannot be captured: {reason}. Leave the model's output out: give the whole list without it, "
        f"'sweep.select=[{', '.join(map(_as_override, selects))}]'"
    )


def _as_override(select: SelectConfig) -> str:
    defaults = SelectConfig(include=())
    values = {item.name: getattr(select, item.name) for item in fields(select)}
    changed = {name: value for name, value in values.items() if value != getattr(defaults, name)}
    return "{" + ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in changed.items()) + "}"


def _form_problems(select: SelectConfig | VariantConfig, setting_path: str) -> Iterable[str]:
    try:
        check_channels(select.channels)
    except ConfigError as error:
        yield f"{setting_path}.channels: {error}"


def _no_match(select: SelectConfig, setting_path: str, model: _Model, passed_over: Mapping[str, str]) -> str:
    criteria = ", ".join(f"{key}={list(getattr(select, key))}" for key in ("include", "exclude", "types"))
    lines = [f"{setting_path} matches no layer that can be captured: {criteria}."]
    if passed_over:
        lines.append(f"It matches {_some(f'{name} ({reason})' for name, reason in sorted(passed_over.items()))}.")
    typed_out = [name for name in model.layers if select.types and _named(select, name)]
    if typed_out:
        left_out = dict.fromkeys(model.layers[name].type for name in typed_out)
        lines.append(
            f"Its include matches {_some(typed_out)}, but its types leave none of them: these are of type "
            f"{_some(left_out, limit=40)}; set {setting_path}.types to one of these, or to [] for any."
        )
        return " ".join(lines)
    similar = [name for pattern in select.include for name in _near(pattern, model.layers)]
    lines.append(f"Layers are for example {_some(dict.fromkeys(similar or model.layers))}; {LISTED}.")
    if select.types:
        kinds = {kind for name in model.layers for kind in model.types(name) if name != OUTPUT}
        lines.append(f"Types are {_some(sorted(kinds), limit=40)}.")
    lines.append(f"Set {setting_path}.include, or model.main_layers where the sweep takes its layers from there.")
    return " ".join(lines)


def _near(pattern: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(literal(pattern), list(names), n=4, cutoff=0.4)


def _some(texts: Iterable[str], *, limit: int = 6) -> str:
    listed = list(texts)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more


def _union(parts: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({channel for part in parts for channel in part}))
