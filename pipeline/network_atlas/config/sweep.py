"""The settings of a sweep: which units get pictures, and which variants of each.

`select` and `variants` make a picture of every kind for every chosen channel. `combine` and `interpolate` add single
pictures, whose units are written as text: 'blocks.4:12' (a channel), 'blocks.4:12@7,7' (a neuron at row and column),
'blocks.4:*' (the whole layer), 'logit:207', 'probability:207', and sums of these: 'blocks.4:12 - 0.5*logit:207'.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated, Literal

from pydantic import Field

from network_atlas.config.declare import HASHED, NOTHING, Count, Positive, Seed, Text, setting, settings

Sign = Literal["+", "-"]


def variant_name(kind: str, seed: int, *details: str, recipe: str) -> str:
    """Return the name of a variant, such as 'neuron+@3 class_token (lucid)'; empty details are left out."""
    parts = [f"{kind}@{seed}" if seed else kind, *details, f"({recipe})" if recipe else ""]
    return " ".join(filter(None, parts))


@settings
class VariantConfig:
    """One picture, or a set, for every selected channel; with an objective for whole layers, for every layer."""

    objective: Literal["channel", "neuron", "probability", "coactive", "layer", "direction"] = setting(
        HASHED, may_change=True
    )
    """'probability' is for the output only, where 'channel' means the logit; 'coactive' adds the channel's most
    co-active neighbour to it; 'layer' and 'direction' are for a layer as a whole."""
    sign: Sign = setting(HASHED, may_change=True, default="+")
    seed: Seed = setting(HASHED, may_change=True, default=0)
    recipe: str = setting(HASHED, may_change=True, default="")
    position: Literal["centre", "class_token"] | tuple[Count, Count] = setting(
        HASHED, may_change=True, default="centre"
    )
    """Position of a neuron. 'class_token' is the first token."""
    diverse: Count = setting(HASHED, may_change=True, default=0)
    """Number of pictures that are kept different from each other; 0 makes a single picture."""
    facets: Count = setting(HASHED, may_change=True, default=0)
    """Number of pictures, each started from the mean of a cluster of the channel's top examples."""
    samples: Count = setting(HASHED, may_change=True, default=0)
    """Number of pictures that are samples of one chain, for a recipe with sampler=chain; 0 is a single picture."""
    start: Literal["noise", "example"] = setting(HASHED, may_change=True, default="noise")
    """'example' starts from the channel's top example."""
    channels: str | tuple[Count, ...] = setting(HASHED, may_change=True, default="all")
    """Which of the selected channels get it, in the form of a select's `channels`: 'sample:4' is four a layer."""
    directions: Count = setting(HASHED, may_change=True, default=0)
    """Number of random directions, for objective 'direction'."""

    def __post_init__(self) -> None:
        if (self.objective == "direction") != (self.directions > 0):
            raise ValueError(
                f"objective={self.objective} with directions={self.directions}: give the number of random directions "
                "together with objective=direction, and only there"
            )
        sets = [name for name in ("diverse", "facets", "samples", "directions") if getattr(self, name)]
        if len(sets) > 1:
            raise ValueError(f"{' and '.join(sets)} in one variant; give each a variant of its own")
        if self.diverse == 1:
            raise ValueError("diverse=1 has no second picture to differ from; give 2 or more, or 0")
        if self.samples and self.objective in ("layer", "direction", "coactive"):
            raise ValueError(f"samples={self.samples}: a chain's samples are of channels, neurons and classes")
        if self.facets and self.start != "noise":
            raise ValueError(f"facets={self.facets} start from examples already; leave start out")
        if (self.facets or self.start == "example") and self.objective in ("layer", "direction", "coactive"):
            raise ValueError(f"objective={self.objective} has no top examples of its own to start from")
        if self.position != "centre" and self.objective != "neuron":
            raise ValueError(f"position={self.position!r} is for objective=neuron, not {self.objective}")

    @property
    def name(self) -> str:
        """Return the variant's name: 'channel+', 'neuron-@3' (seed 3), 'neuron+ class_token', 'channel+ (lucid)'."""
        return self.named("")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all its pictures of one unit."""
        if self.diverse:
            return tuple(self.named(f"diverse-{number}") for number in range(self.diverse))
        if self.facets:
            return tuple(self.named(f"facet-{number}") for number in range(self.facets))
        if self.samples:
            return tuple(self.named(f"sample-{number}") for number in range(self.samples))
        return (self.name,)

    def named(self, member: str) -> str:
        """Return the name of one member of a set: 'channel+ diverse-2'."""
        position = self.position if isinstance(self.position, str) else ",".join(map(str, self.position))
        return variant_name(
            f"{self.objective}{self.sign}",
            self.seed,
            "" if position == "centre" else position,
            "from example" if self.start == "example" else "",
            member,
            recipe=self.recipe,
        )


@settings
class CombineConfig:
    """One picture of a unit that is written as text, usually a sum: neuron arithmetic, joint optimization."""

    unit: Text = setting(HASHED, may_change=True)
    sign: Sign = setting(HASHED, may_change=True, default="+")
    seed: Seed = setting(HASHED, may_change=True, default=0)
    recipe: str = setting(HASHED, may_change=True, default="")


@settings
class InterpolateConfig:
    """A row of pictures that leads from one unit to another (Olah et al. 2017, "Interaction between neurons")."""

    first: Text = setting(HASHED, may_change=True)
    last: Text = setting(HASHED, may_change=True)
    pictures: Annotated[int, Field(ge=2, le=64)] = setting(HASHED, may_change=True, default=6)
    seed: Seed = setting(HASHED, may_change=True, default=0)
    recipe: str = setting(HASHED, may_change=True, default="")


@settings
class DirectionsConfig:
    """Directions that are found in the activations of layers, and become units like any other."""

    include: tuple[str, ...] = setting(HASHED, may_change=True, default=())
    """Globs over the names of the layers that the sweep selects; none finds none."""
    count: Annotated[int, Field(ge=2, le=4096)] = setting(HASHED, may_change=True, default=16)
    """Directions in each layer."""
    method: Literal["k_means", "nmf"] = setting(HASHED, may_change=True, default="k_means")
    """Spherical k-means, or non-negative matrix factorization, for layers without negative values."""
    seed: Seed = setting(HASHED, may_change=True, default=0)
    recipe: str = setting(HASHED, may_change=True, default="")
    """Recipe of their pictures; '' is `optimize`."""


@settings
class SelectConfig:
    """A choice of layers, and of channels in each.

    `include` and `exclude` are globs over layer names: '*' matches within one dotted part, '**' any number of parts.
    `types` are globs over the names of the module's class and its base classes.
    """

    include: tuple[str, ...] = setting(HASHED, may_change=True)
    exclude: tuple[str, ...] = setting(HASHED, may_change=True, default=())
    types: tuple[str, ...] = setting(HASHED, may_change=True, default=())
    distinct: bool = setting(HASHED, may_change=True, default=False)
    """Only layers that make channels of their own, so that each channel comes once. See `models.distinct`."""
    spread: Count = setting(HASHED, may_change=True, default=0)
    """Keep only this many of the matching layers, evenly spaced from first to last; 0 keeps all."""
    channels: str | tuple[Annotated[int, Field(ge=0)], ...] = setting(HASHED, may_change=True, default="all")
    """'all', 'sample:12' (the same 12 every time), 'start:stop' (half-open), or a list of numbers."""


def _check_share(text: str) -> None:
    """Raise ValueError unless `text` is '' or names one of n shares."""
    if not text:
        return
    parts = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text, re.ASCII)
    if parts is None or int(parts[1]) > int(parts[2]):
        raise ValueError(f"share={text!r} is not a share; give '1/8' to '8/8' for eight shares, or '' for everything")


@settings
class SweepConfig:
    """The whole sweep: which units get pictures, and which variants of each."""

    select: Annotated[tuple[SelectConfig, ...], Field(min_length=1)]
    variants: Annotated[tuple[VariantConfig, ...], Field(min_length=1)]
    combine: tuple[CombineConfig, ...] = ()
    interpolate: tuple[InterpolateConfig, ...] = ()
    directions: DirectionsConfig = dataclasses.field(default_factory=DirectionsConfig)
    cosine_power: Annotated[float, Field(ge=0, le=16)] = setting(HASHED, may_change=True, default=2)
    """For directions: exponent of the cosine that multiplies the dot product; 0 is the dot product alone."""
    block: Positive = setting(NOTHING)
    """Pictures per task."""
    seed: Seed = setting(HASHED, may_change=True, default=0)
    """Seed of the channels of 'sample:N'."""
    share: str = setting(NOTHING, default="")
    """'2/8' does only the second of eight shares; '' does everything, and publishes."""

    def __post_init__(self) -> None:
        _check_share(self.share)
        names = [name for variant in self.variants for name in variant.names]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"variants {repeated} appear twice; give them different seeds")
