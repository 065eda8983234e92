"""Build the pages of a diff as files in memory: old pictures beside new ones, sorted by change. Pure.

    files = diff_layer_files(versus, spec, row, pairs)        # 'layers/0042-blocks.4.html' -> bytes
    files[page] = with_neighbours(files[page], before, after) # once it is known which layers have a page
    files |= diff_index_files(versus, lines)

They work from disk and need no script. Text from outside is escaped by jinja2. A Content-Security-Policy allows the
page's own pictures and styles and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from network_atlas.layers import LayerSpec
from network_atlas.site.pages import assets, template
from network_atlas.site.sheets import Place, Sheet, pack

STYLES = ("atlas.css", "diff.css")
CROP_COLUMNS = 12
IDENTITIES = {
    "kept": "numbers kept",
    "partly": "numbers partly kept",
    "lost": "numbers mean nothing",
    "unknown": "numbers not tested",
}
STATES = {
    "reused": "reused",
    "recomputed": "recomputed",
    "same_weights": "same weights, made again",
    "added": "added",
    "removed": "removed",
}

NEIGHBOURS = "<!-- neighbours -->"
"""Stands in a page where its links to other layers go. Outside text is escaped, so it can't hold this."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """What is compared, for every page."""

    model: str
    old: str
    new: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One side of a pair: a channel's picture and best examples, encoded."""

    picture: bytes | None
    crops: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A channel before and after."""

    channel: int
    caption: str
    old: Shown | None
    new: Shown | None
    match: int | None
    """The number that does the old channel's work now, if it moved."""
    matched: Shown | None
    drift: float | None
    badges: tuple[str, ...]
    facts: tuple[tuple[str, str, str], ...]
    """Name, value and explanation of each number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerLine:
    """A layer on the index page."""

    spec: LayerSpec
    row: Row
    """With the columns of `store.diff_schemas.DIFF_LAYERS`."""
    facts: tuple[str, ...]
    covers: tuple[tuple[bytes | None, bytes | None], ...]
    """Old and new picture of the channels that changed most."""


def diff_layer_files(
    versus: Versus, spec: LayerSpec, facts: Sequence[tuple[str, str, str]], notes: Sequence[str], pairs: Sequence[Pair]
) -> dict[str, bytes]:
    """Return the page of one layer with its two sheets, by path: its channels, in the order in which they are given."""
    sides = [side for pair in pairs for side in (pair.old, pair.new, pair.matched)]
    pictures = pack([side.picture if side else None for side in sides], form="JPEG")
    crops = [list(side.crops) if side else [] for side in sides]
    most = max((len(of_side) for of_side in crops), default=0)
    padded = [crop for of_side in crops for crop in [*of_side, *[None] * (most - len(of_side))]]
    examples = pack(padded, form="JPEG", columns=CROP_COLUMNS)
    shown = [_side(side, number, pictures, examples, most) for number, side in enumerate(sides)]
    html = template("diff_layer.html").render(
        versus=versus,
        layer=spec,
        neighbours=NEIGHBOURS,
        facts=facts,
        notes=notes,
        pairs=[
            {"pair": pair, "sides": shown[3 * number : 3 * number + 3], "bar": _bar(pair.drift)}
            for number, pair in enumerate(pairs)
        ],
    )
    folder = _folder(spec)
    sheets = {f"{folder}/pictures.jpg": pictures.data, f"{folder}/examples.jpg": examples.data}
    return {page_path(spec): html.encode(), **(sheets if pairs else {})}


def _folder(spec: LayerSpec) -> str:
    return f"layers/{spec.slug}"


def page_path(spec: LayerSpec) -> str:
    """Return the path of a layer's page."""
    return f"{_folder(spec)}.html"


def with_neighbours(page: bytes, previous: LayerSpec | None, following: LayerSpec | None) -> bytes:
    """Return a layer's page with links to the pages before and behind it."""
    links: str = template("diff_neighbours.html").render(previous=previous, following=following)
    return page.replace(NEIGHBOURS.encode(), links.encode())


def _side(side: Shown | None, number: int, pictures: Sheet, examples: Sheet, most: int) -> dict[str, Any] | None:
    """Return the places of a side's picture and crops, None for a side that is not there."""
    if side is None:
        return None
    return {
        "picture": pictures.place(number) if side.picture else None,
        "crops": [examples.place(number * most + crop) for crop in range(len(side.crops))],
    }


def diff_index_files(versus: Versus, sentences: Sequence[str], lines: Sequence[LayerLine]) -> dict[str, bytes]:
    """Return the index page of a diff, its covers, and the style sheets that all pages share."""
    sheets = {
        line.spec.slug: pack([picture for pair in line.covers for picture in pair], form="JPEG", columns=2)
        for line in lines
        if line.covers
    }
    html = template("diff_index.html").render(
        versus=versus,
        sentences=sentences,
        reused=[line.spec.name for line in lines if line.row["state"] == "reused"],
        lines=[
            {
                "spec": line.spec,
                "row": line.row,
                "state": STATES[line.row["state"]],
                "identity": IDENTITIES.get(line.row["identity"]),
                "facts": line.facts,
                "bar": _bar(line.row["drift"]),
                "covers": _covers(line, sheets.get(line.spec.slug)),
            }
            for line in lines
            if line.row["state"] != "reused"
        ],
    )
    covers = {f"assets/covers/{slug}.jpg": sheet.data for slug, sheet in sheets.items()}
    return {"index.html": html.encode(), **covers, **assets(STYLES)}


def _covers(line: LayerLine, sheet: Sheet | None) -> list[list[Place | None]]:
    if sheet is None:
        return []
    return [
        [sheet.place(2 * number + side) if pair[side] else None for side in (0, 1)]
        for number, pair in enumerate(line.covers)
    ]


def _bar(drift: float | None) -> str:
    """Return the width of a bar, in percent."""
    return f"{100 * min(1.0, max(0.0, drift or 0.0)):.1f}"
