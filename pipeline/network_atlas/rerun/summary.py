"""A diff in a few numbers, in sentences, and as Markdown. Pure.

summary = summarize(rows)
summary.measures["drift"]                      # what `atlas diff --fail-over drift=.3` compares
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from network_atlas.errors import ConfigError, counted, did_you_mean

MEASURES = {
    "drift": "mean drift of all channels; those of reused layers count 0",
    "layer_drift": "largest mean drift of a layer",
    "changed": "share of the channels whose drift is above .5",
    "moved": "share of the channels whose work another number does now",
    "lost": "layers in which channel numbers mean nothing any more",
    "died": "channels that are dead now and were not",
    "worse": "channels whose status was ok and is not",
}
"""What a threshold can be set for."""
ROWS_SHOWN = 40
"""Layers that the Markdown summary lists, those with the largest drift first."""

SMALLEST_SHOWN = 0.0001
"""Numbers nearer to zero are shown as zero: activations are known to about this much of themselves."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A diff in numbers."""

    states: Mapping[str, int]
    """Number of layers by state."""
    channels: int
    """Channels that are comparable, and those of reused layers."""
    measures: Mapping[str, float | None]
    """By the names of `MEASURES`; None where nothing is comparable."""


def summarize(layers: Sequence[Row]) -> Summary:
    """Return the summary of rows with the columns of `diff_schemas.DIFF_LAYERS`."""
    known = [row for row in layers if row["drift"] is not None]
    sizes = [min(row["channels_old"], row["channels_new"]) for row in known]
    channels = sum(sizes)

    def total(name: str) -> int:
        return sum(row[name] or 0 for row in layers)

    def share(count: float) -> float | None:
        return count / channels if channels else None

    measures: dict[str, float | None] = {
        "drift": share(sum(row["drift"] * size for row, size in zip(known, sizes, strict=True))),
        "layer_drift": max((row["drift"] for row in known), default=None),
        "changed": share(total("changed")),
        "moved": share(total("moved")),
        "lost": sum(row["identity"] == "lost" for row in layers),
        "died": total("died"),
        "worse": total("worse"),
    }
    return Summary(states=Counter(row["state"] for row in layers), channels=channels, measures=measures)


def parse_thresholds(texts: Sequence[str]) -> dict[str, float]:
    """Return the largest value allowed for each measure, of texts such as 'drift=.3'.

    Raises ConfigError for a measure that does not exist, or a value that is no number from 0.
    """
    thresholds: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in MEASURES:
            raise ConfigError(
                f"--fail-over {text}: there is no measure {name!r}; there are {', '.join(MEASURES)}."
                f"{did_you_mean(name, MEASURES)} Write, for example: --fail-over drift=.3"
            )
        thresholds[name] = _number(text, value)
    return thresholds


def _number(text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise ConfigError(
            f"--fail-over {text}: {value!r} is no number from 0. Write, for example: --fail-over drift=.3"
        )
    return number


def exceeded(summary: Summary, thresholds: Mapping[str, float]) -> list[str]:
    """Return in words which measures are above what is allowed, or not known although a threshold is set for them."""
    lines = []
    for name, most in thresholds.items():
        value = summary.measures[name]
        if value is None:
            lines.append(f"{name} is not known: nothing is comparable")
        elif value > most:
            lines.append(f"{name} is {number_text(value)}, above {number_text(most)}")
    return lines


def sentences(summary: Summary, layers: Sequence[Row]) -> list[str]:
    """Return what happened, in sentences, the most important first."""
    states = summary.states
    names = {"recomputed": "recomputed", "reused": "reused", "same_weights": "made again with the same weights"}
    names |= {"added": "added", "removed": "removed"}
    done = ", ".join(f"{states[state]:,} {words}" for state, words in names.items() if states.get(state))
    texts = [f"Of {counted(len(layers), 'layer')}: {done or 'none'}."]
    drift = summary.measures["drift"]
    if drift is not None:
        texts.append(f"Channels drifted by {number_text(drift)} on average, of {counted(summary.channels, 'channel')}.")
    lost = [row for row in layers if row["identity"] == "lost"]
    if lost:
        total, matched = (sum(row[name] or 0 for row in lost) for name in ("channels_old", "matched"))
        texts.append(
            f"In {counted(len(lost), 'layer')} a channel's number means nothing any more: channels of the same number "
            f"are no more alike than random pairs. By correlation, {matched:,} of {counted(total, 'channel')} there "
            "have a partner that does their work."
        )
    events = {"moved": "moved to another number", "died": "died", "woke": "came alive", "worse": "lost the status ok"}
    counts = {name: sum(row[name] or 0 for row in layers) for name in events}
    happened = [f"{counted(count, 'channel')} {events[name]}" for name, count in counts.items() if count]
    return [*texts, *([f"{'; '.join(happened)}."] if happened else [])]


def number_text(value: float | None) -> str:
    """Return a number for people: counts as they are, others to hundredths, or to two digits below; '–' for None."""
    if value is None:
        return "–"
    if isinstance(value, int):
        text = f"{value:,}"
    elif SMALLEST_SHOWN <= abs(value) < 0.01:
        text = f"{value:.2g}"
    else:
        text = f"{round(value, 2) or 0.0:.2f}"
    return text.replace("-", "−")


def markdown(title: str, facts: Sequence[tuple[str, str]], summary: Summary, layers: Sequence[Row]) -> str:
    """Return the diff as a page of Markdown: what is compared, what happened, and the layers that changed most."""
    shown = sorted((row for row in layers if row["state"] != "reused"), key=lambda row: -(row["drift"] or 0.0))
    lines = [f"# {_plain(title)}", "", *(f"* {name}: {_plain(text)}" for name, text in facts), ""]
    lines += [" ".join(sentences(summary, layers)), ""]
    if shown:
        lines += ["| layer | state | drift | alignment | numbers | channels | changed | moved | died | came alive |"]
        lines += ["|---|---|--:|--:|---|--:|--:|--:|--:|--:|"]
        lines += [_line(row) for row in shown[:ROWS_SHOWN]]
    if len(shown) > ROWS_SHOWN:
        lines += ["", f"And {counted(len(shown) - ROWS_SHOWN, 'layer')} more, in layers.parquet."]
    notes = Counter(note for row in layers for note in row["notes"])
    lines += ["", *(f"* {_plain(note)} ({counted(count, 'layer')})" for note, count in notes.items())]
    return "\n".join(lines).rstrip() + "\n"


def _line(row: Row) -> str:
    cells = [
        _plain(row["layer"]),
        row["state"].replace("_", " "),
        *(number_text(row[name]) for name in ("drift", "alignment")),
        row["identity"] or "–",
        *(number_text(row[name]) for name in ("channels_new", "changed", "moved", "died", "woke")),
    ]
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Return text from outside so that Markdown shows it as it is."""
    escaped = "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|&~" else letter for letter in text)
    return " ".join(escaped.split())
