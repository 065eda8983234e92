"""Random numbers for each picture alone, so that neither its batch nor its worker changes them."""

from __future__ import annotations

import torch


def generator_of(key: str, purpose: str, attempt: int, device: torch.device | None = None) -> torch.Generator:
    """Return the generator of one picture for one purpose, seeded by the picture's key, which covers its seed."""
    # Those of later purposes lie beyond all attempts of the first three, whose numbers stay as they are.
    offset = {"start": 0, "warps": 1, "noise": 2, "prior": 1000, "chain": 2000}[purpose] + 3 * attempt
    return torch.Generator(device or "cpu").manual_seed(int(key[:15], 16) + offset)
