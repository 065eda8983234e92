"""Checks of a run's store, model, dataset and plan. Each returns a text or raises an AtlasError."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import uuid
from typing import TYPE_CHECKING

from network_atlas.cli.amounts import relative, size
from network_atlas.cli.machine_checks import gpus_are_elsewhere
from network_atlas.config.schema import RunConfig
from network_atlas.dataset import open_source
from network_atlas.errors import DatasetError, SetupError, StoreError, UnreadableImageError, counted
from network_atlas.layers import OUTPUT, ModelFacts
from network_atlas.models.batches import place_difference, sizes_for
from network_atlas.models.device import device_of
from network_atlas.models.first_pass import example_input
from network_atlas.models.frozen.freeze import is_frozen, why_not_frozen
from network_atlas.models.load import ready
from network_atlas.plan.estimate_bytes import bytes_of
from network_atlas.plan.refusals import in_short
from network_atlas.run.prepare import Loaded, Prepared, prepare
from network_atlas.store.results import what_is_done
from network_atlas.store.root import STAGING, Store

if TYPE_CHECKING:
    from torch import nn

FIRST_IMAGES = 5
"""Number of images to decode: enough to detect a folder of the wrong kind, few enough for a slow object store."""


def store_works(config: RunConfig) -> str:
    """Write, read and delete a small file under the root. Raises StoreError if that does not work."""
    store = Store.open(config.store.root)
    missing = _missing(store.base) if store.is_local else []
    new_folders = [f"{store.base}/{STAGING}", *missing] if missing else []
    path, data = f"doctor/{uuid.uuid4().hex}", os.urandom(64)
    try:
        store.write(path, data)
        if store.read(path) != data:
            raise StoreError(f"store.root={config.store.root!r} returns other bytes than were written; use another")
        store.delete(path)
        if store.exists(path):
            raise StoreError(f"store.root={config.store.root!r} keeps a file that was deleted; use another")
    finally:
        for folder in new_folders:
            with contextlib.suppress(OSError):  # not empty, or not there; deepest first, so that parents get empty
                os.rmdir(folder)
    return f"{config.store.root}: written, read and deleted"


def _missing(folder: str) -> list[str]:
    """Return the folder and those above it that do not exist, the deepest first."""
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def model_in_words(config: RunConfig, facts: ModelFacts) -> str:
    """Return the model's layers and speed, and how many modules are no layers, with one of the reasons."""
    weights = "random weights" if config.model.weights == "none" else f"weights {config.model.weights}"
    layers = counted(len(facts.layers), "layer")
    speed = f"{facts.forward_seconds * 1000:.1f} ms an image"
    return f"{config.model.name}, {weights}: {layers}, {speed}{_refused_in_words(facts)}"


def _refused_in_words(facts: ModelFacts) -> str:
    refused = facts.unsupported
    if not refused:
        return ""
    # Without its output a model has no class pictures.
    first = {OUTPUT: refused[OUTPUT]} if OUTPUT in refused else {}
    return "; ".join(["", *in_short(first | dict(refused)), "atlas layers lists all with their reasons"])


def ready_here(config: RunConfig, model: nn.Module) -> nn.Module | None:
    """Return the model as a worker of this machine has it; None if the device is elsewhere."""
    return None if gpus_are_elsewhere(config) else ready(model, config.model, device_of(config.executor))


def frozen_in_words(config: RunConfig, model: nn.Module | None) -> str:
    """Return whether workers run the network in frozen passes; `model` is ready, None if that can't be tried here."""
    if not config.model.frozen:
        return "no: model.frozen=false"
    if model is None:
        return "not tried: the GPUs are in the cluster"
    if is_frozen(model):
        return "yes: values and gradients are the network's own but for rounding"
    return f"no, the network runs as it is, which takes longer: {why_not_frozen(model)}"


def repeatability(config: RunConfig, model: nn.Module | None) -> str:
    """Return whether an image's numbers depend on its position in the batch and on the other images, measured here.

    `model` is ready, None if it can't be measured here. The batch has the largest of the fixed sizes in which workers
    of this machine run the model.
    """
    if model is None:
        return "not measured: the GPUs are in the cluster"
    device = device_of(config.executor)
    rows = sizes_for(device)[-1]
    difference = place_difference(model, example_input(config.model.input, rows).to(device))
    if math.isnan(difference):
        return "not measured: the model does not return one tensor of numbers"
    measured = f"batches of {rows}, this machine's {'processor' if device.type == 'cpu' else 'GPU'}"
    if difference == 0:
        return f"an image's numbers do not depend on the others in its batch ({measured})"
    return (
        f"an image's numbers differ by up to {relative(difference)} (relative) when the others in its batch change "
        f"({measured})"
    )


def dataset_is_readable(loaded: Loaded) -> str:
    """Return the number of examples. Raises DatasetError if there are none, or none of the first ones can be read."""
    config = loaded.config
    if config.dataset.source == "none":
        return "none"
    source, listing = open_source(config.dataset), loaded.listing
    examples = listing.examples
    if not examples:
        raise DatasetError(f"dataset.root={config.dataset.root!r} holds no images; give another dataset.root")
    tried = examples[:FIRST_IMAGES]
    broken = []
    for example in tried:
        try:
            source.read(example.example_id)
        except UnreadableImageError as error:
            broken.append(f"{example.example_id}: {error}")
    if len(broken) == len(tried):
        raise DatasetError(
            f"none of the first {counted(len(tried), config.dataset.example)} can be read ({broken[0]}); "
            "fix them, or leave them out with dataset.exclude"
        )
    left_out = f"; {broken[0]}; a run leaves such images out" if broken else ""
    notices = "".join(f"; {notice}" for notice in listing.notices)
    readable = f"{len(tried) - len(broken)} of the first {len(tried)} read"
    return f"{counted(len(examples), config.dataset.example)}, {readable}{left_out}{notices}"


def planned(loaded: Loaded) -> Prepared:
    """Return the prepared run; write nothing. Raises an AtlasError if it can't be planned."""
    return prepare(loaded.config, measured=False, loaded=loaded)


def plan_in_words(prepared: Prepared) -> str:
    """Return the numbers of layers, pictures and spans in the plan."""
    plan = prepared.plan
    layers, pictures = counted(len(plan.layers), "layer"), counted(len(plan.picture_keys), "picture")
    return f"{layers}, {pictures}, {counted(len(plan.spans), 'span')}"


def space_suffices(prepared: Prepared) -> str:
    """Return the size of the missing results. Raises SetupError if a local root has less space than that."""
    store, root = prepared.store, prepared.config.store.root
    plan, done = prepared.plan, what_is_done(store)
    pictures = sum(task.items for task in plan.optimize_tasks(done.optimize))
    needed = bytes_of(prepared.config, plan, pictures, len(plan.scan_tasks(done.scan)))
    if not store.is_local:
        return f"{size(needed)} to be written; an object store does not say how much space is left ({root})"
    # The root may not exist yet: its disk is that of the deepest folder above it that does.
    folder = os.path.dirname((_missing(store.base) or [f"{store.base}/."])[-1])
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SetupError(
            f"store.root={root!r} has {size(free)} free and the plan writes {size(needed)}; "
            "free some space, give another store.root, or a smaller sweep"
        )
    return f"{size(needed)} to be written, {size(free)} free"
