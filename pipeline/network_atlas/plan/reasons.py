"""Say why the results of a layer are reused, new or made again: what changed since the newest snapshot. Pure.

for reason in reasons(plan, facts, done, before=before, now=now):
    reason.layer, reason.state, reason.text    # 'fc', 'recomputed', 'fc.weight changed'
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from network_atlas.config.newer import in_common
from network_atlas.config.plain import differences
from network_atlas.errors import counted
from network_atlas.layers import FORM, ModelFacts
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.plan import Plan

State = Literal["reused", "new", "recomputed"]
LINES = 12
"""Groups of layers that are shown; the others are counted."""
NAMED = 2
"""Settings that a reason names; it counts the others."""
ALGORITHMS = {"scan": "the scan", "pictures": "making pictures", "statistics": "the images' statistics"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Everything that a run's results follow from; a snapshot's is kept, and the next run's is compared with it."""

    upstream: Mapping[str, str]
    """Layer name to its upstream hash."""
    contents: Mapping[str, str]
    """See `ModelFacts.contents`."""
    settings: Mapping[str, object]
    """Settings that determine results, by dotted path."""
    algorithms: Mapping[str, int]
    dtypes: Mapping[str, str]
    """Number format of each recipe, by name."""
    examples: int
    spans: tuple[str, ...]
    """A hash of each span's examples and labels."""
    sampled: tuple[int, ...] = ()
    """The number of each span's examples in the sample, which says which they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a layer's results are as they are."""

    layer: str
    state: State
    text: str = ""
    """Empty if the layer is reused."""
    changed: tuple[str, ...] = ()
    """Names of the parameters, buffers and modules up to the layer that changed, in the model's order."""
    missing: tuple[str, ...] = ()
    """Which results are to be made: 'scan', 'pictures'."""


def reasons(
    plan: Plan, facts: ModelFacts, done: Collection[str], *, before: Basis | None, now: Basis
) -> tuple[Reason, ...]:
    """Return for each layer why its results exist or not. `done` has the keys of finished scans and pictures."""
    changed = _changed(before, now)
    return tuple(
        _reason(layer, facts.parts.get(layer.layer.name, ()), changed, done, before, now) for layer in plan.layers
    )


def in_groups(each: Sequence[Reason]) -> list[str]:
    """Return a line for each run of layers that have one reason: 'recomputed  conv2 to output (3 layers): ...'."""
    groups = [list(group) for _, group in groupby(each, lambda reason: (reason.state, reason.text, reason.missing))]
    lines = [_line(group) for group in groups[:LINES]]
    if others := sum(map(len, groups[LINES:])):
        lines.append(f"and {counted(others, 'other layer')}: atlas plan --json names the reason of each")
    return lines


def _line(group: Sequence[Reason]) -> str:
    first, last = group[0], group[-1]
    names = first.layer + (f" to {last.layer}" if len(group) > 1 else "")
    what = f", {first.missing[0]} only" if first.state != "new" and len(first.missing) == 1 else ""
    others = len({name for member in group for name in member.changed}) - 1
    more = f", and {counted(others, 'other part')} of the network up to there" if others > 0 else ""
    reason = f": {first.text}{more}" if first.text else ""
    return f"{first.state:<10}  {names} ({counted(len(group), 'layer')}{what}){reason}"


def _reason(
    layer: LayerPlan,
    parts: Collection[str],
    changed: Sequence[str],
    done: Collection[str],
    before: Basis | None,
    now: Basis,
) -> Reason:
    name = layer.layer.name
    missing = tuple(_missing(layer, done))
    if not missing:
        return Reason(layer=name, state="reused")
    if before is None:
        return Reason(layer=name, state="new", text="nothing is published yet", missing=missing)
    if name not in before.upstream:
        return Reason(layer=name, state="new", text="not in the newest snapshot", missing=missing)
    if before.upstream[name] != now.upstream[name]:
        up_to = tuple(part for part in changed if part in parts)
        text = _named(up_to[0]) if up_to else _of_the_model(before, now)
        return Reason(layer=name, state="recomputed", text=text, changed=up_to, missing=missing)
    texts = [text for what in missing for text in (_of_scan if what == "scan" else _of_pictures)(before, now)]
    text = "; ".join(dict.fromkeys(texts)) or _otherwise(before, now)
    return Reason(layer=name, state="recomputed", text=text, missing=missing)


def _missing(layer: LayerPlan, done: Collection[str]) -> Iterator[str]:
    if any(key not in done for key in layer.scan_keys):
        yield "scan"
    if any(picture.key not in done for picture in layer.pictures):
        yield "pictures"


def _changed(before: Basis | None, now: Basis) -> tuple[str, ...]:
    """Return the parts of the network that are not as they were, in its order, then those that are gone."""
    if before is None or not before.contents:
        return ()
    new = [name for name, hash_ in now.contents.items() if before.contents.get(name) != hash_]
    return (*new, *(name for name in before.contents if name not in now.contents))


def _named(part: str) -> str:
    if not part.endswith(FORM):
        return f"{part} changed"
    return f"the code or the settings of {part.removesuffix(FORM) or 'the model itself'} changed"


def _of_the_model(before: Basis, now: Basis) -> str:
    """Return what changed in a network whose modules are as they were."""
    settings = [line for line in _settings(before, now, ("model.",)) if not line.startswith("model.weights:")]
    return _listed(settings) or "the network up to it changed"


def _of_scan(before: Basis, now: Basis) -> Iterator[str]:
    if before.spans != now.spans:
        kept, new = set(before.spans), counted(len(now.spans), "span")
        count = f"{before.examples:,} -> {now.examples:,}" if before.examples != now.examples else f"{now.examples:,}"
        yield f"dataset: {count} examples, {sum(span not in kept for span in now.spans):,} of {new} changed"
    sampled = dict(zip(before.spans, before.sampled, strict=False))
    if others := sum(sampled.get(span, count) != count for span, count in zip(now.spans, now.sampled, strict=True)):
        yield f"the sample has other examples of {counted(others, 'span')}"
    settings = _settings(before, now, ("scan.", "dataset.", "model.input."))
    # The same images at another place are the same dataset.
    if text := _listed([line for line in settings if not line.startswith("dataset.root:")]):
        yield text
    yield from _algorithms(before, now, ("scan", "statistics"))


def _of_pictures(before: Basis, now: Basis) -> Iterator[str]:
    if settings := _listed(_settings(before, now, ("optimize.", "recipes.", "model.input.", "sweep."))):
        yield settings
    yield from (
        f"number format of {name or 'the recipe'}: {before.dtypes[name]} -> {dtype}"
        for name, dtype in now.dtypes.items()
        if before.dtypes.get(name, dtype) != dtype
    )
    yield from _algorithms(before, now, ("pictures",))
    if before.spans != now.spans:  # only pictures that take something from the dataset are missing then
        yield "the dataset, from which they take something"


def _settings(before: Basis, now: Basis, prefixes: tuple[str, ...]) -> list[str]:
    old, new = (
        {path: value for path, value in basis.settings.items() if path.startswith(prefixes)} for basis in (before, now)
    )
    return differences(in_common(old, new), in_common(new, old))


def _otherwise(before: Basis, now: Basis) -> str:
    new = [path for path in now.settings if path not in before.settings]
    version = f", or a setting counts that the snapshot's version did not have: {_listed(new)}" if new else ""
    return f"files are missing or damaged, or an earlier run left them out{version}"


def _listed(lines: Sequence[str]) -> str:
    more = f" and {counted(len(lines) - NAMED, 'other setting')}" if len(lines) > NAMED else ""
    return ", ".join(lines[:NAMED]) + more


def _algorithms(before: Basis, now: Basis, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        old, new = before.algorithms.get(name), now.algorithms.get(name)
        if old != new:
            yield f"this version's code for {ALGORITHMS[name]} ({old} -> {new})"
