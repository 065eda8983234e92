"""The assemble worker: reads everything that the store has about one layer and writes its tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.assemble.activation_atlas import OF_CELL, cell_rows, classes_of_cells, shown_of
from network_atlas.assemble.bases import Bases, rounded
from network_atlas.assemble.cell_classes import CellClasses, Classes
from network_atlas.assemble.example_images import ExampleImages
from network_atlas.assemble.examples import Crops, location_of, read_again
from network_atlas.assemble.join import Sources, layer_rows, listed_examples, statistics_rows, with_images
from network_atlas.assemble.lists import ExampleLists
from network_atlas.assemble.naming import Naming
from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.dataset.embeddings import read_embeddings
from network_atlas.dataset.hierarchy import read_hierarchy
from network_atlas.dataset.looks import looks
from network_atlas.layers import LayerSpec
from network_atlas.plan.layouts import Place
from network_atlas.plan.tasks import AssembleTask
from network_atlas.stats.clarity import Space, space_of
from network_atlas.stats.files import SAMPLES, read_sample
from network_atlas.stats.merge import LayerScan, read_layer_scan
from network_atlas.store import layout_schemas, schemas
from network_atlas.store.columns import read_columns
from network_atlas.store.name_columns import BASES, CONCEPTS
from network_atlas.store.paths import (
    activation_atlas_directory,
    atlas_directory,
    bases_directory,
    concepts_directory,
    statistics_directory,
)
from network_atlas.store.receipts import Receipt, commit
from network_atlas.store.root import Store
from network_atlas.store.shards import put_shard, read_checked_rows
from network_atlas.units import Cell, Direction

LOOKS_KEPT = 1_000_000
"""Hashes of images that a worker remembers: 100 MB at most."""


class AssembleWorker:
    """Assembles layers. Needs no model and no torch."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        self._config = config
        self._store = Store.open(config.store.root)
        self._source = open_source(config.dataset)
        self._preprocessing = Preprocessing(config.model.input)
        # Kept between layers: they list the same images again and again.
        self._looks = lru_cache(maxsize=LOOKS_KEPT)(lambda example_id: looks(read_again(self._source, example_id)))
        self._embeddings = read_embeddings(config.dataset)
        self._space: tuple[tuple[str, ...], Space] | None = None
        self._label = lru_cache(maxsize=LOOKS_KEPT)(self._source.label)
        self._naming = Naming(
            hierarchy=read_hierarchy(config.dataset),
            image=self._source.image,
            label=self._label,
            views=config.dataset.views,
            least=config.assemble.concept_images,
        )
        self._images = ExampleImages(self._store, self._source, self._preprocessing, config.assemble)
        bits = config.assemble.near_copy_bits
        self._lists = ExampleLists(
            config=config.scan,
            views=config.assemble.views_per_image,
            image_of=self._source.image,
            looks=self._looks if bits >= 0 else None,
            differing_bits=bits,
        )

    def run(self, task: AssembleTask) -> Receipt:
        """Join one layer and commit its tables."""
        started = time.monotonic()
        layer = task.plan.layer
        scan, calibrations = self._scan(task), self._calibrations(task)
        bases, found = self._bases(task, scan), self._found(task)
        stability = {str(row["name"]): float(row["stability"]) for row in found}
        directions = [picture.unit for picture in task.plan.pictures if isinstance(picture.unit, Direction)]
        sources = Sources(
            model=self._config.model.name,
            class_names=task.class_names,
            scan=scan,
            pictures=self._pictures(task),
            calibrations=calibrations,
            label=self._label,
            lists=self._lists,
            limits=self._config.assemble.verdict,
            names=self._naming.of_layer(scan) if scan else None,
            clear=bases.clarity() if bases else None,
            monosemanticity=[rounded(score) for score in bases.monosemanticity()] if bases else (),
            described=bases.descriptions() if bases else (),
            directions=bases.of_directions(directions, stability) if bases else {},
        )
        plan = replace(task.plan, pictures=tuple(p for p in task.plan.pictures if not isinstance(p.unit, Cell)))
        listed = listed_examples(plan, sources)
        shown = [[location_of(example) for example in of_row] for of_row in listed.values()]
        stored, images = self._images.of_rows(layer, shown, examples=task.examples)
        examples = {
            subject: with_images(of_row, of_images, sources)
            for (subject, of_row), of_images in zip(listed.items(), stored, strict=True)
        }
        rows = layer_rows(plan, sources, examples)
        files = [*images, put_shard(self._store, atlas_directory(layer), rows, schemas.ATLAS)]
        if scan:
            statuses = {row["channel"]: row["status"] for row in rows if row["channel"] is not None}
            rows = statistics_rows(task.plan, statuses, sources)
            files.append(put_shard(self._store, statistics_directory(layer), rows, schemas.CHANNEL_STATS))
        if bases and (rows := bases.rows(np.array([row["vector"] for row in found]))):
            files.append(put_shard(self._store, bases_directory(layer), rows, BASES))
        if sources.names and (rows := sources.names.concept_rows(layer)):
            files.append(put_shard(self._store, concepts_directory(layer), rows, CONCEPTS))
        if task.cells_file:
            rows = self._cells(task, sources)
            files.append(
                put_shard(self._store, activation_atlas_directory(layer), rows, layout_schemas.ACTIVATION_ATLAS)
            )
        seconds = time.monotonic() - started
        receipt = Receipt(stage="assemble", task=task.id, keys=(task.key,), files=tuple(files), seconds=seconds)
        return commit(self._store, receipt)

    def _scan(self, task: AssembleTask) -> LayerScan | None:
        if not task.examples:
            return None  # dataset=none
        scan, layer = self._config.kept, task.plan.layer
        return read_layer_scan(self._store, task.scan_files, layer, scan, examples=task.examples, with_classes=True)

    def _found(self, task: AssembleTask) -> list[dict[str, Any]]:
        """Return the rows of the directions that were found in the layer."""
        return list(read_checked_rows(self._store, task.directions_file)) if task.directions_file else []

    def _bases(self, task: AssembleTask, scan: LayerScan | None) -> Bases | None:
        if scan is None or task.space is None:
            return None
        if self._space is None or self._space[0] != task.space_files:  # all layers have the same
            files = [path for path in task.space_files if path.startswith(f"{SAMPLES}/")]
            self._space = task.space_files, space_of(read_sample(self._store, files, task.space))
        return Bases(
            layer=task.plan.layer,
            scan=scan,
            naming=self._naming,
            space_layer=task.space,
            space=self._space[1],
            embeddings=self._embeddings,
            image=self._source.image,
        )

    def _cells(self, task: AssembleTask, sources: Sources) -> list[dict[str, Any]]:
        """Return the rows of the layer's activation atlas."""
        stored = read_checked_rows(self._store, task.cells_file)
        cells: list[dict[str, Any]] = [{name: row[name] for name in OF_CELL} for row in stored]
        crops = Crops(self._source, self._preprocessing, self._config.assemble.crop_px)
        count = self._config.layout.examples
        locations = (location for cell in cells for location in shown_of(cell, count))
        return cell_rows(
            self._config.model.name,
            cells,
            task.plan.pictures,
            made=sources.pictures,
            calibrations=sources.calibrations,
            crops=crops.shown(task.plan.layer, locations),
            shown=count,
            classes=self._classes(task, cells),
            class_names=task.class_names,
        )

    def _classes(self, task: AssembleTask, cells: list[dict[str, Any]]) -> dict[Place, Classes] | None:
        """Return the classes of the cells of the layer's map; None where the model's output is not known."""
        if task.output is None:
            return None
        layout = read_columns(self._store, task.layout_file, ["example_id", "x", "y"])
        images = {example: self._source.image(example) for example in layout["example_id"].tolist()}
        return classes_of_cells(cells, layout, CellClasses(self._logits(task.output, task.output_files), images))

    def _logits(self, output: LayerSpec, paths: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the logits of each sampled example, by its id."""
        logits: dict[str, NDArray[np.float32]] = {}
        for path in paths:
            span = read_columns(self._store, path, ["example_id", "spatial_mean"], layer_index=output.index)
            vectors = span["spatial_mean"].values.reshape(-1, output.channels)
            logits |= dict(zip(span["example_id"].tolist(), vectors, strict=True))
        return logits

    def _pictures(self, task: AssembleTask) -> dict[str, dict[str, Any]]:
        keys = {picture.key for picture in task.plan.pictures}
        rows = (row for path in task.picture_files for row in read_checked_rows(self._store, path))
        return {str(row["key"]): row for row in rows if row["key"] in keys}

    def _calibrations(self, task: AssembleTask) -> dict[str, dict[str, Any]]:
        keys = set(task.calibrations)
        rows = (row for path in task.calibration_files for row in read_checked_rows(self._store, path))
        return {str(row["key"]): row for row in rows if row["calibration"] in keys}
