"""What the network page says of each layer: counts, and pictures that stand for it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from network_atlas.config.verdict import WORDS as VERDICTS
from network_atlas.layers import LayerSpec
from network_atlas.site.packing import Row, file_name, numbered

WORDS = VERDICTS
"""Verdicts, the best first."""
COVERS = 8
"""Pictures that the network page shows of each layer."""
MISSING = "missing"
"""Status of a channel whose picture is not made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """A picture that stands for its layer."""

    channel: int
    unit: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSummary:
    """One layer, for the network page."""

    spec: LayerSpec
    rows: Sequence[Row]
    """With the columns `search.COLUMNS`."""
    covers: tuple[Cover, ...]
    has_map: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counts of the channels of some layers."""

    channels: int
    """That the layers have."""
    shown: int
    """Of these, those that the atlas has a row of."""
    others: int
    """Rows of other units, such as directions."""
    with_pictures: int
    statuses: Mapping[str, int]
    """Units by their status, without those that are ok."""
    verdicts: Mapping[str, int]
    """Units by the verdict on their pictures."""

    @property
    def units(self) -> int:
        """Return the number of all rows."""
        return self.shown + self.others

    @property
    def noun(self) -> str:
        """Return what all rows are."""
        return "unit" if self.others else "channel"

    @property
    def missing(self) -> int:
        """Return the units whose picture is not made."""
        return self.statuses.get(MISSING, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitGroup:
    """Units that are worth comparing, such as the random directions of a layer."""

    layer: str
    kind: str
    units: tuple[tuple[str, str], ...]
    """Their numbers in addresses, and their text forms."""

    @property
    def words(self) -> str:
        """Return what the page to compare calls them; `KINDS` of `compare.js` has those that it takes in addresses."""
        return "the whole layer" if self.kind == "layer" else f"{self.kind}s"


def summary(spec: LayerSpec, rows: Sequence[Row], *, has_map: bool = False) -> LayerSummary:
    """Return the summary of a layer from the rows of its table, with the columns `search.COLUMNS`."""
    return LayerSummary(spec=spec, rows=rows, covers=_covers(numbered(rows, spec.channels)), has_map=has_map)


def _covers(rows: Sequence[Row]) -> tuple[Cover, ...]:
    """Return pictures spread over the layer's channels, of those with the best verdict if there are enough.

    Those of dead channels show nothing, and come last.
    """
    shown = [row for row in rows if row["visualizations"]]
    best: list[Row] = []
    for is_dead, word in product((False, True), (*WORDS, None)):
        best += [row for row in shown if row.get("verdict") == word and (row["status"] == "dead") == is_dead]
        if len(best) >= COVERS:
            break
    best.sort(key=lambda row: int(row["channel"]))
    count = min(COVERS, len(best))
    chosen = [best[number * len(best) // count] for number in range(count)]
    return tuple(
        Cover(channel=row["channel"], unit=row["unit"], file=file_name(row["visualizations"][0])) for row in chosen
    )


def totals(layers: Sequence[LayerSummary]) -> Totals:
    """Return the counts of some layers together."""
    rows = [row for layer in layers for row in layer.rows]
    singles = sum(row["channel"] is not None for row in rows)
    statuses = Counter(str(row["status"]) for row in rows)
    verdicts = Counter(row.get("verdict") for row in rows)
    return Totals(
        channels=sum(layer.spec.channels for layer in layers),
        shown=singles,
        others=len(rows) - singles,
        with_pictures=sum(bool(row["visualizations"]) for row in rows),
        statuses={status: count for status, count in sorted(statuses.items()) if status != "ok"},
        verdicts={word: verdicts[word] for word in WORDS if verdicts[word]},
    )


def unit_groups(layers: Sequence[LayerSummary]) -> list[UnitGroup]:
    """Return the units that are no single channel, by layer and objective: directions, pairs, interpolations."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for layer in layers:
        for row in numbered(layer.rows, layer.spec.channels):
            if not row["single"] and row["visualizations"]:
                kind = str(row["visualizations"][0]["objective"])
                groups.setdefault((layer.spec.name, kind), []).append((str(row["channel"]), row["unit"]))
    return [UnitGroup(layer=layer, kind=kind, units=tuple(units)) for (layer, kind), units in groups.items()]
