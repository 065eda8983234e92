"""Random numbers of each picture's own, so that neither its batch nor its worker changes them."""

from __future__ import annotations

import torch


def generator_of(key: str, purpose: str, attempt: int, device: torch.device | None = None) -> torch.Generator:
    """Return a source of randomness of a picture's own, seeded by what the picture is (its key holds the seed)."""
    offset = {"start": 0, "warps": 1, "noise": 2}[purpose] + 3 * attempt
    return torch.Generator(device or "cpu").manual_seed(int(key[:15], 16) + offset)
