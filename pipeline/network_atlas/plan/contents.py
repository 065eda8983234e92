"""The parts of a plan: one layer with its pictures, and one span of the dataset."""

from __future__ import annotations

from dataclasses import dataclass

from network_atlas.layers import LayerSpec
from network_atlas.plan.pictures import Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A contiguous range of examples, in the order of their ids."""

    start: int
    stop: int
    example_ids: tuple[str, ...]
    content: str
    """Hash of the ids and versions of the span's examples."""
    labels: tuple[str, ...] = ()
    """One label per example; '' if unknown."""
    named: str = ""
    """Hash of the labels."""
    sampled: int = 0
    """The number of its examples whose values are all kept: those with the smallest hashes."""
    measured: int = 0
    """The number of its examples whose pixels go into the statistics of the images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedModel:
    """A model of the dataset's images that pictures are made or measured with (`plan.learned`)."""

    kind: str
    key: str
    source: str
    """'trained' on the run's dataset, 'packaged', or the path of a file."""
    sha256: str = ""
    """Hash of the user's file."""
    layer: LayerSpec | None = None
    """The layer of the atlas's network that it is a model of, if any."""
    stored: str = ""
    """In tasks: the shard that holds a model of source 'trained'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutPlan:
    """The map of a layer."""

    key: str
    reference: str = ""
    """Key of the map that this one is aligned to; '' for that map itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionsPlan:
    """The directions that are found in a layer's activations."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """Everything the atlas will hold about one layer."""

    layer: LayerSpec
    upstream: str
    channels: tuple[int, ...]
    pictures: tuple[Picture, ...]
    scan_keys: tuple[str, ...]
    """One key per span, in the order of the spans."""
    layout: LayoutPlan | None = None
    """None for a layer without a map."""
    directions: DirectionsPlan | None = None
    """None for a layer in which none are looked for."""

    @property
    def laid_out(self) -> tuple[LayoutPlan | DirectionsPlan, ...]:
        """Return what the layout stage makes of the layer."""
        return tuple(part for part in (self.layout, self.directions) if part)
