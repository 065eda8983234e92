"""The order of values in memory, and the number formats that oneDNN computes in."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def order_of(maps: Tensor) -> torch.memory_format:
    """Return the order in memory of maps, (batch, channels, rows, columns), or of values with other axes."""
    is_last = maps.ndim == 4 and maps.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format


def is_dense(maps: Tensor) -> bool:
    """Say whether values fill their memory in one of the two orders that `order_of` tells apart."""
    return maps.is_contiguous(memory_format=order_of(maps))


@cache
def onednn_formats() -> tuple[torch.dtype, ...]:
    """Return the number formats of oneDNN on this processor; none where torch was built without it."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return ()
    has_bfloat16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (torch.float32, torch.bfloat16) if has_bfloat16 else (torch.float32,)
