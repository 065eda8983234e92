"""Generators as users write them: functions that return a network and its codes' mean and standard deviation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Drawn(nn.Module):
    """Codes of 6 numbers to images of 12 x 12: a sum of fixed patterns."""

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.patterns = nn.Parameter(torch.randn(6, channels, 12, 12, generator=generator))

    def forward(self, codes: Tensor) -> Tensor:
        return torch.einsum("bk,kchw->bchw", codes, self.patterns).sigmoid()


def build(channels: int = 3, seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    return Drawn(channels, seed), torch.zeros(6), torch.full((6,), 0.5)


def network_alone() -> nn.Module:
    return Drawn(3, 0)


def of_other_codes() -> tuple[nn.Module, Tensor, Tensor]:
    return Drawn(3, 0), torch.zeros(5), torch.ones(5)


def of_negative_deviation() -> tuple[nn.Module, Tensor, Tensor]:
    return Drawn(3, 0), torch.zeros(6), -torch.ones(6)
