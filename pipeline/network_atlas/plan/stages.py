"""The stages of a run, in order: who does their tasks, and what is counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage."""

    name: str
    worker: str
    """Where its worker is, as 'module:Class'."""
    items: str
    """What its tasks make, in the plural."""
    results: str
    """What has a key, in the plural: a span of the dataset has one for each layer."""
    computes: bool
    """Say whether its workers run the network; those that only read and write are not given a GPU."""


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            name="scan",
            worker="network_atlas.scan.worker:ScanWorker",
            items="spans",
            results="layer spans",
            computes=True,
        ),
        Stage(
            name="optimize",
            worker="network_atlas.optimize.worker:OptimizeWorker",
            items="pictures",
            results="pictures",
            computes=True,
        ),
        Stage(
            name="calibrate",
            worker="network_atlas.calibrate.worker:CalibrateWorker",
            items="pictures",
            results="pictures",
            computes=True,
        ),
        Stage(
            name="assemble",
            worker="network_atlas.assemble.worker:AssembleWorker",
            items="layers",
            results="layers",
            computes=False,
        ),
        Stage(
            name="site", worker="network_atlas.site.worker:SiteWorker", items="pages", results="layers", computes=False
        ),
    )
}
