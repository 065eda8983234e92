"""The order of values in memory, and the number formats that oneDNN computes in."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def order_of(maps: Tensor) -> torch.memory_format:
    """Return the order in memory of maps, (batch, channels, rows, columns), or of values with other axes."""
    is_last = maps.ndim == 4 and maps.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format


def is_dense(maps: Tensor) -> bool:
    """Say whether values fill their memory in one of the two orders that `order_of` tells apart."""
    return maps.is_contiguous(memory_format=order_of(maps))


def bits_of(maps: Tensor) -> NDArray[Any]:
    """Return the bits of dense maps in bfloat16 in the order of memory, (values,), uint16; the same memory."""
    bits: NDArray[Any] = maps.detach().as_strided((maps.numel(),), (1,)).view(torch.uint16).numpy()
    return bits


@cache
def onednn_formats() -> tuple[torch.dtype, ...]:
    """Return the number formats of oneDNN on this processor; none where torch was built without it."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return ()
    has_bfloat16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (torch.float32, torch.bfloat16) if has_bfloat16 else (torch.float32,)
