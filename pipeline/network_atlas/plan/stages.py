"""The stages of a run, in order: the worker of each, and the names of the things it makes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage."""

    name: str
    worker: str
    """Its worker, as 'module:Class': a name, so that planning does not import it."""
    items: str
    """Name of the things that its tasks make, in the plural."""
    results: str
    """Name of the things that have keys, in the plural: a span of the dataset has a key for each layer."""
    computes: bool
    """Whether its workers run the network. Workers that only read and write get no GPU."""


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
            name="layout",
            worker="network_atlas.layout.worker:LayoutWorker",
            items="maps",
            results="maps",
            computes=False,
        ),
        Stage(
            name="prior",
            worker="network_atlas.priors.worker:PriorWorker",
            items="models",
            results="models",
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
            name="attribute",
            worker="network_atlas.attribute.worker:AttributeWorker",
            items="channels",
            results="channels",
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
