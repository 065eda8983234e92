"""The site worker: turns a layer's atlas table into its page, and writes the index once all layers have theirs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import network_atlas
from network_atlas.analysis.stored_pictures import StoredPictures
from network_atlas.config.plain import to_plain
from network_atlas.config.schema import RunConfig
from network_atlas.config.written import override
from network_atlas.layers import LayerSpec
from network_atlas.plan.tasks import SiteTask
from network_atlas.site.map_and_circuit import circuit_pages, map_pages
from network_atlas.site.pages import AtlasInfo, index_files, layer_files
from network_atlas.site.search import COLUMNS
from network_atlas.site.summaries import LayerSummary, summary
from network_atlas.store.manifest import Manifest
from network_atlas.store.paths import activation_atlas_directory, atlas_directory
from network_atlas.store.receipts import Receipt, commit, read_receipts
from network_atlas.store.root import Store
from network_atlas.store.shards import entry_for, read_leaves, read_rows


class SiteWorker:
    """Writes the pages of layers. Needs no model and no torch."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        self._config = config
        self._store = Store.open(config.store.root)

    def run(self, task: SiteTask) -> Receipt:
        """Write the pages of one layer and commit them."""
        started = time.monotonic()
        rows = StoredPictures(self._store, task.picture_files).filled(read_rows(self._store, task.table))
        info = layer_info(atlas_info(to_plain(self._config)), table=task.table, upstream=task.upstream)
        pages = layer_files(
            info,
            task.layer,
            rows,
            task.previous,
            task.following,
            links=task.map,
            has_circuit=task.circuit is not None,
        )
        if task.map is not None:
            pages |= map_pages(self._store, atlas_info(to_plain(self._config)), task.layer, task.map)
        if task.circuit is not None:
            pages |= circuit_pages(self._store, task.layer, rows, task.circuit)
        files = tuple(entry_for(f"site/{path}", data, 0) for path, data in pages.items())
        for path, data in pages.items():
            self._store.write(f"site/{path}", data)
        slug, written = task.layer.slug, {file.path for file in files}
        pages_of_map = {path for path in (f"site/maps/{slug}.html", f"site/maps/{slug}.js") if self._store.exists(path)}
        before = {*self._store.list(f"site/layers/{slug}"), *self._store.list(f"site/maps/{slug}"), *pages_of_map}
        for path in before - written:
            self._store.delete(path)  # sheets of an earlier table with more channels, or of an earlier map
        receipt = Receipt(stage="site", task=task.id, keys=(task.key,), files=files, seconds=time.monotonic() - started)
        return commit(self._store, receipt)


def atlas_info(config: Mapping[str, Any], *, examples: int = 0, created: str = "", snapshot: int = 0) -> AtlasInfo:
    """Return what the pages say about the atlas as a whole; `config` is a configuration as plain values.

    Layer pages are called without what changes with every snapshot, or each snapshot would write all of them anew.
    """
    model, recipe, dataset = config["model"], config["optimize"], config["dataset"]
    images = " ".join(part for part in (dataset["source"], dataset["root"]) if part)
    size = f"{recipe['height_px']} x {recipe['width_px']} px"
    steps = f"{recipe['steps']} steps" + (", fitted to each layer's depth" if recipe["depth"]["follow"] else "")
    facts = {
        "Weights": model["weights"],
        "Recipe": f"{recipe['parameterization']['name']}, {steps}, {size}",
        "Snapshot": str(snapshot) if snapshot else "",
    }
    return AtlasInfo(
        model=model["name"],
        dataset=f"{images} ({examples} examples)" if examples else images,
        examples=examples,
        created=created,
        facts=tuple((name, value) for name, value in facts.items() if value),
        provenance=(
            ("Model", f"{model['source']}: {model['name']}, weights {model['weights']}"),
            ("Recipe", f"{facts['Recipe']}, learning rate {recipe['learning_rate']:g}, {recipe['ascent']}"),
            ("Images", images),
            ("Version", f"network_atlas {network_atlas.__version__}"),
        ),
        command=f"atlas run {_model_words(model)} sweep=select",
        input_size=(model["input"]["height"], model["input"]["width"]),
        channels=model["input"]["channels"],
    )


def layer_info(info: AtlasInfo, *, table: str, upstream: str) -> AtlasInfo:
    """Return the facts for the page of one layer: with its table, and the hash of the network up to it."""
    return replace(
        info, table=table, provenance=(*info.provenance, ("Network up to this layer, with weights", upstream))
    )


def _model_words(model: Mapping[str, Any]) -> str:
    """Return the overrides that choose the network."""
    if model["source"] == "packaged":
        return f"model={model['name']}"
    settings = {name: model[name] for name in ("name", "weights", "seed")}
    settings |= {name: model[name] for name in ("allow_code", "arguments") if model[name]}
    settings |= {f"input.{name}": value for name, value in model["input"].items()}
    words = (shlex.quote(override(f"model.{name}", value)) for name, value in settings.items())
    return " ".join([f"model={model['source']}", *words])


def put_index(store: Store, layers: Sequence[LayerSpec], manifest: Manifest) -> None:
    """Write the index page, the style sheet and the script."""
    for path, data in index_of(store, layers, manifest).items():
        store.write_if_changed(f"site/{path}", data)


def index_of(store: Store, layers: Sequence[LayerSpec], manifest: Manifest) -> dict[str, bytes]:
    """Return the files that are not of a single layer, by path below `site/`."""
    about: Mapping[str, Any] = manifest.provenance
    info = atlas_info(about["config"], examples=about["examples"], created=manifest.created, snapshot=manifest.number)
    return index_files(info, [_summary(store, layer, manifest) for layer in layers])


def _summary(store: Store, layer: LayerSpec, manifest: Manifest) -> LayerSummary:
    path = manifest.under(atlas_directory(layer))[0].path
    rows: list[dict[str, Any]] = read_leaves(store, path, COLUMNS).to_pylist()
    return summary(layer, rows, has_map=bool(manifest.under(activation_atlas_directory(layer))))


def remove_stale_pages(store: Store, layers: Sequence[LayerSpec]) -> None:
    """Remove the pages of layers that are no longer part of the atlas."""
    current = {layer.slug for layer in layers}
    receipts = read_receipts(store, "site")
    kept = {file.path for receipt in receipts if receipt.task in current for file in receipt.files}
    for receipt in receipts:
        if receipt.task not in current:
            for file in receipt.files:
                if file.path not in kept:
                    store.delete(file.path)
            store.delete(f"receipts/site/{receipt.task}.json")
