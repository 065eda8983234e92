"""The k largest (or smallest) examples of many channels at once, mergeable, with a total order.

Larger values come first; ties go to the smaller `example_id`. The order never depends on batches, spans or workers.
There are no buffers that start at zero: a channel whose values are all negative has real top examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK:
    """Per channel the best examples so far: arrays of shape (channels, n) with n <= k, best first.

    `ids` holds example ids; `rows` and `columns` say where in the layer's map the value was found. For the
    smallest values set `sign` to -1: `values` keeps the true values, the order is reversed.
    """

    k: int
    sign: int
    values: NDArray[np.float32]
    ids: NDArray[np.str_]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]

    @classmethod
    def empty(cls, channels: int, k: int, *, sign: int = 1) -> TopK:
        """Return no examples for each channel."""
        return cls(
            k=k,
            sign=sign,
            values=np.empty((channels, 0), np.float32),
            ids=np.empty((channels, 0), np.str_),
            rows=np.empty((channels, 0), np.int32),
            columns=np.empty((channels, 0), np.int32),
        )

    def add(
        self, values: NDArray[np.float32], ids: NDArray[np.str_], rows: NDArray[np.int32], columns: NDArray[np.int32]
    ) -> TopK:
        """Return the best of these and of a batch: arrays (channels, batch), `ids` of shape (batch,)."""
        batch_ids = np.broadcast_to(ids, values.shape)
        return self.merge(TopK(k=self.k, sign=self.sign, values=values, ids=batch_ids, rows=rows, columns=columns))

    def merge(self, other: TopK) -> TopK:
        """Return the best of both."""
        values = np.concatenate([self.values, other.values], axis=1)
        ids = np.concatenate([self.ids, other.ids], axis=1)
        _, rank = np.unique(ids, return_inverse=True)
        order = np.lexsort((rank.reshape(ids.shape), -self.sign * values), axis=1)[:, : self.k]

        def pick(mine: NDArray[np.int32], theirs: NDArray[np.int32]) -> NDArray[np.int32]:
            return np.take_along_axis(np.concatenate([mine, theirs], axis=1), order, axis=1)

        return TopK(
            k=self.k,
            sign=self.sign,
            values=np.take_along_axis(values, order, axis=1),
            ids=np.take_along_axis(ids, order, axis=1),
            rows=pick(self.rows, other.rows),
            columns=pick(self.columns, other.columns),
        )
