"""Make an atlas of a whole vision network: every channel of every layer, in pictures and numbers.

The folders follow the data: plan units, scan a dataset, optimize pictures, keep everything in a store, assemble
atlases, show them on a site. Executors decide where the work happens.

Importing `network_atlas` loads no heavy library. The command line is `atlas` (`network_atlas.cli.main`); from Python,
compose a configuration and run it:

    from network_atlas.config.compose import compose
    from network_atlas.run.stages import make_atlas

    make_atlas(compose(["model=efficientnet_lite0", "sweep=demo", "store.root=my-atlas"]))

To read what a run has made, which needs neither torch nor Ray:

    from network_atlas import open_atlas

    open_atlas("my-atlas").table("channel_stats")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from network_atlas.analysis.atlas import Atlas

__version__ = "0.1.0"


def open_atlas(root: str, snapshot: int | None = None) -> Atlas:
    """Return a snapshot of the atlas under `root`, the newest one by default; see `network_atlas.analysis.atlas`."""
    from network_atlas.analysis.atlas import open_atlas as opened

    return opened(root, snapshot)
