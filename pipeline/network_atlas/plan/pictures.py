"""Pictures as the plan holds them: what each is of, how it is learned, and the key of its result. Pure.

A picture has a unit, a sign, a seed, a recipe, a start, and possibly a group with which it is learned.
`network_atlas.plan.expansion` makes the pictures of a sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from network_atlas.units import Cell, Coactive, Direction, Layer, Neuron, Single, Sum, Unit, layers_of

Kind = Literal["diverse", "aligned", "chain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a picture starts: from noise, from its unit's best example, or from the mean of a cluster of examples."""

    kind: Literal["noise", "example", "facet"] = "noise"
    index: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """A picture's part in a group that is learned together: how its pictures act on each other, and in which layer.

    Those of kind 'chain' are samples of one chain.
    """

    kind: Kind
    layer: str
    index: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """The picture of an earlier snapshot that a picture starts from (a warm start), and its own number of steps."""

    key: str
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A group of a channel's best examples, and what drives the channel on them."""

    channel: int
    letter: str
    """'A' for the larger group, 'B' for the other."""
    examples: tuple[str, ...]
    """Their ids, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture to optimize, and the key of the result."""

    key: str
    unit: Unit
    variant: str
    objective: str
    sign: int
    seed: int
    recipe: str = ""
    start: Start = Start()
    predecessor: Predecessor | None = None
    """None for a picture that starts as `start` says."""
    together: Together | None = None
    group: str = ""
    """Pictures of one group are learned together; '' if the picture is learned alone."""
    row: str = ""
    """Label of the picture's row in the atlas, if it is not the label of its unit."""
    circuit: Circuit | None = None
    """For the picture of one of two groups of a channel's examples: its unit is a sum of what drives the channel."""

    @property
    def channel(self) -> int | None:
        """Return the channel whose row in the atlas holds the picture; None if the picture has a row of its own."""
        if self.circuit:
            return self.circuit.channel
        return None if self.row or isinstance(self.unit, Cell | Layer | Direction | Sum) else self.unit.channel

    @property
    def subject(self) -> str:
        """Return the label of the picture's row, for pictures that belong to no channel."""
        return self.row or self.unit.label

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the names of all layers that must be read to make the picture."""
        extra = (self.together.layer,) if self.together else ()
        return tuple(dict.fromkeys((*layers_of(self.unit), *extra)))

    @property
    def readable(self) -> Single | Sum:
        """Return the picture's unit. That of a co-active one or a cell is found first, by scan or layout."""
        assert not isinstance(self.unit, Coactive | Cell)
        return self.unit

    @property
    def has_place(self) -> bool:
        """Say whether a position of the map counts: whether the unit is a neuron, or a sum with one in it."""
        terms = self.unit.terms if isinstance(self.unit, Sum) else ()
        return any(isinstance(unit, Neuron) for unit in (self.unit, *(term.unit for term in terms)))

    @property
    def of_one_chain(self) -> int:
        """Return how many pictures come from the steps that make this one: all samples of its chain."""
        return self.together.count if self.together and self.together.kind == "chain" else 1

    @property
    def needs_scan(self) -> bool:
        """Say whether the picture uses the scan of its layer."""
        return self.start.kind != "noise" or isinstance(self.unit, Coactive)


def distinct(pictures: Iterable[Picture]) -> tuple[Picture, ...]:
    """Return each picture once, the first of those with the same key.

    A unit of `sweep.combine` may be selected too, and two recipes of other names may have the same settings.
    """
    by_key: dict[str, Picture] = {}
    for picture in pictures:
        by_key.setdefault(picture.key, picture)
    return tuple(by_key.values())


def grouped(pictures: Sequence[Picture]) -> list[tuple[Picture, ...]]:
    """Return the pictures by group, in order of first appearance; a picture learned alone is a group of one."""
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(picture.group or picture.key, []).append(picture)
    return [tuple(group) for group in groups.values()]
