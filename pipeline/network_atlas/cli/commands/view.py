"""`atlas view`: serve the pages of an atlas on this machine until interrupted."""

from __future__ import annotations

import argparse

from network_atlas.analysis.atlas import open_atlas
from network_atlas.cli.roots import root_of
from network_atlas.errors import StoreError
from network_atlas.site.server import serve
from network_atlas.site.snapshot import SnapshotPages
from network_atlas.store.root import Store


def command(options: argparse.Namespace) -> int:
    """Serve the pages and open the browser; return the exit code."""
    root = root_of(options.root, command="view")
    if options.snapshot is not None:
        atlas = open_atlas(root, options.snapshot)
        return serve(SnapshotPages(atlas), port=options.port, browser=not options.no_browser)
    store = Store.open(root)
    if not store.exists("site/index.html"):
        raise StoreError(f"{root!r} has no pages (site/index.html); make an atlas with: atlas run store.root={root}")
    return serve(store, port=options.port, browser=not options.no_browser)
