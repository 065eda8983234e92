"""Which examples belong to the fixed sample whose values are all kept.

The sample is the same for every channel, layer and worker: the examples whose ids have the smallest hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def sample_hash(example_id: str) -> str:
    """Return the hash that decides whether an example belongs to the sample."""
    return hashlib.sha256(b"sample\0" + example_id.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def sample_limit(example_ids: Sequence[str], size: int) -> str:
    """Return the largest hash in a sample of `size` examples: those with a hash up to it belong."""
    hashes = sorted(sample_hash(example_id) for example_id in example_ids)
    return hashes[min(size, len(hashes)) - 1] if hashes else ""


def percentile_of(score: float, values: NDArray[np.float32]) -> float | None:
    """Return the share, 0..100, of finite `values` that lie below `score`; None when there is nothing to compare."""
    finite = values[np.isfinite(values)]
    if not len(finite) or not np.isfinite(score):
        return None
    return float(100.0 * np.count_nonzero(finite < score) / len(finite))
