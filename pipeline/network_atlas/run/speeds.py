"""The speed of one worker: computed from the receipts of this root, or timed on this machine if there are none."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from network_atlas.config.executor import InlineConfig
from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.errors import UnreadableImageError
from network_atlas.layers import LayerSpec
from network_atlas.optimize.timing import step_seconds
from network_atlas.plan.attributions import attribute_tasks
from network_atlas.plan.calibration import calibrate_tasks, calibration_keys
from network_atlas.plan.estimate import EARLIER, TIMED, Speeds, beside_of, steps_of
from network_atlas.plan.tasks import BACKWARD_FACTOR
from network_atlas.run.prepare import Prepared
from network_atlas.store.receipts import Receipt, read_receipts
from network_atlas.store.results import Done

if TYPE_CHECKING:
    from torch import nn

LEAST_SHARE = 0.25
"""Of a picture's seconds that its passes through the network take at least."""
READ_PROBES = 4
"""Images read to time the reading."""


def speeds_of(prepared: Prepared, done: Done, model: nn.Module) -> Speeds:
    """Return the seconds that one worker needs for each kind of work, and the source of each figure.

    A few steps of `model` are timed, but only if pictures are missing and no receipt says how long a picture takes. The
    model is then made ready for a worker's device, so its hashes must have been taken.
    """
    pictures = _seconds_per_picture(prepared, done)
    step, image = _step_by_receipts(prepared, pictures), _image_by_receipts(prepared, done)
    measure, row = _measure_by_receipts(prepared, done), _row_by_receipts(prepared)
    attribute = _attribute_by_receipts(prepared, done)
    missing = any(key not in done.optimize for key in prepared.plan.picture_keys)
    slowdown = 1.0
    if step is not None:
        stepped = step
    elif missing:
        stepped, slowdown = _timed_step(prepared, model)
    else:
        stepped = _thrice_forward(prepared)
    read = _read_seconds(prepared) if image is None or row is None else 0.0
    config = prepared.config
    by_receipts = {"scan": image, "optimize": step, "calibrate": measure, "assemble": row}
    if any(prepared.plan.attributions.values()):
        by_receipts["attribute"] = attribute
    return Speeds(
        step=stepped,
        image=read + prepared.facts.forward_seconds if image is None else image,
        attribute=attribute,
        measure=stepped / BACKWARD_FACTOR if measure is None else measure,
        row=read * (config.scan.top_k + config.scan.bottom_k) if row is None else row,
        pictures=pictures,
        slowdown=slowdown,
        sources={stage: TIMED if value is None else EARLIER for stage, value in by_receipts.items()},
    )


def threads_of(config: RunConfig) -> int:
    """Return the torch threads of one worker; 0 leaves torch's own choice."""
    executor = config.executor
    return executor.threads if isinstance(executor, InlineConfig) else max(1, int(executor.cpus_per_worker))


def _distinct(keys: Collection[str], receipts: Mapping[str, Receipt]) -> list[Receipt]:
    """Return the receipts of `keys` that have a duration, each once."""
    by_task = {receipts[key].task: receipts[key] for key in keys if key in receipts}
    return [receipt for receipt in by_task.values() if receipt.seconds > 0]


def _seconds_per_picture(prepared: Prepared, done: Done) -> dict[str, float]:
    """Return the mean seconds per picture, for each layer that has receipts."""
    measured = {}
    for layer in prepared.plan.layers:
        receipts = _distinct([picture.key for picture in layer.pictures], done.optimize)
        if receipts:
            pictures = sum(len(receipt.keys) for receipt in receipts)
            measured[layer.layer.name] = sum(receipt.seconds for receipt in receipts) / pictures
    return measured


def _step_by_receipts(prepared: Prepared, pictures: Mapping[str, float]) -> float | None:
    """Return the seconds of a step through the whole network, computed from the layers that have receipts."""
    layers = [layer for layer in prepared.plan.layers if layer.layer.name in pictures]
    facts, config = prepared.facts, prepared.config
    # What priors and the like took is priced by itself; a small rest is left where it is priced too high.
    seconds = sum(
        max(whole - beside_of(layer, config, prepared.plan.dtypes), whole * LEAST_SHARE)
        for layer in layers
        for whole in [pictures[layer.layer.name] * len(layer.pictures)]
    )
    passes = sum(steps_of(layer, prepared.config, facts) * facts.share[layer.layer.name] for layer in layers)
    return seconds / passes if passes else None


def _timed_step(prepared: Prepared, model: nn.Module) -> tuple[float, float]:
    """Return the seconds of a step through the whole network, and how many times as long the slowest round took.

    Timed in the latest layer that pictures are made of: it includes most of the network.
    """
    layers = [layer.layer for layer in prepared.plan.layers if layer.pictures]
    last: LayerSpec = max(layers, key=lambda layer: prepared.facts.share[layer.name])
    fastest, slowest = step_seconds(model, last, prepared.config, threads=threads_of(prepared.config))
    # At least 1e-3: the timed share of a very early layer may be zero.
    return fastest / max(prepared.facts.share[last.name], 1e-3), slowest / fastest


def _thrice_forward(prepared: Prepared) -> float:
    return BACKWARD_FACTOR * prepared.facts.forward_seconds


def _image_by_receipts(prepared: Prepared, done: Done) -> float | None:
    """Return the seconds to read an image and pass it through the network, computed from the spans that are scanned."""
    plan = prepared.plan
    share = max((prepared.facts.share[layer.layer.name] for layer in plan.layers), default=0.0)
    seconds = images = 0.0
    for number, span in enumerate(plan.spans):
        receipts = _distinct([layer.scan_keys[number] for layer in plan.layers], done.scan)
        if len(receipts) == 1:  # all layers in one task; several tasks would have read the images several times
            seconds += receipts[0].seconds
            images += (span.stop - span.start) * share
    return seconds / images if images else None


def _measure_by_receipts(prepared: Prepared, done: Done) -> float | None:
    """Return the seconds of one image's pass through the network, computed from the pictures that are measured."""
    if not done.calibrate:
        return None
    plan = prepared.plan
    measured = {
        picture: key
        for layer in plan.layers
        for picture, key in calibration_keys(plan, layer).items()
        if key in done.calibrate
    }
    seconds = sum(receipt.seconds for receipt in _distinct(measured.values(), done.calibrate))
    tasks = calibrate_tasks(plan, finished=measured, done=())
    passes = sum(task.passes(prepared.config, prepared.facts) for task in tasks)
    return seconds / passes if passes else None


def _attribute_by_receipts(prepared: Prepared, done: Done) -> float | None:
    """Return the seconds of one image's pass, computed from the channels that are attributed; None without any."""
    planned = {key for keys in prepared.plan.attributions.values() for key in keys}
    receipts = _distinct(planned & set(done.attribute), done.attribute)
    made = {key for receipt in receipts for key in receipt.keys}
    passes = sum(
        task.passes(prepared.config, prepared.facts) for task in attribute_tasks(prepared.plan, planned - made)
    )
    return sum(receipt.seconds for receipt in receipts) / passes if passes else None


def _row_by_receipts(prepared: Prepared) -> float | None:
    channels = {layer.layer.slug: len(layer.channels) for layer in prepared.plan.layers}
    receipts = [
        receipt
        for receipt in read_receipts(prepared.store, "assemble")
        if receipt.task in channels and receipt.seconds > 0
    ]
    rows = sum(channels[receipt.task] for receipt in receipts)
    return sum(receipt.seconds for receipt in receipts) / rows if rows else None


def _read_seconds(prepared: Prepared) -> float:
    """Return the seconds to read and prepare one image on this machine; 0 without images."""
    source, preprocessing = open_source(prepared.config.dataset), Preprocessing(prepared.config.model.input)
    probes = prepared.examples[:: max(1, len(prepared.examples) // READ_PROBES)][:READ_PROBES]
    started = time.perf_counter()
    for example in probes:
        try:
            preprocessing.apply(source.read(example.example_id, side_min_px=preprocessing.side_min_px))
        except UnreadableImageError:
            continue  # the scan will count and name it
    return (time.perf_counter() - started) / max(1, len(probes))
