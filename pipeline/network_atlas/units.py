"""Units: the things that a picture can show, as plain values without a model or a tensor.

A *unit* is a channel, a neuron (a channel at one row and column), a class's logit or probability, a direction, a whole
layer, a cell of a layer's activation atlas, or a sum of these.

    Channel(layer="layer3.5", channel=12).label        # 'layer3.5:12'
    Neuron(layer="layer3.5", channel=12, row=7, column=7).label  # 'layer3.5:12@7,7'

Rows come before columns, everywhere. `objective` is what tables and pages call the objective of such a unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One feature map of a layer, over all its positions."""

    objective: ClassVar[str] = "channel"
    layer: str
    channel: int

    @property
    def label(self) -> str:
        return f"{self.layer}:{self.channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neuron:
    """A channel at one (row, column)."""

    objective: ClassVar[str] = "neuron"
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

    objective: ClassVar[str] = "logit"
    layer: str
    channel: int

    @property
    def label(self) -> str:
        return f"logit:{self.channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassProbability:
    """One entry of the model's output, after softmax over all of them."""

    objective: ClassVar[str] = "probability"
    layer: str
    channel: int

    @property
    def label(self) -> str:
        return f"probability:{self.channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer as a whole: all its channels and positions at once (DeepDream)."""

    objective: ClassVar[str] = "layer"
    layer: str

    @property
    def label(self) -> str:
        return f"{self.layer}:*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """A vector in a layer's channel space."""

    objective: ClassVar[str] = "direction"
    layer: str
    name: str
    vector: tuple[float, ...]  # (channels,)
    cosine_power: float

    @property
    def label(self) -> str:
        return f"{self.layer}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coactive:
    """A channel together with the channel of its layer that correlates most with it, according to the scan."""

    objective: ClassVar[str] = "coactive"
    layer: str
    channel: int

    @property
    def label(self) -> str:
        return f"{self.layer}:{self.channel} + most co-active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of a layer's activation atlas: the direction of the activations that lie there."""

    objective: ClassVar[str] = "cell"
    layer: str
    grid: int
    """Cells along a side of the map."""
    row: int
    column: int
    cosine_power: float

    @property
    def name(self) -> str:
        return f"cell {self.grid}/{self.row},{self.column}"

    @property
    def label(self) -> str:
        return f"{self.layer}:{self.name}"


Single = Channel | Neuron | ClassLogit | ClassProbability | Layer | Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A unit with its weight in a sum."""

    weight: float
    unit: Single


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A weighted sum of units, of one layer or of several (neuron arithmetic)."""

    objective: ClassVar[str] = "sum"
    terms: tuple[Term, ...]

    @property
    def label(self) -> str:
        text = ""
        for term in self.terms:
            size = abs(term.weight)
            sign = "-" if term.weight < 0 else "+"
            factor = "" if size == 1 else f"{_exact(size)}*"
            lead = ("-" if sign == "-" else "") if not text else f" {sign} "
            text += f"{lead}{factor}{term.unit.label}"
        return text


def _exact(number: float) -> str:
    """Return the number in short form, '0.5', or with all digits if needed: different sums need different labels."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


Unit = Single | Sum | Coactive | Cell

OBJECTIVE_NAMES: tuple[str, ...] = tuple(kind.objective for kind in get_args(Unit))
"""The names of the objectives of all kinds of units."""


def terms_of(unit: Single | Sum) -> tuple[Term, ...]:
    """Return a unit as a sum: its terms, or itself with weight one."""
    return unit.terms if isinstance(unit, Sum) else (Term(weight=1.0, unit=unit),)


def layers_of(unit: Unit) -> tuple[str, ...]:
    """Return the names of the layers that a unit is read from."""
    if isinstance(unit, Coactive | Cell):
        return (unit.layer,)
    return tuple(dict.fromkeys(term.unit.layer for term in terms_of(unit)))
