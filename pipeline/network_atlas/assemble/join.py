"""Join pictures, examples and statistics into rows: one per channel, with the columns of `schemas.ATLAS`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from network_atlas.assemble.clearness import NOT_CLEAR, LayerClarity
from network_atlas.assemble.describing import NOT_DESCRIBED
from network_atlas.assemble.example_images import Stored
from network_atlas.assemble.examples import Location, Row, location_of
from network_atlas.assemble.lists import ExampleLists
from network_atlas.assemble.naming import NO_NAME, LayerNames
from network_atlas.assemble.standing import picture_status, sampled_scores, standing
from network_atlas.assemble.verdict import standardized_rank, verdict, worst
from network_atlas.config.twins import twin_of
from network_atlas.config.verdict import VerdictConfig
from network_atlas.layers import OUTPUT, LayerSpec
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.pictures import Picture
from network_atlas.stats.merge import ChannelScan, LayerScan
from network_atlas.stats.sample import DECIMALS
from network_atlas.store.channel_columns import CHANNEL_STATISTICS, STATISTICS
from network_atlas.units import Channel, ClassLogit

Subject = int | str
"""What a row is about: a channel, or the text form of another unit."""
STATUS_ORDER = ("diverged", "dead", "grey", "saturated", "weak", "unstable")
"""Worst first: a channel has the worst status of its pictures."""
KEPT = (
    *("key", "variant", "objective", "recipe", "score", "steps", "depth", "curve", "seed"),
    *("attempt", "start", "started_from", "before_activation"),
)
"""Columns that the picture's own shard fills."""
MEASURED = ("rank", "robustness_loss", "frequency_distance", "path_similarity", "path_percentile", "naturalness")
"""Columns that calibration fills."""
SMALLEST = 1e-12
"""Instead of a norm of zero: a picture that excites nothing then agrees with no other (cosine 0)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where a row's parts come from."""

    model: str
    class_names: Sequence[str]
    scan: LayerScan | None
    """None without a dataset."""
    pictures: Mapping[str, Mapping[str, Any]]
    """Picture key to the row of its shard."""
    calibrations: Mapping[str, Mapping[str, Any]]
    """Picture key to the row of its calibration."""
    label: Callable[[str], str]
    """From an example_id."""
    lists: ExampleLists
    limits: VerdictConfig
    names: LayerNames | None
    """None without a dataset."""
    clear: LayerClarity | None
    """None without a dataset, and with too few images."""
    monosemanticity: Sequence[float | None]
    """Of each channel; empty without a dataset, as is the next."""
    described: Sequence[Row]
    """Columns of `dataset.embeddings`."""
    directions: Mapping[str, Row]
    """Columns about directions, by the unit's label."""


def layer_rows(plan: LayerPlan, sources: Sources, examples: Mapping[Subject, Sequence[Row]]) -> list[Row]:
    """Return one row per selected channel of a layer, then one per other unit that has pictures.

    `examples` are those of `listed_examples`, with their labels and what is stored of them (`with_images`).
    """
    return [_row(plan, subject, pictures, sources, examples[subject]) for subject, pictures in _subjects(plan).items()]


def listed_examples(plan: LayerPlan, sources: Sources) -> dict[Subject, list[Row]]:
    """Return the examples that each row of `layer_rows` shows."""
    return {
        subject: list(_examples(subject, _made(pictures, sources), sources))
        for subject, pictures in _subjects(plan).items()
    }


def with_images(examples: Iterable[Row], stored: Mapping[Location, Stored], sources: Sources) -> list[Row]:
    """Return the examples of a row with their labels, and what is stored of their images."""
    return [
        {**example, "label": sources.label(example["example_id"]), **stored[location_of(example)].columns()}
        for example in examples
    ]


def _subjects(plan: LayerPlan) -> dict[Subject, list[Picture]]:
    """Return what each row is about, with its pictures."""
    subjects: dict[Subject, list[Picture]] = {channel: [] for channel in plan.channels}
    for picture in plan.pictures:
        channel = picture.channel if picture.channel in plan.channels else None
        subjects.setdefault(picture.subject if channel is None else channel, []).append(picture)
    return subjects


def _made(pictures: Sequence[Picture], sources: Sources) -> list[Picture]:
    return [picture for picture in pictures if picture.key in sources.pictures]


def _row(
    plan: LayerPlan, subject: Subject, pictures: Sequence[Picture], sources: Sources, examples: Sequence[Row]
) -> Row:
    layer = plan.layer
    channel = subject if isinstance(subject, int) else None
    scan = sources.scan[channel] if sources.scan and channel is not None else None
    made = [(picture, sources.pictures[picture.key]) for picture in _made(pictures, sources)]
    agreements = agreement([picture for picture, _ in made], sources)
    twins = _twins([picture for picture, _ in made])
    shown = [
        _visualization(layer, picture, row, sources, agreements.get(picture.key)) | {"twin": twins.get(picture.key)}
        for picture, row in made
    ]
    # Pictures of groups of its examples are learned for channels of the layers before: they say nothing of this one.
    of_itself = [(picture, row) for (picture, _), row in zip(made, shown, strict=True) if picture.circuit is None]
    planned = sum(picture.circuit is None for picture in pictures)
    statistics = NO_STATISTICS | dict(sources.directions.get(str(subject), {}))
    if sources.scan and channel is not None:
        statistics = channel_statistics(layer, channel, sources)
    return {
        "model": sources.model,
        "layer_index": layer.index,
        "layer": layer.name,
        "channel": channel,
        "unit": subject if isinstance(subject, str) else unit_label(layer, subject),
        "class_name": _class_name(layer, channel, sources),
        "status": _status(scan, [row for _, row in of_itself], planned=planned),
        "verdict": _verdict(of_itself),
        "visualizations": shown,
        "examples": examples,
        **statistics,
    }


def unit_label(layer: LayerSpec, channel: int) -> str:
    """Return the text form of the channel that a row is about."""
    kind = ClassLogit if layer.name == OUTPUT else Channel
    return kind(layer=layer.name, channel=channel).label


def _verdict(judged: Sequence[tuple[Picture, Row]]) -> str | None:
    """Return the worst verdict on a row's maximized pictures; on its minimized ones if it has no others.

    What excites a channel least says little of what it is for: behind a ReLU, many pictures leave it at zero.
    """
    maximized = [row["picture_verdict"] for picture, row in judged if picture.sign > 0]
    return worst(maximized or [row["picture_verdict"] for _, row in judged])


def _class_name(layer: LayerSpec, channel: int | None, sources: Sources) -> str | None:
    names = sources.class_names if layer.name == OUTPUT else ()
    return names[channel] if channel is not None and channel < len(names) else None


def _status(scan: ChannelScan | None, made: Sequence[Row], *, planned: int) -> str:
    if scan and scan.dead:
        return "dead"
    statuses = {row["picture_status"] for row in made}
    for status in STATUS_ORDER:
        if status in statuses:
            return status
    if scan and scan.non_finite:
        return "non_finite"
    return "missing" if len(made) < planned else "ok"


def _visualization(
    layer: LayerSpec, picture: Picture, row: Mapping[str, Any], sources: Sources, agreed: float | None
) -> Row:
    # Its names are the plan's: the shard may be of an earlier sweep that called the same picture otherwise.
    names = {name: getattr(picture, name) for name in ("variant", "objective", "recipe", "seed")}
    measured = sources.calibrations.get(picture.key, {})
    percentile, times = standing(picture, row["score"], sampled_scores(picture, sources.scan, measured))
    shown = {name: row[name] for name in KEPT} | names | {"percentile": percentile, "times_maximum": times}
    shown |= {name: measured.get(name) for name in MEASURED} | {"agreement": agreed}
    shown["standardized_rank"] = standardized_rank(picture, measured.get("activations"), sources.scan)
    shown["picture_status"] = picture_status(picture, row["status"], shown)
    judged = verdict(picture, shown, channels=layer.channels, limits=sources.limits)
    return shown | {"picture_verdict": judged.word, "verdict_reasons": list(judged.reasons)}


def _twins(pictures: Sequence[Picture]) -> dict[str, str]:
    """Return, by the key of each picture that a prior pulled at, the key of the same picture without it."""

    def identity(picture: Picture, recipe: str) -> object:
        group = picture.together and (picture.together.kind, picture.together.index)
        if picture.together and picture.together.kind == "chain":
            group = None  # all samples of a chain have one twin
        return (picture.unit, picture.sign, picture.seed, picture.start, group, recipe)

    keys = {identity(picture, picture.recipe): picture.key for picture in pictures}
    found = {picture.key: keys.get(identity(picture, twin_of(picture.recipe))) for picture in pictures}
    return {key: twin for key, twin in found.items() if twin is not None}


def agreement(pictures: Sequence[Picture], sources: Sources) -> dict[str, float]:
    """Return by key, for pictures that differ only in their seed, how similar the activations are that they cause.

    The mean cosine of a picture's activations, (channels,), with those of the others. Activations are counted from the
    dataset's channel means: channels that are high for every image would make all pictures look similar.
    """
    groups: dict[object, list[Picture]] = {}
    for picture in pictures:
        if picture.key in sources.calibrations and picture.together is None:
            all_but_seed = (picture.unit, picture.sign, picture.recipe, picture.start)
            groups.setdefault(all_but_seed, []).append(picture)
    agreements: dict[str, float] = {}
    for group in (group for group in groups.values() if len(group) > 1):
        vectors = np.array([sources.calibrations[picture.key]["activations"] for picture in group], dtype=np.float64)
        centred = vectors - (sources.scan.whole.spatial_mean.mean if sources.scan else 0.0)
        units = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), SMALLEST)
        cosines = units @ units.T
        for number, picture in enumerate(group):
            others = (cosines[number].sum() - cosines[number, number]) / (len(group) - 1)
            agreements[picture.key] = round(float(others), DECIMALS)
    return agreements


def _examples(subject: Subject, pictures: Sequence[Picture], sources: Sources) -> Iterable[Row]:
    """Return the examples of a row: of its channel, or of the one unit that all its pictures describe."""
    if sources.scan is None:
        return []
    if isinstance(subject, int):
        return sources.lists.of_channel(sources.scan, subject)
    # The pictures of an interpolation describe one unit each, so no examples are those of their row.
    if len({picture.unit for picture in pictures}) != 1:
        return []
    measured = sources.calibrations.get(pictures[0].key, {})
    return sources.lists.of_reference(measured.get("reference") or [])


def channel_statistics(layer: LayerSpec, channel: int, sources: Sources) -> Row:
    """Return the statistics of a channel: the columns `STATISTICS` and `CHANNEL_STATISTICS`."""
    scan = sources.scan
    assert scan is not None
    of_channel = scan[channel]
    return {
        **{
            name: getattr(of_channel, name)
            for name in ("count", "non_finite", "mean", "variance", "minimum", "maximum", "dead")
        },
        "spatial_maximum": scan.spatial_maximum(channel),
        "spatial_mean": scan.spatial_mean(channel),
        "noise_floor": scan.noise_floor,
        "partners": [partner | _names(layer, partner["channel"], sources) for partner in scan.partners(channel)],
        "duplicates": scan.duplicates(channel),
        "classes": scan.best_classes(channel),
        "class_selectivity": scan.selectivity(channel),
        **(sources.names.columns(channel) if sources.names else NO_NAME),
        **(sources.described[channel] if sources.described else NOT_DESCRIBED),
        **NOT_CLEAR,
        **(sources.clear.columns(channel) if sources.clear else {}),
        "monosemanticity": sources.monosemanticity[channel] if sources.monosemanticity else None,
    }


def _names(layer: LayerSpec, channel: int, sources: Sources) -> Row:
    return {"unit": unit_label(layer, channel), "class_name": _class_name(layer, channel, sources)}


NO_STATISTICS: Row = dict.fromkeys(field.name for field in (*STATISTICS, *CHANNEL_STATISTICS))
"""The columns of a unit that is not a channel, or of any unit where there is no dataset."""


def statistics_rows(plan: LayerPlan, statuses: Mapping[int, str], sources: Sources) -> list[Row]:
    """Return one row per channel of a layer, selected or not, with the columns of `schemas.CHANNEL_STATS`.

    `statuses` are those of the channels that the sweep selects.
    """
    scan, layer = sources.scan, plan.layer
    if scan is None:
        return []
    # Near-copies are not looked for: it would decode the best images of channels that no page shows.
    lists = replace(sources.lists, looks=None)
    return [
        {
            "model": sources.model,
            "layer_index": layer.index,
            "layer": layer.name,
            "channel": channel,
            "unit": unit_label(layer, channel),
            "class_name": _class_name(layer, channel, sources),
            "status": statuses.get(channel) or _status(scan[channel], [], planned=0),
            **channel_statistics(layer, channel, sources),
            "examples": [
                {**example, "label": sources.label(example["example_id"])}
                for example in lists.of_channel(scan, channel)
            ],
        }
        for channel in scan
    ]
