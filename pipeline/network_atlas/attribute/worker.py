"""The attribution worker: says where channels of one layer look on their best examples, and what drives them there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from network_atlas.attribute.circuits import circuit_rows
from network_atlas.attribute.edges import edge_rows
from network_atlas.attribute.groups import Groups, two_groups
from network_atlas.attribute.heat import heat_map, own_map
from network_atlas.attribute.layer_reader import Attribution, LayerReader, Pixels, Position
from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.dataset.crops import crop_box, seen_box
from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.layers import LayerSpec
from network_atlas.models.frozen.freeze import way_of_running
from network_atlas.models.memory import FittingBatch
from network_atlas.models.worker_setup import set_up_worker
from network_atlas.plan.tasks import AttributeTask
from network_atlas.stats.merge import LayerScan, read_layer_scan
from network_atlas.store import attribution_schemas as schemas
from network_atlas.store.paths import attributions_directory, circuits_directory, edges_directory
from network_atlas.store.png import encode_png
from network_atlas.store.receipts import Receipt, commit
from network_atlas.store.shards import FileEntry, put_shard

Row = dict[str, Any]
Example = Mapping[str, Any]

AT_ONCE = 16
"""Images that pass the network together, as far as the device's memory allows."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """What is kept of the layer that was attributed last: its next task needs it again."""

    name: str
    scan: LayerScan
    reader: LayerReader
    means: Float64[NDArray[np.float64], " channels"]


class AttributeWorker:
    """Attributes channels; holds one model, so that it is loaded once per process."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        self._config = config
        self._device, self._model, self._store = set_up_worker(config, threads=threads)
        self._source = open_source(config.dataset)
        self._preprocessing = Preprocessing(config.model.input)
        self._fitting = FittingBatch(AT_ONCE)
        self._latest: _Layer | None = None

    def run(self, task: AttributeTask) -> Receipt:
        """Attribute the task's channels and commit what is known of each channel, its edges, and groups of examples."""
        started = time.monotonic()
        layer = self._layer(task)
        examples = {channel: self._best(layer.scan, channel) for channel in task.channels}
        attributions = self._attributions(layer.reader, examples)
        weights = self._weights(layer.reader, task.channels)
        channels, edges, circuits = [], [], []
        for key, channel, weight in zip(task.keys, task.channels, weights, strict=True):
            names = {"layer_index": task.layer.index, "layer": task.layer.name, "channel": channel, "key": key}
            of_channel = attributions[channel]
            vectors = np.array([each.parents for each in of_channel]).reshape(len(of_channel), -1)
            count = self._config.attribute.edges
            rows = edge_rows(layer.reader.parents, vectors, weight, layer.means, count=count)
            edges += [names | row for row in rows]
            groups = two_groups(vectors) if layer.reader.parents else None
            ids = [str(example["example_id"]) for example in examples[channel]]
            circuits += [names | row for row in circuit_rows(groups, vectors, layer.reader.parents, ids)]
            row = self._row(task.layer, layer.reader, channel, examples[channel], of_channel, groups)
            channels.append(names | row)
        files = self._put(task.layer, layer.reader.parents, channels, edges, circuits)
        return commit(
            self._store,
            Receipt(
                stage="attribute",
                task=task.id,
                keys=task.keys,
                files=files,
                seconds=time.monotonic() - started,
                network=way_of_running(self._model),
            ),
        )

    def _put(
        self,
        layer: LayerSpec,
        parents: Sequence[LayerSpec],
        channels: Sequence[Row],
        edges: Sequence[Row],
        circuits: Sequence[Row],
    ) -> tuple[FileEntry, ...]:
        """Write the tables. The edges to each parent are a file of their own, so that its page finds them by name.

        Few channels have two groups, so there is a file of these only where there are any.
        """
        files = [put_shard(self._store, attributions_directory(layer), channels, schemas.ATTRIBUTIONS)]
        for parent in parents:
            rows = [row for row in edges if row["parent"] == parent.name]
            files.append(put_shard(self._store, edges_directory(layer, parent), rows, schemas.EDGES))
        if circuits:
            files.append(put_shard(self._store, circuits_directory(layer), circuits, schemas.CIRCUITS))
        return tuple(files)

    def _layer(self, task: AttributeTask) -> _Layer:
        if self._latest is None or self._latest.name != task.layer.name:
            reader = LayerReader(
                self._model,
                task.layer,
                layers=task.cuts,
                owners=task.owners,
                config=self._config.model.input,
                device=self._device,
            )
            scan = read_layer_scan(self._store, task.scan_files, task.layer, self._config.kept)
            # Of the images chosen by chance, those of the scan's sample: it holds all that the scan could read.
            ids = sorted(set(task.random_ids) & set(scan.sample.ids))
            images = [self._pixels(name) for name in ids]
            means = self._fitting.fit(partial(reader.means, images))
            self._latest = _Layer(task.layer.name, scan, reader, means)
        return self._latest

    def _weights(self, reader: LayerReader, channels: Sequence[int]) -> NDArray[np.float64]:
        """Return the weights of each channel, (channels, parents); no columns for a layer without parents."""
        if not reader.parents:
            return np.zeros((len(channels), 0))
        return np.stack(self._fitting.over(lambda part: list(reader.weights(channels[part])), len(channels)))

    def _best(self, scan: LayerScan, channel: int) -> list[Example]:
        """Return the examples with the largest values, one view of each image, as many as lists show."""
        of_images: dict[str, Example] = {}
        for example in scan.examples(scan.whole.top, channel):
            of_images.setdefault(self._source.image(example["example_id"]), example)
        return list(of_images.values())[: self._config.scan.top_k]

    def _attributions(
        self, reader: LayerReader, examples: Mapping[int, Sequence[Example]]
    ) -> dict[int, list[Attribution]]:
        """Return what stands behind each channel's value on its examples. An image is read and passed once."""
        wanted: dict[str, list[Position]] = {}
        for channel, of_channel in examples.items():
            for example in of_channel:
                wanted.setdefault(example["example_id"], []).append((channel, example["row"], example["column"]))
        # Images with as many channels as each other side by side: a batch takes as many backward passes as its longest.
        names = sorted(wanted, key=lambda name: (-len(wanted[name]), name))

        def of_part(part: slice) -> list[list[Attribution]]:
            images = [self._pixels(name) for name in names[part]]
            return reader.attributions(images, [wanted[name] for name in names[part]])

        made = {
            (name, position[0]): attribution
            for name, of_image in zip(names, self._fitting.over(of_part, len(names)), strict=True)
            for position, attribution in zip(wanted[name], of_image, strict=True)
        }
        return {
            channel: [made[example["example_id"], channel] for example in of_channel]
            for channel, of_channel in examples.items()
        }

    def _pixels(self, example_id: str) -> Pixels:
        """Return an example as the model is shown it. Raises DatasetError where it can't be read any more."""
        try:
            return self._preprocessing.apply(self._source.read(example_id))
        except UnreadableImageError as error:
            raise DatasetError(
                f"{error}; the scan could read it. Put the file back as it was and run again, or remove it from the "
                "dataset, which is then scanned anew"
            ) from error

    def _row(
        self,
        layer: LayerSpec,
        reader: LayerReader,
        channel: int,
        examples: Sequence[Example],
        attributions: Sequence[Attribution],
        groups: Groups | None,
    ) -> Row:
        """Return the row of one channel, as `schemas.ATTRIBUTIONS` has it but for its names."""
        parents = [parent.name for parent in reader.parents]
        shown = list(self._example_rows(layer, reader, channel, examples, attributions))
        for number, row in enumerate(shown):
            row["group"] = int(groups.labels[number]) if groups else None
        return {"parents": parents, **_completeness(shown, reader, channel), **_of_groups(groups), "examples": shown}

    def _example_rows(
        self,
        layer: LayerSpec,
        reader: LayerReader,
        channel: int,
        examples: Sequence[Example],
        attributions: Sequence[Attribution],
    ) -> Iterator[Row]:
        config = self._config.model.input
        for rank, (example, made) in enumerate(zip(examples, attributions, strict=True), start=1):
            row, column = example["row"], example["column"]
            box = crop_box(seen_box(layer, row, column, config), config)
            drawn = own_map(made.map, layer, box, config)
            attributed = float(made.parents.sum()) if reader.parents else None
            yield {
                "example_id": example["example_id"],
                "rank": rank,
                "row": row,
                "column": column,
                "value": made.value,
                "attributed": attributed,
                "residual": None
                if attributed is None
                else made.value - float(reader.base[channel, row, column]) - attributed,
                "heat": {"bytes": encode_png(heat_map(made.pixels, box)), "path": None},
                "map": None if drawn is None else {"bytes": encode_png(drawn), "path": None},
            }


def _completeness(shown: Sequence[Row], reader: LayerReader, channel: int) -> Row:
    """Return how much of the channel's values the layers just before explain; nothing where there are none."""
    values = np.array([row["value"] for row in shown], np.float64)
    if not reader.parents or not len(values):
        value = float(values.mean()) if len(values) else None
        return {"value": value, "base": None, "attributed": None, "residual": None}
    base = np.array([reader.base[channel, row["row"], row["column"]] for row in shown], np.float64)
    residual = np.array([row["residual"] for row in shown], np.float64)
    size = float(np.abs(values - base).mean())
    return {
        "value": float(values.mean()),
        "base": float(base.mean()),
        "attributed": float(np.mean([row["attributed"] for row in shown])),
        "residual": float(np.abs(residual).mean()) / size if size > 0 else None,
    }


def _of_groups(groups: Groups | None) -> Row:
    if groups is None:
        return {"group_index": None, "group_p": None, "two_groups": None}
    return {"group_index": groups.index, "group_p": groups.p_value, "two_groups": groups.apart}
