"""The order of values in memory."""

from __future__ import annotations

import torch
from torch import Tensor


def order_of(maps: Tensor) -> torch.memory_format:
    """Return the order in memory of maps, (batch, channels, rows, columns), or of values with other axes."""
    is_last = maps.ndim == 4 and maps.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format
