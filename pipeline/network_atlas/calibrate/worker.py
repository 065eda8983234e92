"""The calibration worker: measures finished pictures of one layer and commits one shard."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.calibrate.measures import (
    frequency_distance,
    path_likeness,
    rank_of,
    robustness_loss,
)
from network_atlas.calibrate.naturalness import Naturalness
from network_atlas.calibrate.reference import Reference, reference_ids, references
from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.layers import LayerSpec
from network_atlas.models.frozen.freeze import way_of_running
from network_atlas.models.memory import FittingBatch
from network_atlas.models.worker_setup import set_up_worker
from network_atlas.pictures.parameterizations.maco import scanned_magnitude
from network_atlas.pictures.scan_reader import ScanReader
from network_atlas.pictures.stored import shown
from network_atlas.pictures.target import Target
from network_atlas.plan.contents import LearnedModel
from network_atlas.plan.pictures import Picture
from network_atlas.plan.prices import NATURAL_IMAGES
from network_atlas.plan.references import REFERENCE_EXAMPLES, is_measured_by_scan
from network_atlas.plan.tasks import CalibrateTask
from network_atlas.priors.opening import open_denoiser
from network_atlas.stats.merge import LayerScan
from network_atlas.store import schemas
from network_atlas.store.png import decode_png
from network_atlas.store.receipts import Receipt, commit
from network_atlas.store.shards import put_shard, read_rows
from network_atlas.units import Neuron

Pixels = UInt8[NDArray[np.uint8], "height width channels"]
Vector = Float64[NDArray[np.float64], " channels"]

AT_ONCE = 16
"""Images that are measured together, as far as the device's memory allows."""
TOP_EXAMPLES = 9
"""Best examples that a picture is compared with."""


class CalibrateWorker:
    """Measures finished pictures; holds one model, so that it is loaded once per process."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        self._config = config
        self.device, self._model, self._store = set_up_worker(config, threads=threads)
        self._scan_reader = ScanReader(config, self._store)
        self._source = open_source(config.dataset)
        self._preprocessing = Preprocessing(config.model.input)
        self.fitting = FittingBatch(AT_ONCE)
        """How many images fit the device's memory."""
        self._naturalness: tuple[tuple[LearnedModel, ...], Naturalness | None] = ((), None)
        """The models that were opened last, and what compares pictures by them."""
        self._magnitude: tuple[str, Tensor] | None = None
        """The statistics file that was read last, and what it says."""

    def run(self, task: CalibrateTask) -> Receipt:
        """Measure the task's pictures and commit the results."""
        started = time.monotonic()
        rows = _Calibration(self, task).rows()
        file = put_shard(self._store, f"calibrations/layer_slug={task.layer.slug}", rows, schemas.CALIBRATIONS)
        receipt = Receipt(
            stage="calibrate",
            task=task.id,
            keys=task.keys,
            files=(file,),
            seconds=time.monotonic() - started,
            network=way_of_running(self._model),
        )
        return commit(self._store, receipt)

    def target(self, layers: Sequence[LayerSpec]) -> Target:
        """Return the network, read in some layers."""
        return Target(model=self._model, layers=layers, input=self._config.model.input, device=self.device)

    def stored(self, task: CalibrateTask) -> dict[str, dict[str, Any]]:
        """Return the rows of the task's pictures by key."""
        keys = {picture.key for picture in task.pictures}
        rows = (row for path in task.picture_files for row in read_rows(self._store, path))
        return {str(row["key"]): row for row in rows if row["key"] in keys}

    def pixels(self, row: dict[str, Any]) -> Pixels:
        """Return a stored picture's pixels."""
        return decode_png(row["image"]["bytes"], channels=self._config.model.input.channels)

    def image_of(self, example_id: str) -> str:
        """Return the image that an example is a view of."""
        return self._source.image(example_id)

    def magnitude(self, task: CalibrateTask) -> Float[Tensor, "channels height frequencies"] | None:
        """Return the dataset's frequency magnitude, where the scan has one."""
        path = task.statistics_file
        if not path:
            return None
        if self._magnitude is None or self._magnitude[0] != path:
            self._magnitude = (path, scanned_magnitude(self._store, path))
        return self._magnitude[1]

    def with_readable_unit(self, picture: Picture, task: CalibrateTask) -> Picture:
        """Return the picture with a unit that can be read from the network's maps."""
        return self._scan_reader.with_readable_unit(picture, task)

    def scan(self, task: CalibrateTask) -> LayerScan | None:
        """Return what the scan says about the layer's channels; None without a dataset."""
        return self._scan_reader.of_layer(task.layer, task.scan_files) if task.scan_files else None

    def naturalness(self, task: CalibrateTask, scan: LayerScan | None) -> Naturalness | None:
        """Return what compares pictures with images by the run's denoiser; None without one, and without images."""
        if scan is None or not task.learned:
            return None
        if self._naturalness[0] != task.learned:
            channels = self._config.model.input.channels
            denoiser = open_denoiser(self._store, task.learned, channels=channels, device=self.device)
            images = [self.example(example_id) for example_id in reference_ids(scan.sample.ids, NATURAL_IMAGES)]
            comparing = Naturalness(denoiser, images, self.fitting) if denoiser and images else None
            self._naturalness = task.learned, comparing
        return self._naturalness[1]

    def examples(self, example_ids: Iterable[str]) -> dict[str, Pixels]:
        """Return examples that the scan could read, as the model is shown them.

        Raises DatasetError where one can't be read now: a measurement without it would stay as it is for ever, since
        its key says which examples there are, not which could be read.
        """
        return {example_id: self.example(example_id) for example_id in example_ids}

    def example(self, example_id: str) -> Pixels:
        try:
            return self._preprocessing.apply(self._source.read(example_id))
        except UnreadableImageError as error:
            raise DatasetError(
                f"{error}; the scan could read it. Put the file back as it was and run again with retry_failed=true, "
                "or remove it from the dataset, which is then scanned anew"
            ) from error


class _Calibration:
    """Measures the pictures of one task."""

    def __init__(self, worker: CalibrateWorker, task: CalibrateTask) -> None:
        self._task = task
        self._worker = worker
        self._stored = worker.stored(task)
        self._scan = worker.scan(task)
        self._magnitude = worker.magnitude(task)
        self._naturalness = worker.naturalness(task, self._scan)
        self._references = self._measure_references()
        self._path = worker.target((*task.path, task.layer))
        # Of the examples chosen by chance, those of the scan's sample: it holds all that the scan could read.
        self._random = sorted(set(task.random_ids) & set(self._scan.sample.ids)) if self._scan else []
        ids = {name for picture in task.pictures for name in self._best(picture)} | set(self._random)
        images = worker.examples(sorted(ids)) if task.path else {}
        self._natural = dict(zip(images, self._vectors(list(images.values())), strict=True))

    def _measure_references(self) -> dict[str, Reference]:
        """Return the sampled examples' values by the keys of the pictures whose units the scan does not measure."""
        pictures = [picture for picture in self._task.pictures if not is_measured_by_scan(picture)]
        if self._scan is None or not pictures:
            return {}
        readable = [self._worker.with_readable_unit(picture, self._task).readable for picture in pictures]
        units = list(dict.fromkeys(readable))  # pictures of several seeds or signs share a unit
        target = self._worker.target((self._task.layer, *self._task.others))
        ids = reference_ids(self._scan.sample.ids, REFERENCE_EXAMPLES)
        values = references(target, units, ids, self._worker.example, self._worker.fitting)
        of_unit = dict(zip(units, values, strict=True))
        return {picture.key: of_unit[unit] for picture, unit in zip(pictures, readable, strict=True)}

    def rows(self) -> list[dict[str, object]]:
        """Return one row per picture, as `network_atlas.store.schemas.CALIBRATIONS` has them."""
        pixels = {
            picture.key: self._worker.pixels(self._stored[picture.key])
            for picture in self._task.pictures
            if picture.key in self._stored
        }
        natural = self._how_natural(pixels)
        return [
            self._row(picture, pixels[picture.key], natural.get(picture.key))
            for picture in self._task.pictures
            if picture.key in pixels
        ]

    def _how_natural(self, pixels: Mapping[str, Pixels]) -> dict[str, float]:
        """Return the naturalness of each picture by key, all of one size at once; {} without a denoiser."""
        if self._naturalness is None:
            return {}
        found: dict[str, float] = {}
        for size in {picture.shape for picture in pixels.values()}:
            keys = [key for key, picture in pixels.items() if picture.shape == size]
            images = torch.from_numpy(np.stack([pixels[key] for key in keys])).permute(0, 3, 1, 2)
            values = self._naturalness.of(images.float().to(self._worker.device) / 255)
            found |= dict(zip(keys, values, strict=True))
        return found

    @torch.inference_mode()
    def _row(self, picture: Picture, pixels: Pixels, naturalness: float | None) -> dict[str, object]:
        stored = self._stored[picture.key]
        reader = self._worker.target(self._task.layers_of(picture))
        image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float().to(reader.device) / 255
        maps = self._worker.target((self._task.layer,)).maps(shown(reader, pixels[None]))[self._task.layer.name][0]
        readable = self._worker.with_readable_unit(picture, self._task)
        return {
            "key": picture.key,
            "calibration": self._task.key_of(picture),
            "rank": rank_of(picture, maps),
            "robustness_loss": robustness_loss(
                reader, readable, image, float(stored["score"]), fitting=self._worker.fitting
            ),
            "frequency_distance": None if self._magnitude is None else frequency_distance(image, self._magnitude),
            "naturalness": naturalness,
            **self._likeness(picture, pixels),
            "activations": maps.float().mean(dim=(1, 2)).tolist(),
            "reference": self._references.get(picture.key, []),
        }

    def _best(self, picture: Picture) -> list[str]:
        if self._scan is None or picture.channel is None or picture.objective == "coactive":
            return []
        if picture.circuit:
            return list(picture.circuit.examples)[:TOP_EXAMPLES]
        whole, channel = self._scan.whole, picture.channel
        if isinstance(picture.unit, Neuron):
            best = whole.top if picture.sign > 0 else whole.bottom
        else:  # by what the picture's score is: a mean over positions
            best = whole.top_mean if picture.sign > 0 else whole.bottom_mean
        # One view of each image: five views of one photo would say what is alike in that photo.
        of_images: dict[str, str] = {}
        for example in self._scan.examples(best, channel):
            of_images.setdefault(self._worker.image_of(example["example_id"]), example["example_id"])
        return list(of_images.values())[:TOP_EXAMPLES]

    def _likeness(self, picture: Picture, pixels: Pixels) -> dict[str, float | None]:
        """Return how like the unit's best examples the picture is on the path to the unit."""
        best = self._best(picture)
        images = {self._worker.image_of(name) for name in best}
        # Another view of a best example's image is no image by chance.
        others = [name for name in self._random if self._worker.image_of(name) not in images]
        if not best or not others or not self._task.path:
            return {"path_similarity": None, "path_percentile": None}
        groups = (self._vectors([pixels]), *([self._natural[name] for name in names] for names in (best, others)))
        layers = range(len(self._task.path))
        # One array for each layer of the path, (images, channels).
        stacked = [[np.stack([image[layer] for image in group]) for layer in layers] for group in groups]
        likeness = path_likeness(*stacked)
        return {"path_similarity": likeness.similarity, "path_percentile": likeness.percentile}

    @torch.inference_mode()
    def _vectors(self, images: Sequence[Pixels]) -> list[list[Vector]]:
        """Return each image's vector in every layer of the path."""

        def of_part(part: slice) -> list[list[Vector]]:
            maps = self._path.maps(shown(self._path, np.stack(images[part])))
            means = [maps[layer.name].float().mean(dim=(2, 3)).double().cpu().numpy() for layer in self._task.path]
            return [[mean[number] for mean in means] for number in range(len(images[part]))]

        return self._worker.fitting.over(of_part, len(images))
