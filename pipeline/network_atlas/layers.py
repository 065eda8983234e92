"""Layers as plain values: the facts about a network that every stage uses, without its tensors.

Rows come before columns, heights before widths, everywhere.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OUTPUT = "output"
FORM = "()"
"""Ends the name of a module where its class, code and settings are meant, and not its tensors."""
"""Name of the pseudo-layer that holds the model's own output (class logits)."""
CALL = "#"
"""Stands between a module's name and the number of its call, where it runs more than once in a forward pass."""


def call_name(module: str, number: int) -> str:
    """Return the name of the layer that one call of a module is, counted from 1: 'layer1.0.relu#2'."""
    return f"{module}{CALL}{number}"


def split_call(layer: str) -> tuple[str, int | None]:
    """Return the module's name and the number of its call: ('layer1.0.relu', 2); None for a name without a number."""
    module, _, number = layer.rpartition(CALL)
    return (module, int(number)) if module and number.isdecimal() else (layer, None)


def calls_meant(name: str, layers: Iterable[str]) -> str:
    """Return " 'relu' runs more than once ..." where layers are calls of the module that a name means, else ''."""
    module, _ = split_call(name)
    calls = [layer for layer in layers if split_call(layer)[0] == module and layer != module]
    if not calls:
        return ""
    listed = ", ".join(calls) if len(calls) < 4 else f"{calls[0]}, {calls[1]} ... {calls[-1]}"
    return f" The module {module!r} runs more than once in a pass; its calls are the layers {listed}."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptiveField:
    """The pixels of the model's input that a layer's positions see: a box around `centre_px` + position * `stride_px`.

    Pairs are (rows, columns); pixel k covers k to k + 1. Boxes reach beyond the input at its edges.
    """

    size_px: tuple[float, float]
    stride_px: tuple[float, float]
    """From one position to the next."""
    centre_px: tuple[float, float]
    """Of the field of position (0, 0)."""

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return (top, left, bottom, right) of the box that a position sees, in pixels of the model's input."""
        (top, bottom), (left, right) = (
            (centre + position * stride - size / 2, centre + position * stride + size / 2)
            for position, size, stride, centre in zip(
                (row, column), self.size_px, self.stride_px, self.centre_px, strict=True
            )
        )
        return top, left, bottom, right


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """A module whose output can be captured, or one call of a module that runs more than once in a forward pass.

    A feature map has `height` and `width`; a token layer has `tokens`; a vector (a linear layer, the
    model's output) has none of them. `index` counts the model's modules in the order in which they
    finish, whatever the sweep selects, so that a larger sweep renumbers nothing.
    """

    index: int
    name: str
    type: str
    channels: int
    height: int | None = None
    width: int | None = None
    tokens: int | None = None
    batch_axis: int = 0
    """The axis of the module's output that holds the images: 1 in sequence-first networks. Capture moves it to the
    front."""
    channel_axis: int = 1
    """The axis that holds the channels once the images come first: 1, or -1 for token layers and channels-last maps."""
    is_raster: bool = True
    """Of tokens, whether they are the patches of the image, row by row, or follow one class token. Those of latent
    queries or windows are not: their numbers say no place."""
    receptive_field_px: int | None = None
    """Side of the square of input pixels that the centre position can see; None if not measured."""
    receptive_field: ReceptiveField | None = None
    """The box that each position sees; None if it was not measured, or is too large to measure (all of the input)."""

    @property
    def positions(self) -> tuple[int, int]:
        """Return (rows, columns) of the layer's positions: tokens are rows of one column."""
        if self.height is not None and self.width is not None:
            return self.height, self.width
        return self.tokens or 1, 1

    @property
    def centre(self) -> tuple[int, int]:
        """Return the default neuron position, (rows // 2, columns // 2)."""
        rows, columns = self.positions
        return rows // 2, columns // 2

    @property
    def shape(self) -> str:
        """Return the shape of one activation as text, channels first: '24 x 56 x 56'."""
        sizes = (self.channels, self.tokens, self.height, self.width)
        return " x ".join(str(size) for size in sizes if size is not None)

    @property
    def slug(self) -> str:
        """Return '<index>-<name>' made safe for file names and URLs: '0042-blocks.4'."""
        safe = re.sub(r"[^A-Za-z0-9._-]+", "_", self.name)[:80]
        return f"{self.index:04d}-{safe}"


def channel_slices(layers: Sequence[LayerSpec]) -> list[slice]:
    """Return each layer's slice of an array that holds the channels of all layers side by side."""
    ends = itertools.accumulate(layer.channels for layer in layers)
    return [slice(end - layer.channels, end) for layer, end in zip(layers, ends, strict=True)]


def layer_of_row(row: Mapping[str, Any]) -> LayerSpec:
    """Return the layer that a row of `layers.parquet` describes; where its channels lie in a tensor is not in it."""
    sizes = ("type", "channels", "height", "width", "tokens", "receptive_field_px")
    return LayerSpec(
        index=row["layer_index"],
        name=row["layer"],
        receptive_field=receptive_field_of_row(row),
        **{name: row[name] for name in sizes},
    )


def receptive_field_of_row(row: Mapping[str, Any]) -> ReceptiveField | None:
    """Return the receptive field in a row of `layers.parquet`; None if it has none."""
    pairs = row["receptive_field"]
    return ReceptiveField(**{name: tuple(pair) for name, pair in pairs.items()}) if pairs else None


@dataclass(frozen=True, slots=True)
class Repeat:
    """Why a layer has no channels of its own; its text says it in words: 'the channels of conv1'."""

    text: str
    of: str = ""
    """The layer whose channels it has; '' where no single layer has them."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The facts about a model that planning uses: plain values, no tensors."""

    layers: tuple[LayerSpec, ...]
    """Every layer that can be captured, in order of execution; the last one is the model's output."""
    bases: Mapping[str, tuple[str, ...]]
    """Layer name to the names of its module's class and that class's bases."""
    unsupported: Mapping[str, str]
    """Name of a module that can't be captured to the reason."""
    repeats: Mapping[str, Repeat]
    """Layer name to the source of its channels, for layers that only repeat others."""
    upstream: Mapping[str, str]
    """Layer name to the hash of everything that determines its output."""
    share: Mapping[str, float]
    """Layer name to the share of a forward pass's time that has passed when the layer is done, 0..1."""
    forward_seconds: float
    """Seconds that a forward pass took per image, on this machine."""
    class_names: tuple[str, ...]
    takes_half: bool = False
    """The model also runs on images of half its input's height and width."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """Name of each parameter, buffer and module to a hash of it, a module's without its tensors: says what changed."""
    lowest: Mapping[str, float] = field(default_factory=dict)
    """Layer name to the smallest of its values on generated images, of those that were looked at."""
    parts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Layer name to the names in `contents` that its `upstream` covers."""
