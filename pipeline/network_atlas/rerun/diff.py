"""Compare two snapshots and write what changed into a folder, layer by layer.

    result = make_diff(open_side("atlases/resnet50@2"), open_side("atlases/resnet50@3"), out="resnet50.diff/2-3")
    result.summary.measures["drift"]

    layers.parquet, channels/layer=<index>-<name>.parquet       the tables (store/diff_schemas.py)
    summary.md, index.html, layers/                             to read and to look at
    diff.json                                                   numbers for programs; written last: the rest is whole

The folder belongs to the diff: what an earlier one left there is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from network_atlas.errors import ConfigError, counted
from network_atlas.layers import LayerSpec
from network_atlas.rerun.channels import Datasets, Row
from network_atlas.rerun.cross import open_networks
from network_atlas.rerun.layer_diff import LayerDiff, diff_layer
from network_atlas.rerun.showing import layer_facts, line_of, pairs_of, versus
from network_atlas.rerun.sides import Side
from network_atlas.rerun.summary import Summary, markdown, sentences, summarize
from network_atlas.site.diff_pages import LayerLine, diff_index_files, diff_layer_files, page_path, with_neighbours
from network_atlas.store.diff_schemas import DIFF_CHANNELS, DIFF_LAYERS
from network_atlas.store.root import STAGING, Store
from network_atlas.store.shards import put_table

RECORD = "diff.json"
FOLDERS = ("channels", "layers", "assets")
FILES = ("layers.parquet", "summary.md", "index.html")
FORMAT = 1
"""Of `diff.json`: later versions add fields and rename none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffResult:
    """A finished diff."""

    out: str
    layers: Sequence[Row]
    """With the columns of `diff_schemas.DIFF_LAYERS`, in order of execution."""
    summary: Summary
    sentences: Sequence[str]


def make_diff(
    old: Side, new: Side, *, out: str, cross: bool = False, progress: Callable[[str], None] = lambda _: None
) -> DiffResult:
    """Compare two snapshots, write tables, summary and pages below `out`, and return the result.

    With `cross`, both networks are loaded, and each is run on the other's pictures.
    `progress` is told of each layer that has to be compared. Raises ConfigError if `out` holds something else.
    """
    store = Store.open(out)
    _claim(store)
    networks = open_networks(old, new) if cross else None
    about, datasets = versus(old, new), datasets_of(old, new)
    lines, written, shown = [], set[str](), dict[LayerSpec, bytes]()
    for name in names_of(old, new):
        progress(name)
        diff = diff_layer(name, old, new, datasets, networks)
        pairs = pairs_of(diff)
        if diff.channels:
            pages = diff_layer_files(about, diff.layer, layer_facts(diff.row), diff.row["notes"], pairs)
            shown[diff.layer] = pages.pop(page_path(diff.layer))
            written |= {*_put(store, pages), _put_channels(store, diff)}
        lines.append(line_of(diff, pairs))
    written |= _put(store, _linked(shown))
    result = _finished(out, lines)
    written |= _put(store, diff_index_files(about, result.sentences, lines))
    _put_summary(store, result, (old, new))
    for path in {path for folder in FOLDERS for path in store.list(folder)} - written:
        store.delete(path)
    store.write(RECORD, json.dumps(record_of(result, old, new), indent=1).encode())
    return result


def _claim(store: Store) -> None:
    """Take back the word that an earlier diff in the folder is whole. Raises ConfigError if other things are there."""
    if store.exists(RECORD):
        store.delete(RECORD)
    elif others := [path for path in store.list("") if path.split("/")[0] not in (*FOLDERS, *FILES, STAGING)]:
        raise ConfigError(f"--out={store.root!r} holds something else than a diff, {others[0]!r}. Name another folder.")


def names_of(old: Side, new: Side) -> list[str]:
    """Return the layers of both snapshots: the new one's in order of execution, then those that it does not have."""
    return list(dict.fromkeys([*new.layers, *old.layers]))


def datasets_of(old: Side, new: Side) -> Datasets:
    """Return which examples both datasets have. Their ids are only read where the lists differ."""
    if old.examples == new.examples:
        return Datasets(share=bool(old.examples), shared=None)
    shared = old.example_ids() & new.example_ids()
    return Datasets(share=bool(shared), shared=shared)


def _linked(shown: Mapping[LayerSpec, bytes]) -> dict[str, bytes]:
    """Return the pages of layers, by path, each with links to its neighbours."""
    around = [None, *shown, None]
    return {
        page_path(layer): with_neighbours(page, around[number], around[number + 2])
        for number, (layer, page) in enumerate(shown.items())
    }


def _put(store: Store, files: dict[str, bytes]) -> set[str]:
    for path, data in files.items():
        store.write(path, data)
    return {*files}


def _put_channels(store: Store, diff: LayerDiff) -> str:
    path = channels_path(diff.layer)
    put_table(store, path, diff.channels, DIFF_CHANNELS)
    return path


def channels_path(layer: LayerSpec) -> str:
    """Return the path of a layer's table of channels, in a diff's folder."""
    return f"channels/layer={layer.slug}.parquet"


def _finished(out: str, lines: Sequence[LayerLine]) -> DiffResult:
    rows = [line.row for line in lines]
    summary = summarize(rows)
    return DiffResult(out=out, layers=[dict(row) for row in rows], summary=summary, sentences=sentences(summary, rows))


def _put_summary(store: Store, result: DiffResult, sides: tuple[Side, Side]) -> None:
    put_table(store, "layers.parquet", result.layers, DIFF_LAYERS)
    about = versus(*sides)
    facts = [("Old", about.old), ("New", about.new), *about.facts]
    text = markdown(f"What changed in {about.model}", facts, result.summary, result.layers)
    store.write("summary.md", text.encode())


def record_of(result: DiffResult, old: Side, new: Side) -> dict[str, object]:
    """Return the diff in numbers, for programs: `diff.json`, and what `atlas diff --json` prints."""
    return {
        "format": FORMAT,
        "old": {"root": old.root, "snapshot": old.number},
        "new": {"root": new.root, "snapshot": new.number},
        "out": result.out,
        "layers": dict(result.summary.states),
        "channels": result.summary.channels,
        "measures": dict(result.summary.measures),
        "sentences": list(result.sentences),
    }


def describe(result: DiffResult) -> str:
    """Return the diff in one line, for logs."""
    return f"{counted(len(result.layers), 'layer')} compared: {' '.join(result.sentences)}"
