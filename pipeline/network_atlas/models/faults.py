"""Tell faults of this package from those of the model that it looks at.

Our own code runs inside a model's passes, in hooks and below each operation. What it raises there would look as if the
model had raised it.
"""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

PACKAGE = Path(__file__).parents[1]

log = logging.getLogger(__name__)


def is_ours(error: BaseException) -> bool:
    """Say whether a line of this package raised an error, and not a library or a model that it called.

    Torch has no frames of its own in Python: what it raises in one of our lines is a RuntimeError, such as for memory.
    """
    if isinstance(error, RuntimeError | MemoryError):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and PACKAGE in Path(frames[-1].filename).parents


def fault(error: BaseException, where: str) -> str:
    """Return a sentence that blames this package, with what a report needs; `where` is what it was looking at.

    The traceback goes to the log.
    """
    log.debug("a fault of network_atlas, %s", where, exc_info=error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if PACKAGE in Path(frame.filename).parents]
    line = f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    message = str(error).strip().partition("\n")[0]
    return (
        f"network_atlas itself failed {where} ({type(error).__name__}: {message}{line}); "
        "this is not a fault of the model: please report it with this line"
    )
