"""Find the files that tasks read: those that earlier stages left in the store."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from network_atlas.config.declare import ASSEMBLE
from network_atlas.config.determines import determining
from network_atlas.config.priors import TRAINED
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import OUTPUT, LayerSpec
from network_atlas.plan.calibration import calibration_keys
from network_atlas.plan.contents import LayerPlan, LearnedModel
from network_atlas.plan.tasks import AssembleTask
from network_atlas.run.maps import cells_of, directions_of, layout_of
from network_atlas.run.prepare import Prepared
from network_atlas.stats.files import FOLDERS, SAMPLES
from network_atlas.stats.images import merge_images
from network_atlas.store import layout_schemas, scan_schemas, schemas
from network_atlas.store.fields import VERSION, columns_of
from network_atlas.store.name_columns import BASES, CONCEPTS
from network_atlas.store.receipts import Receipt, commit, files_under
from network_atlas.store.results import Done
from network_atlas.store.shards import put_shard, read_rows

ASSEMBLE_ALGORITHM = 10
"""Raise this number when the same results are joined into another table."""


class StoredFiles:
    """The files that earlier stages left in the store, for the tasks of later ones."""

    def __init__(self, prepared: Prepared, done: Done) -> None:
        self._plan, self._done = prepared.plan, done
        self._layers = {layer.layer.name: layer for layer in prepared.plan.layers}
        self._scans: dict[str, tuple[str, ...] | None] = {}

    def of_scan(self, layer: LayerSpec) -> tuple[str, ...] | None:
        """Return the files of a layer's scan; None if a span is missing."""
        if layer.name not in self._scans:  # every block of a layer asks for it
            keys = self._layers[layer.name].scan_keys
            is_complete = all(key in self._done.scan for key in keys)
            self._scans[layer.name] = scanned_files(self._done.scan[key] for key in keys) if is_complete else None
        return self._scans[layer.name]

    def of_images(self) -> str | None:
        """Return the file with the statistics of all images; None if it is not written yet."""
        receipt = self._done.statistics.get(self._plan.statistics_key)
        return receipt.files[0].path if receipt else None

    def of_layout(self, layout_key: str) -> str | None:
        """Return the file that says where vectors lie on a map; None if it is not laid out yet."""
        receipt = self._done.layout.get(layout_key)
        return layout_of(receipt) if receipt else None

    def of_cells(self, layout_key: str) -> str:
        """Return the file with the cells of a finished map."""
        return cells_of(self._done.layout[layout_key])

    def of_learned(self, model: LearnedModel) -> LearnedModel | None:
        """Return a model with the file that holds it; None if it is not fitted yet."""
        if model.source != TRAINED:
            return model
        receipt = self._done.prior.get(model.key)
        return replace(model, stored=receipt.files[0].path) if receipt else None

    def of_pictures(self, keys: Collection[str]) -> tuple[str, ...]:
        """Return the files that hold finished pictures, by the pictures' keys."""
        return files_under((self._done.optimize[key] for key in keys), "visualizations")


def assemble_task(layer: LayerPlan, prepared: Prepared, done: Done) -> AssembleTask:
    """Return the task that joins all results about a layer; its key covers which results there are."""
    pictures = [picture.key for picture in layer.pictures if picture.key in done.optimize]
    keys = calibration_keys(prepared.plan, layer)
    measured = [keys[key] for key in pictures if keys[key] in done.calibrate]
    config = prepared.config
    presentation = determining(config, ASSEMBLE)
    names = prepared.facts.class_names
    # With the columns: finished atlases get a new column at their next run.
    columns = tuple(
        map(columns_of, (schemas.ATLAS, schemas.CHANNEL_STATS, layout_schemas.ACTIVATION_ATLAS, CONCEPTS, BASES))
    )
    contents = (layer, pictures, measured, columns, prepared.vocabulary)
    space = _space(prepared, done)
    laid_out = done.layout.get(layer.layout.key) if layer.layout else None
    output = _output(prepared, done) if laid_out else None
    return AssembleTask(
        key=fingerprint(
            *("assemble", ASSEMBLE_ALGORITHM, VERSION, contents, presentation, names),
            space.scan_keys if space else (),
            *([output.scan_keys] if output else []),
        ),
        plan=layer,
        picture_files=files_under((done.optimize[key] for key in pictures), "visualizations"),
        calibration_files=files_under((done.calibrate[key] for key in measured), "calibrations"),
        calibrations=tuple(measured),
        scan_files=scanned_files(done.scan[key] for key in layer.scan_keys),
        examples=len(prepared.examples),
        class_names=names,
        cells_file=cells_of(laid_out) if laid_out else "",
        layout_file=layout_of(laid_out) if laid_out else "",
        output=output.layer if output else None,
        output_files=files_under((done.scan[key] for key in output.scan_keys), SAMPLES) if output else (),
        directions_file=_directions(layer, done),
        space=space.layer if space else None,
        space_files=scanned_files(done.scan[key] for key in space.scan_keys) if space else (),
    )


def _directions(layer: LayerPlan, done: Done) -> str:
    there = layer.directions and layer.directions.key in done.layout
    return directions_of(done.layout[layer.directions.key]) if layer.directions and there else ""


def _output(prepared: Prepared, done: Done) -> LayerPlan | None:
    """Return the model's output if it is a vector of logits, and was scanned."""
    layer = next((layer for layer in prepared.plan.layers if layer.layer.name == OUTPUT), None)
    is_there = layer and layer.layer.positions == (1, 1) and layer.scan_keys
    return layer if layer and is_there and all(key in done.scan for key in layer.scan_keys) else None


def _space(prepared: Prepared, done: Done) -> LayerPlan | None:
    """Return the layer in whose space images are compared: the last before the output, or else the output."""
    layers = [layer for layer in reversed(prepared.plan.layers) if layer.scan_keys]
    layers.sort(key=lambda layer: layer.layer.name == OUTPUT)
    # The first that is scanned ends the search: this is asked for every layer, and a scan has hundreds of keys.
    return next((layer for layer in layers if all(key in done.scan for key in layer.scan_keys)), None)


def scanned_files(receipts: Iterable[Receipt]) -> tuple[str, ...]:
    """Return the files of scan receipts that hold the numbers of channels, and the examples."""
    distinct = list(receipts)
    return tuple(path for folder in FOLDERS for path in files_under(distinct, folder))


def merge_statistics(prepared: Prepared, done: Done) -> bool:
    """Write the statistics over all images if they are missing and every span has its part; say whether it was done."""
    plan, store = prepared.plan, prepared.store
    key, keys = plan.statistics_key, plan.statistics_keys
    if not key or key in done.statistics or any(key not in done.scan for key in keys):
        return False
    rows = [
        row
        for path in files_under((done.scan[span] for span in keys), "scan/dataset")
        for row in read_rows(store, path)
    ]
    dataset = prepared.config.dataset
    named = {"dataset": " ".join(part for part in (dataset.source, dataset.root) if part)}
    merged = merge_images(rows, examples=len(prepared.examples))
    file = put_shard(store, "statistics", [named | merged], scan_schemas.DATASET_STATISTICS)
    commit(store, Receipt(stage="statistics", task=key, keys=(key,), files=(file,), seconds=0.0))
    return True
