"""Check everything that a run needs, and name each fault together with its fix.

    for check in checkup(config):       # versions, device, threads, cluster, store, model, ...
        check.name, check.ok, check.says

Checks of the machine and the cluster are in `machine_checks`; checks of the store, the model and the dataset are in
`run_checks`. A check is a function that returns a text or raises an AtlasError. The only change on disk is one small
file under the root, which is removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from network_atlas.cli import machine_checks, run_checks
from network_atlas.config.schema import RunConfig
from network_atlas.errors import AtlasError
from network_atlas.executors.environment import count_cpus
from network_atlas.run.prepare import Loaded

DISTRIBUTION = "network-atlas"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the checkup: its name, whether it is ok, and a text."""

    name: str
    ok: bool
    says: str


def checkup(config: RunConfig) -> Iterator[Check]:
    """Yield each check as soon as it is done."""
    loaded = Loaded(config)
    config = loaded.config
    yield _tried("versions", lambda: machine_checks.versions_fit(DISTRIBUTION))
    device = _tried("device", lambda: machine_checks.device_is_there(config))
    yield device
    yield _tried("threads", lambda: machine_checks.threads_fit(config, count_cpus()))
    yield _tried("cluster", lambda: machine_checks.cluster_answers(config))
    yield _tried("store", lambda: run_checks.store_works(config))
    model = _tried("model", lambda: run_checks.model_in_words(config, loaded.facts))
    yield model
    if model.ok and device.ok:
        network = run_checks.ready_here(config, loaded.model)
        # Always ok: a run also works without frozen passes, and on a device whose rounding depends on the batch.
        yield Check("frozen", True, run_checks.frozen_in_words(config, network))
        yield Check("repeatable", True, run_checks.repeatability(config, network))
    else:
        yield Check("frozen", True, "not tried: this needs the device and the model above")
        yield Check("repeatable", True, "not measured: this needs the device and the model above")
    dataset = _tried("dataset", lambda: run_checks.dataset_is_readable(loaded))
    yield dataset
    if model.ok and dataset.ok:
        yield from _plan(loaded)
    else:
        yield Check("plan", False, "can't be made before the lines above are fixed")


def _tried(name: str, check: Callable[[], str]) -> Check:
    """Return the line of a check: its text, or the message of its error."""
    try:
        return Check(name, True, check())
    except AtlasError as error:
        return Check(name, False, str(error))


def _plan(loaded: Loaded) -> Iterator[Check]:
    """Yield two lines: whether the run can be planned, and whether its results fit on the disk."""
    try:
        prepared = run_checks.planned(loaded)
    except AtlasError as error:
        yield Check("plan", False, str(error))
        return
    yield Check("plan", True, run_checks.plan_in_words(prepared))
    yield _tried("space", lambda: run_checks.space_suffices(prepared))
