"""The data of the search over the whole network, as a script that the network page reads when it is needed. Pure.

Texts that many channels share (classes, names of images, words) stand in tables of their own, and channels hold their
numbers: 26,560 channels take about 2 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from network_atlas.layers import LayerSpec
from network_atlas.site.layer_data import script_json
from network_atlas.site.packing import Row, file_name, numbered

COLUMNS = (
    *("channel", "unit", "class_name", "name", "status", "verdict"),
    *("classes.list.element.label", "examples.list.element.kind", "examples.list.element.example_id"),
    *("examples.list.element.label", "visualizations.list.element.key", "visualizations.list.element.variant"),
    *("visualizations.list.element.objective", "visualizations.list.element.percentile"),
    "visualizations.list.element.picture_verdict",
)
"""What the network page needs of a joined table, by Parquet path; `name` where the table has it."""
CLASSES = 3
"""Classes of a channel, those with the highest mean, by which it is found."""
TOP = 6
"""Of a channel's best images, those by which it is found and compared with channels of other layers."""
FIELDS = ("layer", "channel", "status", "verdict", "file", "classes", "examples", "caption", "name")
"""Of a unit. The last ones are left out where a unit has none."""


class _Texts:
    """Distinct texts, each with a number."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def number(self, text: Any) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def all(self) -> list[Any]:
        return list(self._numbers)


def _without_end(*values: Any) -> list[Any]:
    """Return the values up to the last one that is not None."""
    last = max(number for number, value in enumerate(values) if value is not None)
    return list(values[: last + 1])


def _best(examples: Sequence[Row]) -> list[Row]:
    """Return a unit's best images, each once: by the largest value, or by the mean where there is no such list."""
    by_kind = [[each for each in examples if each["kind"] == kind] for kind in ("top", "top_mean")]
    return (by_kind[0] or by_kind[1])[:TOP]


def search_script(layers: Iterable[tuple[LayerSpec, Sequence[Row]]]) -> bytes:
    """Return the script with every channel of every layer; rows need `COLUMNS` alone."""
    names: list[tuple[str, str]] = []
    words, labels, examples = _Texts(), _Texts(), _Texts()
    units: list[list[Any]] = []
    for spec, rows in layers:
        for row in numbered(rows, spec.channels):
            shown = row["visualizations"][0] if row["visualizations"] else None
            tops = _best(row["examples"] or ())
            units.append(
                _without_end(
                    len(names),
                    row["channel"],
                    words.number(row["status"]),
                    words.number(row.get("verdict")),
                    file_name(shown) if shown else None,
                    [labels.number(each["label"]) for each in (row.get("classes") or ())[:CLASSES]],
                    [examples.number((each["example_id"], labels.number(each["label"] or ""))) for each in tops],
                    row.get("class_name") or (None if row["single"] else row["unit"]),
                    row.get("name"),
                )
            )
        names.append((spec.slug, spec.name))
    data = {
        "fields": FIELDS,
        "layers": names,
        "words": words.all,
        "labels": labels.all,
        "examples": examples.all,
        "units": units,
    }
    return f"window.ATLAS_SEARCH={script_json(data)};\n".encode()
