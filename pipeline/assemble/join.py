"""Join pictures, examples and statistics into one row per channel, as `pipeline.store.schemas.ATLAS` has them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.plan.pictures import Picture
from pipeline.plan.tasks import LayerPlan
from pipeline.stats.merge import ChannelScan
from pipeline.stats.sample import percentile_of
from pipeline.units import OUTPUT, Channel, ClassLogit, LayerSpec

Row = dict[str, Any]

STATUS_ORDER = ("diverged", "dead", "grey", "saturated", "unstable")
"""A channel is called by the worst of its pictures."""
MEASURED = ("rank", "robustness_loss", "frequency_distance", "path_similarity")
UNSTABLE_BELOW = 0.5
"""Pictures of one unit that agree less than this over seeds excite different things."""
SMALLEST = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where a row's parts come from."""

    model: str
    class_names: Sequence[str]
    scans: Mapping[int, ChannelScan]
    pictures: Mapping[str, Mapping[str, Any]]
    """Picture key to the row of its shard."""
    calibrations: Mapping[str, Mapping[str, Any]]
    """Picture key to what was measured of it."""
    channel_means: Mapping[int, float]
    """Mean of every channel of the layer over the dataset."""
    label: Callable[[str], str]
    crops: Mapping[tuple[str, int, int], bytes | None]
    """(example_id, row, column) to an encoded crop."""


def layer_rows(plan: LayerPlan, sources: Sources) -> list[Row]:
    """Return one row per selected channel of a layer, then one per unit that is no selected channel."""
    subjects: dict[int | str, list[Picture]] = {channel: [] for channel in plan.channels}
    for picture in plan.pictures:
        channel = picture.channel if picture.channel in plan.channels else None
        subjects.setdefault(picture.subject if channel is None else channel, []).append(picture)
    return [_row(plan, subject, wanted, sources) for subject, wanted in subjects.items()]


def _row(plan: LayerPlan, subject: int | str, wanted: Sequence[Picture], sources: Sources) -> Row:
    layer = plan.layer
    channel = subject if isinstance(subject, int) else None
    scan = sources.scans.get(channel) if channel is not None else None
    made = [(picture, sources.pictures[picture.key]) for picture in wanted if picture.key in sources.pictures]
    agreements = agreement([picture for picture, _ in made], sources)
    shown = [_visualization(picture, row, scan, sources, agreements.get(picture.key)) for picture, row in made]
    names = sources.class_names if layer.name == OUTPUT else ()
    return {
        "model": sources.model,
        "layer_index": layer.index,
        "layer": layer.name,
        "channel": channel,
        "unit": subject if isinstance(subject, str) else unit_label(layer, subject),
        "class_name": names[channel] if channel is not None and channel < len(names) else None,
        "status": _status(scan, wanted, shown),
        "visualizations": shown,
        "examples": _examples(scan, sources) if scan else [],
        "count": scan.count if scan else None,
        "mean": scan.mean if scan else None,
        "variance": scan.variance if scan else None,
        "minimum": scan.minimum if scan else None,
        "maximum": scan.maximum if scan else None,
    }


def unit_label(layer: LayerSpec, channel: int) -> str:
    """Return the text form of the channel that a row is about."""
    kind = ClassLogit if layer.name == OUTPUT else Channel
    return kind(layer=layer.name, channel=channel).label


def _status(scan: ChannelScan | None, wanted: Sequence[Picture], made: Sequence[Mapping[str, Any]]) -> str:
    if scan and scan.minimum == scan.maximum:
        return "dead"
    found = {row["picture_status"] for row in made}
    for status in STATUS_ORDER:
        if status in found:
            return status
    return "missing" if len(made) < len(wanted) else "ok"


def _visualization(
    picture: Picture, row: Mapping[str, Any], scan: ChannelScan | None, sources: Sources, agreed: float | None
) -> Row:
    percentile, times = _standing(picture, row["score"], scan) if scan else (None, None)
    kept = ("variant", "objective", "recipe", "image", "opacity", "score", "steps", "curve", "seed")
    measured = sources.calibrations.get(picture.key, {})
    shown = {name: row[name] for name in kept} | {"percentile": percentile, "times_maximum": times}
    unstable = row["status"] == "ok" and agreed is not None and agreed < UNSTABLE_BELOW
    status = "unstable" if unstable else row["status"]
    return shown | {name: measured.get(name) for name in MEASURED} | {"agreement": agreed, "picture_status": status}


def agreement(pictures: Sequence[Picture], sources: Sources) -> dict[str, float]:
    """Return, for pictures that differ in nothing but the seed, how alike what they excite is, by key.

    The mean cosine of a picture's activations with those of the others, from the dataset's channel means.
    """
    alike: dict[object, list[Picture]] = {}
    for picture in pictures:
        if picture.key in sources.calibrations and picture.together is None:
            same = (picture.unit, picture.sign, picture.recipe, picture.start)
            alike.setdefault(same, []).append(picture)
    found: dict[str, float] = {}
    for group in (group for group in alike.values() if len(group) > 1):
        vectors = np.array([sources.calibrations[picture.key]["activations"] for picture in group], dtype=np.float64)
        centred = vectors - np.array([sources.channel_means.get(number, 0.0) for number in range(vectors.shape[1])])
        units = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), SMALLEST)
        cosines = units @ units.T
        for number, picture in enumerate(group):
            found[picture.key] = float((cosines[number].sum() - cosines[number, number]) / (len(group) - 1))
    return found


def _standing(picture: Picture, score: float, scan: ChannelScan) -> tuple[float | None, float | None]:
    """Return where a score stands among the sampled examples: percentile, and multiple of their best.

    A channel's score is a spatial mean and is compared with spatial means; a neuron's with spatial maxima. A minimized
    picture is compared downwards; for neurons, and for objectives that the scan doesn't know, there is nothing to
    compare with.
    """
    if picture.objective not in ("channel", "logit", "neuron") or (picture.objective == "neuron" and picture.sign < 0):
        return None, None
    values = scan.sample_maximum if picture.objective == "neuron" else scan.sample_mean
    percentile = percentile_of(picture.sign * score, picture.sign * values)
    finite = picture.sign * values[np.isfinite(values)]
    best = float(finite.max()) if len(finite) else 0.0
    times = picture.sign * score / best if best > 0 and np.isfinite(score) else None
    return percentile, times


def _examples(scan: ChannelScan, sources: Sources) -> list[Row]:
    kinds = (("top", scan.top), ("bottom", scan.bottom))
    return [
        {
            "kind": kind,
            "rank": rank,
            "example_id": example["example_id"],
            "label": sources.label(example["example_id"]),
            "value": example["value"],
            "row": example["row"],
            "column": example["column"],
            "crop": {
                "bytes": sources.crops[example["example_id"], example["row"], example["column"]],
                "path": None,
            },
        }
        for kind, examples in kinds
        for rank, example in enumerate(examples)
    ]
