"""Whether a run would work here: each thing that it needs is tried, and what is wrong says how to mend it.

    atlas doctor executor=ray executor.address=auto store.root=s3://bucket/atlas

Takes the overrides of a run. Writes one small file under the root and removes it; makes nothing else.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

from network_atlas.cli.console import size
from network_atlas.config.schema import InlineConfig, RunConfig
from network_atlas.dataset import open_source
from network_atlas.errors import AtlasError, DatasetError, SetupError, StoreError, UnreadableImageError
from network_atlas.executors import cluster_capacity
from network_atlas.executors.environment import count_cpus
from network_atlas.models.device import device_words
from network_atlas.models.facts import model_facts
from network_atlas.models.load import load_model
from network_atlas.plan.estimate import bytes_of
from network_atlas.run.prepare import Prepared, missing_tasks, prepare, what_is_done, with_absolute_paths
from network_atlas.store.paths import STAGING, Store

DISTRIBUTION = "network-atlas"
FIRST_IMAGES = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it is as it must be, and what there is to say."""

    name: str
    ok: bool
    says: str


def checkup(config: RunConfig) -> Iterator[Check]:
    """Yield one check after the other, as they are done."""
    config = with_absolute_paths(config)
    yield _tried("versions", lambda: versions_fit(DISTRIBUTION))
    yield _tried("device", lambda: _device(config))
    yield _tried("threads", lambda: threads_fit(config, count_cpus()))
    yield _tried("cluster", lambda: _cluster(config))
    yield _tried("store", lambda: _store(config))
    model = _tried("model", lambda: _model(config))
    dataset = _tried("dataset", lambda: _dataset(config))
    yield from (model, dataset)
    if model.ok and dataset.ok:
        yield from _plan(config)
    else:
        yield Check("plan", False, "can't be made before the lines above are mended")


def _tried(name: str, look: Callable[[], str]) -> Check:
    """Return what `look` says, or the words of its error, which say how to mend it."""
    try:
        return Check(name, True, look())
    except AtlasError as error:
        return Check(name, False, str(error))


def versions_fit(distribution: str) -> str:
    """Return the versions that are installed. Raises SetupError for what is missing or of another version."""
    try:
        requirements = [Requirement(line) for line in metadata.requires(distribution) or ()]
    except metadata.PackageNotFoundError as error:
        raise SetupError(f"{distribution} is not installed; install it from its checkout: pip install .") from error
    found, wrong = [f"python {platform.python_version()}"], []
    for one in requirements:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        version = _version(one.name)
        if version is None or not one.specifier.contains(version, prereleases=True):
            wrong.append(f"{one.name} is {version or 'missing'}, needed is {one.name}{one.specifier}")
        elif one.name in ("torch", "ray", "pyarrow"):
            found.append(f"{one.name} {version}")
    if wrong:
        raise SetupError(f"{'; '.join(wrong)}. Install again: pip install --upgrade .")
    return ", ".join(found)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device(config: RunConfig) -> str:
    executor = config.executor
    if not isinstance(executor, InlineConfig) and executor.address != "local" and executor.gpus_per_worker:
        return "the GPUs are the cluster's; this machine needs none"
    return device_words(executor)


def threads_fit(config: RunConfig, processors: int) -> str:
    """Say how many threads work. Raises SetupError where workers of this machine would push each other aside."""
    executor = config.executor
    if isinstance(executor, InlineConfig):
        if executor.threads > processors:
            raise SetupError(
                f"executor.threads={executor.threads}, but there are {processors} processors; "
                f"give at most {processors}, or 0 for torch's own choice"
            )
        return f"{executor.threads or processors} of {processors} processors"
    each = max(1, int(executor.cpus_per_worker))
    if executor.address != "local":
        return f"{each} a worker, on the cluster's machines"
    workers = executor.workers or max(1, processors // each)
    if workers * each > processors:
        raise SetupError(
            f"executor.workers={executor.workers} with executor.cpus_per_worker={executor.cpus_per_worker:g} take "
            f"{workers * each} threads, but there are {processors} processors; executor.workers=0 takes as many as fit"
        )
    return f"{workers} workers with {each} of {processors} processors each"


def _cluster(config: RunConfig) -> str:
    executor = config.executor
    if isinstance(executor, InlineConfig):
        return "none is needed (executor=inline)"
    if executor.address == "local":
        return "none is needed: a run starts Ray on this machine"
    workers = cluster_capacity(executor)
    if not workers:
        wanted = f"{executor.cpus_per_worker:g} processors and {executor.gpus_per_worker:g} GPUs"
        raise SetupError(
            f"the cluster at executor.address={executor.address!r} has no machine with room for a worker of {wanted}; "
            "ask for less, or add machines"
        )
    return f"{executor.address}: room for {workers} workers"


def _store(config: RunConfig) -> str:
    store = Store.open(config.store.root)
    missing = _missing(store.base) if store.is_local else []
    made = [f"{store.base}/{STAGING}", *missing] if missing else []
    path, data = f"doctor/{uuid.uuid4().hex}", os.urandom(64)
    try:
        store.write(path, data)
        if store.read(path) != data:
            raise StoreError(f"store.root={config.store.root!r} gives back other bytes than were written; use another")
        store.delete(path)
        if store.exists(path):
            raise StoreError(f"store.root={config.store.root!r} keeps what is deleted; use another")
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # not empty, or not there
                os.rmdir(folder)
    return f"{config.store.root}: written, read and deleted"


def _missing(folder: str) -> list[str]:
    """Return the folder and those above it that do not exist, the deepest first."""
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def _model(config: RunConfig) -> str:
    facts = model_facts(load_model(config.model), config.model)
    weights = "random weights" if config.model.weights == "none" else f"weights {config.model.weights}"
    return f"{config.model.name}, {weights}: {len(facts.layers)} layers, {facts.forward_seconds * 1000:.1f} ms an image"


def _dataset(config: RunConfig) -> str:
    if config.dataset.source == "none":
        return "none"
    source = open_source(config.dataset)
    examples = source.examples()
    if not examples:
        raise DatasetError(f"dataset.root={config.dataset.root!r} holds no images; give another dataset.root")
    broken = []
    for example in examples[:FIRST_IMAGES]:
        try:
            source.read(example.example_id)
        except UnreadableImageError as error:
            broken.append(f"{example.example_id}: {error}")
    looked = min(len(examples), FIRST_IMAGES)
    if len(broken) == looked:
        raise DatasetError(
            f"none of the first {looked} images can be read ({broken[0]}); mend them, or leave them out "
            "with dataset.exclude"
        )
    left_out = f"; {broken[0]}; a run leaves such images out" if broken else ""
    return f"{len(examples)} images, {looked - len(broken)} of the first {looked} read{left_out}"


def _plan(config: RunConfig) -> Iterator[Check]:
    """Yield whether there is a plan, and whether what it writes has room."""
    found: list[Prepared] = []

    def planned() -> str:
        found.append(prepare(config, receptive_fields=False))
        plan = found[0].plan
        return f"{len(plan.layers)} layers, {len(plan.picture_keys)} pictures, {len(plan.spans)} spans"

    yield _tried("plan", planned)
    if found:
        yield _tried("space", lambda: _space(found[0]))


def _space(prepared: Prepared) -> str:
    store = prepared.store
    scan, optimize = missing_tasks(prepared, what_is_done(store))
    needed = bytes_of(prepared.config, prepared.plan, sum(len(task.pictures) for task in optimize), len(scan))
    if not store.is_local:
        return f"{size(needed)} to be written; the free space of {prepared.config.store.root} can't be asked for"
    folder = os.path.dirname((_missing(store.base) or [f"{store.base}/."])[-1])
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SetupError(
            f"store.root={prepared.config.store.root!r} has {size(free)} free and the plan writes {size(needed)}; "
            "make room, give another store.root, or a smaller sweep"
        )
    return f"{size(needed)} to be written, {size(free)} free"
