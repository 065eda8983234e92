"""Whitened directions: what sets a cell apart from the layer's vectors as a whole (Carter et al. 2019).

Most vectors of a layer share large components, so the mean of any cell points mostly along these. A cell's mean is
therefore multiplied by the inverse of the second-moment matrix of all vectors, which is not centred: M = A'A / n.

With fewer vectors than channels M has no inverse, and with few more it is dominated by chance. It is shrunk
towards a multiple of the identity, by the share that Ledoit and Wolf (2004) derive from the vectors themselves.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from network_atlas.unit_length import unit_length


def shrunk_second_moment(
    values: Float[NDArray[np.float32], "vectors channels"],
) -> Float[NDArray[np.float64], "channels channels"]:
    """Return the second-moment matrix of vectors, shrunk so that it can be inverted."""
    # Imported here: scikit-learn takes most of a second to load, and few processes lay out a map.
    from sklearn.covariance import ledoit_wolf_shrinkage

    vectors = values.astype(np.float64)
    moment: Float[NDArray[np.float64], "channels channels"] = vectors.T @ vectors / len(vectors)
    # Of a single vector nothing can be estimated; all of it is shrunk.
    share = float(ledoit_wolf_shrinkage(vectors, assume_centered=True)) if len(vectors) > 1 else 1.0
    level = max(float(np.trace(moment)) / len(moment), float(np.finfo(np.float64).tiny))
    # Never quite zero: exact copies of few vectors would ask for no shrinkage at all.
    share = max(share, 1e-6)
    return (1 - share) * moment + share * level * np.eye(len(moment))


def whitened(
    means: Float[NDArray[np.float32], "cells channels"], moment: Float[NDArray[np.float64], "channels channels"]
) -> Float32[NDArray[np.float32], "cells channels"]:
    """Return M⁻¹ · mean for each cell, scaled to unit length: a direction's length only scales its score."""
    directions = np.linalg.solve(moment, means.T.astype(np.float64)).T
    units: Float32[NDArray[np.float32], "cells channels"] = unit_length(directions).astype(np.float32)
    return units
