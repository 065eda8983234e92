"""The words of the project as types: layers, and the units that pictures describe.

A *unit* is what a picture describes: a channel, a neuron (a channel at one row and column), a class's logit or
probability, a direction, a whole layer, or a sum of these. Units are plain values: they know no model and no tensor.
`fingerprint` names any such value by its content, which is how tasks and pictures are identified.

    Channel(layer="layer3.5", channel=12).label        # 'layer3.5:12'
    Neuron(layer="layer3.5", channel=12, row=7, column=7).label  # 'layer3.5:12@7,7'

Rows come before columns, heights before widths, everywhere.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

OUTPUT = "output"
"""Name of the pseudo-layer that holds the model's own output (class logits)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptiveField:
    """Which pixels of the model's input a layer's positions see: a box around `centre_px` + position * `stride_px`.

    Pairs are (rows, columns); pixel k covers k to k + 1. Boxes reach beyond the input at its edges.
    """

    size_px: tuple[float, float]
    stride_px: tuple[float, float]
    """From one position to the next."""
    centre_px: tuple[float, float]
    """Of the field of position (0, 0)."""

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return (top, left, bottom, right) of what a position sees."""
        (top, bottom), (left, right) = (
            (centre + place * stride - size / 2, centre + place * stride + size / 2)
            for place, size, stride, centre in zip(
                (row, column), self.size_px, self.stride_px, self.centre_px, strict=True
            )
        )
        return top, left, bottom, right


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """A module whose output can be captured.

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
    channel_axis: int = 1
    """Where the module's own output has its channels: 1, or -1 for token layers and channels-last maps."""
    receptive_field_px: int | None = None
    """Side of the square of input pixels that the centre position can see; None if not measured."""
    receptive_field: ReceptiveField | None = None
    """What every position sees; None where that is not measured, or so much that it can't be (all of the input)."""

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


def parts_of(layers: Sequence[LayerSpec]) -> list[slice]:
    """Return where each layer's channels are in an array that holds those of all layers side by side."""
    ends = itertools.accumulate(layer.channels for layer in layers)
    return [slice(end - layer.channels, end) for layer, end in zip(layers, ends, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One feature map of a layer, over all its positions."""

    layer: str
    channel: int

    @property
    def label(self) -> str:
        return f"{self.layer}:{self.channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neuron:
    """A channel at one (row, column)."""

    layer: str
    channel: int
    row: int
    column: int

    @property
    def label(self) -> str:
        return f"{self.layer}:{self.channel}@{self.row},{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassLogit:
    """One entry of the model's output, before any softmax."""

    layer: str
    channel: int

    @property
    def label(self) -> str:
        return f"logit:{self.channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassProbability:
    """One entry of the model's output, after softmax over all of them."""

    layer: str
    channel: int

    @property
    def label(self) -> str:
        return f"probability:{self.channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer as a whole: everything it responds to at once (DeepDream)."""

    layer: str

    @property
    def label(self) -> str:
        return f"{self.layer}:*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """A vector in a layer's channel space."""

    layer: str
    name: str
    vector: tuple[float, ...]
    cosine_power: float

    @property
    def label(self) -> str:
        return f"{self.layer}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coactive:
    """A channel together with the channel of its layer that rises and falls most with it, as the scan found."""

    layer: str
    channel: int

    @property
    def label(self) -> str:
        return f"{self.layer}:{self.channel} + most co-active"


Single = Channel | Neuron | ClassLogit | ClassProbability | Layer | Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A unit with its weight in a sum."""

    weight: float
    unit: Single


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A weighted sum of units, of one layer or of several (neuron arithmetic)."""

    terms: tuple[Term, ...]

    @property
    def label(self) -> str:
        text = ""
        for term in self.terms:
            size = abs(term.weight)
            sign = "-" if term.weight < 0 else "+"
            factor = "" if size == 1 else f"{size:g}*"
            lead = ("-" if sign == "-" else "") if not text else f" {sign} "
            text += f"{lead}{factor}{term.unit.label}"
        return text


Unit = Single | Sum | Coactive


def terms_of(unit: Single | Sum) -> tuple[Term, ...]:
    """Return a unit as a sum: its terms, or itself with weight one."""
    return unit.terms if isinstance(unit, Sum) else (Term(weight=1.0, unit=unit),)


def layers_of(unit: Unit) -> tuple[str, ...]:
    """Return the names of the layers that a unit is read from."""
    if isinstance(unit, Coactive):
        return (unit.layer,)
    return tuple(dict.fromkeys(term.unit.layer for term in terms_of(unit)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What planning knows of a model: plain values, no tensors."""

    layers: tuple[LayerSpec, ...]
    """Every layer that can be captured, in order of execution; the last one is the model's output."""
    bases: Mapping[str, tuple[str, ...]]
    """Layer name to the names of its module's class and that class's bases."""
    unsupported: Mapping[str, str]
    """Name of a module that can't be captured to the reason."""
    upstream: Mapping[str, str]
    """Layer name to the hash of everything that determines its output."""
    share: Mapping[str, float]
    """Layer name to the part of a forward pass's time that is over when the layer is done, 0..1."""
    forward_seconds: float
    """Seconds that a forward pass took per image, on this machine."""
    class_names: tuple[str, ...]


@cache
def _fields(kind: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields; asked for a hundred thousand times by a large plan."""
    return tuple(field.name for field in dataclasses.fields(kind))


def canonical(value: object) -> object:
    """Return dataclasses, tuples and mappings as plain JSON values, each dataclass tagged with its type."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {str(key): canonical(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {name: canonical(getattr(value, name)) for name in _fields(type(value))}
        return {"": type(value).__name__, **fields}
    raise TypeError(f"cannot fingerprint a {type(value).__name__}: {value!r}")


def fingerprint(*parts: object) -> str:
    """Return 32 hexadecimal digits that name `parts` by content (SHA-256 of their canonical JSON)."""
    text = json.dumps(canonical(parts), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
