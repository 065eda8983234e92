"""Generators as users write them: functions that return a network and its codes' mean and standard deviation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from network_atlas.pictures.generators import Generator
from network_atlas.priors.decoder import Decoder


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


def untrained(channels: int, size: tuple[int, int]) -> Generator:
    """Return a decoder that has learned nothing."""
    code = (64, max(1, size[0] // 8), max(1, size[1] // 8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Decoder(code=code, channels=channels, size=size, features=96).eval().requires_grad_(False)
    return Generator(network=network, shape=code, mean=torch.zeros(code), deviation=torch.ones(code))
