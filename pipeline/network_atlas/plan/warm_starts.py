"""Warm starts: a picture that must be made anew starts from that of the same unit in the newest snapshot. Pure.

The key of such a picture covers that of its predecessor, so it says exactly what it is. A picture whose key from noise
is in the store stays as it is, and so does one that was started warm from the predecessor that its row names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from network_atlas.config.schema import RunConfig
from network_atlas.fingerprints import fingerprint
from network_atlas.plan.pictures import Picture, Predecessor
from network_atlas.plan.plan import Plan
from network_atlas.units import Cell, Coactive


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A picture of the newest snapshot that others may start from."""

    key: str
    started_from: str
    """Key of its own predecessor; '' if it had none."""
    is_good: bool
    """Whether it excites its unit: a failed picture is no start."""


Subject = tuple[str, str, str]
"""A picture's layer, unit and variant, as its row has them."""


def with_warm_starts(plan: Plan, earlier: Mapping[Subject, Earlier], done: Collection[str], config: RunConfig) -> Plan:
    """Return the plan with a predecessor for each missing picture that `earlier` has one for.

    `done` has the keys of finished pictures. Pictures that are learned in groups, start from examples, or have a unit
    that the scan finds start as before: what they are may change between snapshots.
    """

    def warm(picture: Picture, layer: str) -> Picture:
        steps = config.recipe(picture.recipe).warm_steps
        before = earlier.get((layer, picture.unit.label, picture.variant))
        if not steps or before is None or picture.key in done or not _may_start_warm(picture):
            return picture
        of_itself = _warm(picture, before.started_from, steps)
        if before.started_from and of_itself.key == before.key:
            return of_itself
        return _warm(picture, before.key, steps) if before.is_good else picture

    return replace(
        plan,
        layers=tuple(
            replace(layer, pictures=tuple(warm(picture, layer.layer.name) for picture in layer.pictures))
            for layer in plan.layers
        ),
    )


def _may_start_warm(picture: Picture) -> bool:
    is_found_later = picture.circuit is not None or isinstance(picture.unit, Cell | Coactive)
    return picture.together is None and picture.start.kind == "noise" and not is_found_later


def _warm(picture: Picture, before: str, steps: int) -> Picture:
    key = fingerprint("warm", picture.key, before, steps)
    return replace(picture, key=key, predecessor=Predecessor(key=before, steps=steps))
