"""Reduce a layer's maps to numbers per example and channel, on the device, inside the hook.

Nothing larger than (batch, channels) leaves the device, and nothing is kept across an in-place layer. Reductions are
in float32, whatever the model computes in, so that near-ties are ranked by the same numbers everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.stats.moments import Moments
from pipeline.stats.topk import TopK
from pipeline.units import LayerSpec

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """One batch of one layer; tensors of shape (batch, channels). Positions count row by row."""

    positions: int
    columns: int
    peak: Tensor
    peak_at: Tensor
    trough: Tensor
    trough_at: Tensor
    mean: Tensor
    m2: Tensor

    def first(self, count: int) -> Reduced:
        """Return the first `count` examples."""
        tensors = ("peak", "peak_at", "trough", "trough_at", "mean", "m2")
        return replace(self, **{name: getattr(self, name)[:count] for name in tensors})


def reduce_maps(maps: Tensor) -> Reduced:
    """Return the reductions of `maps`, shape (batch, channels, rows, columns)."""
    flat = maps.flatten(2).float()
    peak, peak_at = flat.max(dim=2)
    trough, trough_at = flat.min(dim=2)
    variance, mean = torch.var_mean(flat, dim=2, correction=0)
    return Reduced(
        positions=flat.shape[2],
        columns=maps.shape[3],
        peak=peak,
        peak_at=peak_at,
        trough=trough,
        trough_at=trough_at,
        mean=mean,
        m2=variance * flat.shape[2],
    )


class LayerScan:
    """Everything gathered about one layer over one span."""

    def __init__(self, layer: LayerSpec, *, top_k: int, bottom_k: int) -> None:
        self.layer = layer
        self.examples = 0
        self.moments = Moments.empty(layer.channels)
        self.top = TopK.empty(layer.channels, top_k)
        self.bottom = TopK.empty(layer.channels, bottom_k, sign=-1)
        self._sample_means: list[Floats] = []
        self._sample_peaks: list[Floats] = []

    def add(self, reduced: Reduced, ids: NDArray[np.str_], sampled: NDArray[np.bool_]) -> None:
        """Take in one batch; `sampled` marks the examples whose values are all kept."""
        peak, trough = _host(reduced.peak), _host(reduced.trough)
        mean = _host(reduced.mean)
        self.examples += len(ids)
        self._add_moments(reduced.positions, mean, _host(reduced.m2), trough, peak)
        self.top = self.top.add(peak.T, ids, *_places(reduced.peak_at, reduced.columns))
        if self.bottom.k:
            self.bottom = self.bottom.add(trough.T, ids, *_places(reduced.trough_at, reduced.columns))
        self._sample_means.append(mean[sampled])
        self._sample_peaks.append(peak[sampled])

    def _add_moments(self, positions: int, means: Floats, m2s: Floats, minima: Floats, maxima: Floats) -> None:
        # One example after the other: sums then have the same bits whatever the batch size.
        for mean, m2, minimum, maximum in zip(
            *(a.astype(np.float64) for a in (means, m2s, minima, maxima)), strict=True
        ):
            one = Moments(values=positions, mean=mean, m2=m2, minimum=minimum, maximum=maximum)
            self.moments = self.moments.merge(one)

    def rows(self, start: int, stop: int) -> list[dict[str, object]]:
        """Return one row per channel, as `pipeline.store.schemas.PARTIALS` has them."""
        channels = self.layer.channels
        means = _sample(self._sample_means, channels)
        peaks = _sample(self._sample_peaks, channels)
        top, bottom = _examples(self.top), _examples(self.bottom)
        moments = self.moments
        return [
            {
                "layer_index": self.layer.index,
                "layer": self.layer.name,
                "channel": channel,
                "start": start,
                "stop": stop,
                "count": self.examples,
                "values": moments.values,
                "mean": float(moments.mean[channel]),
                "m2": float(moments.m2[channel]),
                "minimum": float(moments.minimum[channel]),
                "maximum": float(moments.maximum[channel]),
                "top": top[channel],
                "bottom": bottom[channel],
                "sample_mean": means[channel],
                "sample_maximum": peaks[channel],
            }
            for channel in range(channels)
        ]


def _host(tensor: Tensor) -> Floats:
    array: Floats = tensor.cpu().numpy()
    return array


def _places(at: Tensor, columns: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return (rows, columns) of flat positions, each of shape (channels, batch)."""
    flat = at.cpu().numpy().T
    return (flat // columns).astype(np.int32), (flat % columns).astype(np.int32)


def _sample(batches: list[Floats], channels: int) -> Floats:
    """Return the kept values as (channels, sampled examples)."""
    return np.concatenate(batches).T if batches else np.empty((channels, 0), np.float32)


def _examples(best: TopK) -> list[list[dict[str, object]]]:
    ids, values = best.ids.tolist(), best.values.tolist()
    rows, columns = best.rows.tolist(), best.columns.tolist()
    return [
        [
            {"example_id": example_id, "value": value, "row": row, "column": column}
            for example_id, value, row, column in zip(*channel, strict=True)
        ]
        for channel in zip(ids, values, rows, columns, strict=True)
    ]
