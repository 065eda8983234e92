"""The last tasks of a run, one per layer: its table, its pages. They are derived from all that other tasks made."""

from __future__ import annotations

from dataclasses import dataclass

from network_atlas.layers import LayerSpec
from network_atlas.plan.tasks import LayerPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleTask:
    """The joining of everything known about one layer."""

    key: str
    plan: LayerPlan
    picture_files: tuple[str, ...]
    """Shards that hold the layer's pictures; they may hold others too."""
    calibration_files: tuple[str, ...]
    calibrations: tuple[str, ...]
    """Keys of the measurements that count; the files may hold others too."""
    scan_files: tuple[str, ...]
    """What the scan gathered of the layer, and the examples' names; the files may hold other layers too."""
    examples: int
    """Examples that the partials must cover, readable or not."""
    class_names: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return self.plan.layer.slug

    @property
    def cached_input(self) -> str:
        """Return '': each layer has one task."""
        return ""

    def halves(self) -> tuple[AssembleTask, ...]:
        """Return (): a table is written whole."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTask:
    """The pages of one layer."""

    key: str
    layer: LayerSpec
    previous: LayerSpec | None
    following: LayerSpec | None

    @property
    def id(self) -> str:
        return self.layer.slug

    @property
    def cached_input(self) -> str:
        """Return '': each layer has one task."""
        return ""

    def halves(self) -> tuple[SiteTask, ...]:
        """Return (): pages are written together."""
        return ()
