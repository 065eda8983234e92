"""Every error that this package raises on purpose.

    AtlasError
    ├── ConfigError            a value in the configuration or on the command line
    │   └── SelectionError     a layer, channel or class that the model does not have
    ├── ModelError             a model that cannot be built, loaded or run
    ├── DatasetError           a dataset that is missing or empty
    │   └── UnreadableImageError   one image; the scan records it and goes on
    ├── StoreError             a root that cannot be read or written
    │   ├── CorruptShardError  a file that is not what its receipt says
    │   ├── RootMismatchError  a root made by other settings
    │   └── RootBusyError      a root that another run is working on
    ├── MergeError             partials that overlap, leave a gap or disagree
    ├── SetupError             an installation, a machine or a cluster on which a run can't work
    ├── WorkerBuildError       a worker that cannot be built, or dies before it is ready
    ├── ClusterLostError       Ray itself died
    └── TasksFailedError       a run that ended with tasks that could not be done

Each message names the value, what is allowed and the fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AtlasError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(AtlasError):
    """A value in the configuration or on the command line is not allowed."""


class SelectionError(ConfigError):
    """A sweep names a layer, channel or class that the model does not have."""


class ModelError(AtlasError):
    """A model cannot be built, loaded or run."""


class DatasetError(AtlasError):
    """A dataset is missing, empty or of an unknown kind."""


class UnreadableImageError(DatasetError):
    """One image cannot be decoded; the scan records it in the failures and goes on."""


class StoreError(AtlasError):
    """A root cannot be read or written. The run stops: every further task would fail too."""


class CorruptShardError(StoreError):
    """A stored file differs from its receipt, or is incomplete."""


class RootMismatchError(StoreError):
    """A root holds an atlas made by other settings."""


class RootBusyError(StoreError):
    """Another run is working on a root."""


class MergeError(AtlasError):
    """Partials overlap, leave a gap or disagree about what they describe."""


class SetupError(AtlasError):
    """An installation, a machine or a cluster lacks something that a run needs."""


class WorkerBuildError(AtlasError):
    """A worker cannot be built, or its process dies before it is ready; no task is the cause."""


class ClusterLostError(AtlasError):
    """Ray itself died during a run; nothing that was committed is lost."""


class TasksFailedError(AtlasError):
    """A run ended with tasks that could not be done; everything else is committed."""


def did_you_mean(name: str, allowed: Iterable[str], *, limit: int = 3) -> str:
    """Return " Did you mean 'x' or 'y'?" for the closest allowed names, or an empty string."""
    close = difflib.get_close_matches(name, list(allowed), n=limit, cutoff=0.5)
    if not close:
        return ""
    return " Did you mean " + " or ".join(f"'{match}'" for match in close) + "?"


def counted(count: int, noun: str) -> str:
    """Return '1 layer' or '1,000 layers', for messages and pages."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
