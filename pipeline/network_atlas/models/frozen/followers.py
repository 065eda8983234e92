"""Which calls of a recorded forward pass follow each other directly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from network_atlas.models.frozen.calls import Activation, ConvolutionCall, LinearCall, NormCall


class NotAsRecordedError(Exception):
    """The model called other functions than in the recorded pass."""


class Value(NamedTuple):
    """What a piece of memory held at one time: torch counts its changes in place."""

    memory: int
    changes: int


class Followers(NamedTuple):
    """What directly follows a convolution or a normalization, and may run in one with it."""

    norm: int | None
    """The key of a normalization."""
    activation: Activation | None


FIRST_SUM = -(1 << 40)
"""Keys of sums are below those of paddings."""

NOTHING_FOLLOWS = Followers(None, None)


@dataclass(slots=True)
class Recording:
    """The calls of one forward pass. Keys are `id`s of weights, and of running means for normalizations."""

    convolutions: dict[int, ConvolutionCall] = field(default_factory=dict)
    norms: dict[int, NormCall] = field(default_factory=dict)
    linears: dict[int, LinearCall] = field(default_factory=dict)
    followers: dict[int, Followers] = field(default_factory=dict)
    """By the key of a convolution or a normalization; those with none are left out."""
    padded: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    """By the key of a padding with zeros: the convolution that alone reads its output, and the zeros."""
    sums: dict[int, int] = field(default_factory=dict)
    """By the key of a convolution: that of the sum which alone reads it, or its normalization, with a ReLU behind."""
    outputs: dict[int, frozenset[int]] = field(default_factory=dict)
    """By a module's `id`: keys of the convolutions, normalizations, paddings and sums whose own output it returns."""
    inputs: dict[int, frozenset[int]] = field(default_factory=dict)
    """The same for the inputs of modules."""
    returned: dict[int, list[frozenset[int]]] = field(default_factory=dict)
    """By a module's `id`, for each of its calls: the numbers of those calls whose own output it returns."""
    norm_behind: dict[int, int] = field(default_factory=dict)
    """By the number of a convolution's call: that of the normalization that alone reads its output."""
