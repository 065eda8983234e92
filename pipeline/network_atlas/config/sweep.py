"""The sweep as data: which units get pictures, and which pictures.

`select` and `variants` make a picture of every kind for every chosen channel. `combine` and `interpolate` add single
pictures, whose units are written as text: 'blocks.4:12' (a channel), 'blocks.4:12@7,7' (a neuron at row and column),
'blocks.4:*' (the whole layer), 'logit:207', 'probability:207', and sums of these: 'blocks.4:12 - 0.5*logit:207'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Sign = Literal["+", "-"]

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantConfig:
    """One picture of every selected channel, or a set of them; objectives of whole layers give one per layer."""

    objective: Literal["channel", "neuron", "probability", "coactive", "layer", "direction"]
    """'probability' is for the output only, where 'channel' means the logit; 'coactive' adds the channel's most
    co-active neighbour to it; 'layer' and 'direction' are for a layer as a whole."""
    sign: Sign = "+"
    seed: Seed = 0
    recipe: str = ""
    position: Literal["centre", "class_token"] | tuple[Count, Count] = "centre"
    """For neurons: where. 'class_token' is the first token."""
    diverse: Count = 0
    """This many pictures, kept unlike each other; 0 makes one."""
    facets: Count = 0
    """This many pictures, each started from the mean of one cluster of the channel's own top examples."""
    start: Literal["noise", "example"] = "noise"
    """'example': from the channel's own top example."""
    directions: Count = 0
    """For objective 'direction': this many random ones."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        if (self.objective == "direction") != (self.directions > 0):
            raise ValueError(
                f"objective={self.objective} with directions={self.directions}: give the number of random directions "
                "together with objective=direction, and only there"
            )
        sets = [name for name in ("diverse", "facets", "directions") if getattr(self, name)]
        if len(sets) > 1:
            raise ValueError(f"{' and '.join(sets)} in one variant; give each a variant of its own")
        if self.diverse == 1:
            raise ValueError("diverse=1 has nothing to be unlike; give 2 or more, or 0")
        if self.facets and self.start != "noise":
            raise ValueError(f"facets={self.facets} start from examples already; leave start out")
        if (self.facets or self.start == "example") and self.objective in ("layer", "direction", "coactive"):
            raise ValueError(f"objective={self.objective} has no top examples of its own to start from")
        if self.position != "centre" and self.objective != "neuron":
            raise ValueError(f"position={self.position!r} is for objective=neuron, not {self.objective}")

    @property
    def name(self) -> str:
        """Return for example 'channel+', 'neuron-@3' for seed 3, 'neuron+ class_token', 'channel+ (lucid)'."""
        return self.named("")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all its pictures of one unit."""
        if self.diverse:
            return tuple(self.named(f"diverse-{number}") for number in range(self.diverse))
        if self.facets:
            return tuple(self.named(f"facet-{number}") for number in range(self.facets))
        return (self.name,)

    def named(self, member: str) -> str:
        """Return the name of one member of a set: 'channel+ diverse-2'."""
        parts = [f"{self.objective}{self.sign}" + (f"@{self.seed}" if self.seed else "")]
        if self.position != "centre":
            parts.append(self.position if isinstance(self.position, str) else ",".join(map(str, self.position)))
        parts += ["from example"] * (self.start == "example")
        parts += [member] * bool(member)
        parts += [f"({self.recipe})"] * bool(self.recipe)
        return " ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class CombineConfig:
    """One picture of a unit written as text, most often a sum: neuron arithmetic, joint optimization."""

    unit: Annotated[str, Field(min_length=1)]
    sign: Sign = "+"
    seed: Seed = 0
    recipe: str = ""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpolateConfig:
    """A row of pictures that leads from one unit to another (Olah et al. 2017, "Interaction between neurons")."""

    first: Annotated[str, Field(min_length=1)]
    last: Annotated[str, Field(min_length=1)]
    pictures: Annotated[int, Field(ge=2, le=64)] = 6
    seed: Seed = 0
    recipe: str = ""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectConfig:
    """A choice of layers, and of channels in each.

    `include` and `exclude` are globs over layer names, in which '*' stays within one dotted part and '**'
    does not. `types` are globs over the names of the module's class and its bases.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    spread: Count = 0
    """Keep only this many of the matching layers, evenly spaced from first to last; 0 keeps all."""
    channels: str | tuple[Annotated[int, Field(ge=0)], ...] = "all"
    """'all', 'sample:12' (the same 12 every time), 'start:stop' (half-open), or a list of numbers."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


def _check_share(text: str) -> None:
    """Raise ValueError unless `text` is '' or names one of n shares."""
    if not text:
        return
    parts = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text, re.ASCII)
    if parts is None or int(parts[1]) > int(parts[2]):
        raise ValueError(f"share={text!r} is no share; give '1/8' to '8/8' for eight shares, or '' for everything")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepConfig:
    """Which units get pictures, and which pictures."""

    select: Annotated[tuple[SelectConfig, ...], Field(min_length=1)]
    variants: Annotated[tuple[VariantConfig, ...], Field(min_length=1)]
    combine: tuple[CombineConfig, ...] = ()
    interpolate: tuple[InterpolateConfig, ...] = ()
    cosine_power: Annotated[float, Field(ge=0, le=16)] = 2
    """For directions: how much their angle counts beside their length; 0 takes the dot product alone."""
    block: Positive
    """Pictures per task."""
    seed: Seed
    """Chooses the channels of 'sample:N'."""
    share: str = ""
    """'2/8': do only the second of eight shares; '' does everything, and publishes."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        _check_share(self.share)
        names = [name for variant in self.variants for name in variant.names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"variants {twice} are given twice; give them different seeds")
