"""Pictures of two groups of a channel's best examples, where different channels drive it on each. Pure.

After PURE (Dreyer et al. 2024, arXiv 2404.06453): a unit with two meanings is divided by the circuits behind its
examples. A picture shows one circuit: it is learned for the channels of the layers just before, each weighted by the
mean of what it adds to the unit on the group's examples. Unlike the paper, which shows examples, and weighs connections
inside the network, the picture leaves the unit itself out: the other meaning can't come in through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from network_atlas.config.schema import RunConfig
from network_atlas.config.sweep import variant_name
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.late import late_pictures
from network_atlas.plan.pictures import Circuit, Picture
from network_atlas.plan.plan import Plan
from network_atlas.units import Direction, Sum, Term

LETTERS = "AB"
OBJECTIVE = "circuit"
"""What tables call the objective of these pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCircuit:
    """A group of a channel's examples as the attribution stage stored it."""

    number: int
    """0 for the larger group, 1 for the other."""
    examples: tuple[str, ...]
    vectors: Mapping[str, tuple[float, ...]]
    """What each channel of each layer just before adds on average, by the layer's name; together of unit length."""


def with_circuits(plan: Plan, circuits: Mapping[str, Sequence[FoundCircuit]], config: RunConfig) -> Plan:
    """Return the plan with a picture of each group; `circuits` has those that are there, by the attribution's key."""

    def completed(layer: LayerPlan) -> LayerPlan:
        keys = plan.attributions.get(layer.layer.name, ())
        pictures = [
            picture
            for channel, key in zip(layer.channels, keys, strict=False)
            for circuit in circuits.get(key, ())
            for picture in _pictures(layer, channel, key, circuit, plan, config)
        ]
        others = (picture for picture in layer.pictures if picture.circuit is None)
        return replace(layer, pictures=(*others, *pictures))

    return replace(plan, layers=tuple(map(completed, plan.layers))) if circuits else plan


def _pictures(
    layer: LayerPlan, channel: int, key: str, circuit: FoundCircuit, plan: Plan, config: RunConfig
) -> list[Picture]:
    """Return the picture of a group; before it, where a prior pulls at it, the same without the prior."""
    letter, power = LETTERS[circuit.number], config.sweep.cosine_power
    name = f"group {letter} of {layer.layer.name}:{channel}"
    terms = tuple(
        Term(weight=1.0, unit=Direction(layer=parent, name=name, vector=vector, cosine_power=power))
        for parent, vector in circuit.vectors.items()
        if any(vector)
    )
    shown = Circuit(channel=channel, letter=letter, examples=circuit.examples)
    return [
        replace(
            picture,
            objective=OBJECTIVE,
            variant=variant_name(f"{OBJECTIVE}+", 0, letter, recipe=picture.recipe),
            circuit=shown,
        )
        for picture in late_pictures("circuit", [Sum(terms=terms)] if terms else [], key, "", plan, config)
    ]
