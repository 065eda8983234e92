"""Find the atlas that a command reads if none is named: the only one below ./atlases."""

from __future__ import annotations

import shlex
from pathlib import Path

from network_atlas.errors import StoreError
from network_atlas.store.results import RUN_FILE

DEFAULT_FOLDER = "atlases"
"""The folder in which conf/store/local.yaml puts roots: atlases/${model.name}, one level deeper for runs of a grid."""
LISTED = 5


def root_of(root: str | None, *, command: str) -> str:
    """Return `root`, or the only atlas below ./atlases. Raises StoreError if there is none or more than one."""
    if root is not None:
        return root
    roots = roots_below(DEFAULT_FOLDER)
    if not roots:
        raise StoreError(
            f"no ROOT is given and there is no atlas below ./{DEFAULT_FOLDER}; "
            f"make one with: atlas run, or name one: atlas {command} ROOT"
        )
    if len(roots) > 1:
        lines = [f"\n  atlas {command} {shlex.quote(path)}" for path in roots[:LISTED]]
        more = f"\n  and {len(roots) - LISTED} more" if len(roots) > LISTED else ""
        raise StoreError(
            f"no ROOT is given and there are {len(roots)} atlases below ./{DEFAULT_FOLDER}; write one of:"
            + "".join(lines)
            + more
        )
    return roots[0]


def roots_below(folder: str) -> list[str]:
    """Return the roots of the atlases in a local folder, sorted by name."""
    files = [path for pattern in (f"*/{RUN_FILE}", f"*/*/{RUN_FILE}") for path in Path(folder).glob(pattern)]
    depth = len(Path(RUN_FILE).parts)
    return sorted(str(path.parents[depth - 1]) for path in files)
