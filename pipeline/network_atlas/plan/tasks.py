"""Tasks: pieces of work that one worker does and commits whole. All kinds of task are here.

A *key* is the fingerprint of one result: one picture, one measurement, or one span of the dataset scanned for one
layer. A task groups missing keys of one stage. A wider sweep, other workers or a killed run change which tasks there
are, never which results: what is done stays done.

A task is complete when it is made: it names the files that its worker reads. Who makes tasks asks an `InputFiles` for
them; `NOT_YET_WRITTEN` stands in where tasks are only counted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from network_atlas.config.schema import RunConfig
from network_atlas.executors.base import Task
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec, ModelFacts
from network_atlas.plan.contents import LayerPlan, Span
from network_atlas.plan.pictures import Picture, grouped

BACKWARD_FACTOR = 3.0
"""A step (forward and backward) takes about three times a forward pass."""
CALIBRATION_PASSES = 16
"""Forward passes that measuring a picture takes: eight moved views, itself, and the images that it is compared with."""


class StageTask(Task, Protocol):
    """What every kind of task says of itself: what executors know of it, its stage, and its cost."""

    stage: ClassVar[str]

    def split(self) -> tuple[StageTask, ...]: ...

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return its work in passes of one image through the whole network.

        A layer's share of a pass is timed once, while layers are listed: the figures compare tasks, they are not
        seconds. A table, which needs no pass, counts its rows.
        """
        ...


class InputFiles(Protocol):
    """The files in the store that tasks read."""

    def of_scan(self, layer: LayerSpec) -> tuple[str, ...] | None:
        """Return the files that hold a layer's scan; None where a span is missing."""
        ...

    def of_images(self) -> str | None:
        """Return the file of the statistics of all images; None where it is not written."""
        ...

    def of_pictures(self, pictures: Collection[Picture]) -> tuple[str, ...]:
        """Return the files that hold finished pictures."""
        ...


class _NotYetWritten:
    """No files: for tasks that are counted, or whose cost is estimated, and not carried out."""

    def of_scan(self, layer: LayerSpec) -> tuple[str, ...] | None:
        return ()

    def of_images(self) -> str | None:
        return ""

    def of_pictures(self, pictures: Collection[Picture]) -> tuple[str, ...]:
        return ()


NOT_YET_WRITTEN: InputFiles = _NotYetWritten()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTask:
    """One span, for all layers that still miss it: one forward pass serves them all."""

    stage: ClassVar[str] = "scan"
    span: Span
    layers: tuple[LayerSpec, ...]
    layer_keys: tuple[str, ...]
    """One key per layer."""
    sample_limit: str
    images_limit: str
    statistics_key: str = ""
    """Key of the statistics of the images themselves, where they are missing."""

    @property
    def keys(self) -> tuple[str, ...]:
        return (*self.layer_keys, *([self.statistics_key] if self.statistics_key else []))

    @property
    def id(self) -> str:
        return fingerprint("scan", self.keys)

    @property
    def items(self) -> int:
        return 1

    @property
    def units(self) -> tuple[str, ...]:
        return (f"images {self.span.start}..{self.span.stop}",)

    @property
    def cached_input(self) -> str:
        """Return '': spans have nothing in common."""
        return ""

    def split(self) -> tuple[ScanTask, ...]:
        """Return (): a span is read once for all layers."""
        return ()

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the span's images, each counted up to the last layer; none where only images are measured."""
        share = max((facts.share[layer.name] for layer in self.layers), default=0.0)
        return (self.span.stop - self.span.start) * share


class _PicturesTask:
    """What tasks about pictures of one layer have in common."""

    __slots__ = ()
    layer: LayerSpec
    pictures: tuple[Picture, ...]
    scan_files: tuple[str, ...]

    @property
    def items(self) -> int:
        return len(self.pictures)

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(f"{picture.unit.label} {picture.variant}" for picture in self.pictures)

    @property
    def cached_input(self) -> str:
        """Return the layer, where its scan is read."""
        return self.layer.name if self.scan_files else ""


class _WholeLayerTask:
    """What tasks that make one layer's table or pages have in common: they are written whole."""

    __slots__ = ()
    key: str

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    @property
    def items(self) -> int:
        return 1

    @property
    def cached_input(self) -> str:
        """Return '': each layer has one task."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeTask(_PicturesTask):
    """A block of pictures of one layer and one recipe."""

    stage: ClassVar[str] = "optimize"
    layer: LayerSpec
    pictures: tuple[Picture, ...]
    dtype: str
    recipe: str = ""
    others: tuple[LayerSpec, ...] = ()
    """Further layers that the pictures are read from or compared in."""
    scan_files: tuple[str, ...] = ()
    """The layer's partials, for pictures that take something from the scan."""
    statistics_file: str = ""
    """Where the dataset's frequency magnitude is, for recipes that take it."""

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(picture.key for picture in self.pictures)

    @property
    def id(self) -> str:
        return fingerprint("optimize", self.keys)

    def split(self) -> tuple[OptimizeTask, ...]:
        """Return the task in two, whole groups of pictures each; () if there is one group."""
        groups = grouped(self.pictures)
        if len(groups) < 2:
            return ()
        parts = groups[: len(groups) // 2], groups[len(groups) // 2 :]
        return tuple(replace(self, pictures=tuple(picture for group in part for picture in group)) for part in parts)

    def passes_of_picture(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the forward passes that each picture takes at most, as parts of the whole network."""
        recipe = config.recipe(self.recipe)
        share = max(facts.share[layer.name] for layer in (self.layer, *self.others))
        return recipe.steps * recipe.transform.views * share

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the passes of all pictures; a backward pass counts as two forward."""
        return BACKWARD_FACTOR * len(self.pictures) * self.passes_of_picture(config, facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateTask(_PicturesTask):
    """Finished pictures of one layer that are to be measured."""

    stage: ClassVar[str] = "calibrate"
    layer: LayerSpec
    pictures: tuple[Picture, ...]
    keys: tuple[str, ...]
    """One key per picture: of the measurement, not of the picture."""
    path: tuple[LayerSpec, ...]
    others: tuple[LayerSpec, ...]
    """Further layers that the pictures' units are read from."""
    random_ids: tuple[str, ...]
    picture_files: tuple[str, ...]
    scan_files: tuple[str, ...]
    statistics_file: str

    @property
    def id(self) -> str:
        return fingerprint("calibrate", self.keys)

    def split(self) -> tuple[CalibrateTask, ...]:
        """Return the task in two; () if it is one picture."""
        middle = len(self.pictures) // 2
        parts = (slice(None, middle), slice(middle, None)) if middle else ()
        return tuple(replace(self, pictures=self.pictures[part], keys=self.keys[part]) for part in parts)

    def key_of(self, picture: Picture) -> str:
        """Return the key of a picture's measurement."""
        return self.keys[self.pictures.index(picture)]

    def layers_of(self, picture: Picture) -> tuple[LayerSpec, ...]:
        """Return the layers that a picture's unit is read from."""
        return tuple(layer for layer in (self.layer, *self.others) if layer.name in picture.layers)

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the passes up to the layer of all pictures."""
        return CALIBRATION_PASSES * len(self.pictures) * facts.share[self.layer.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleTask(_WholeLayerTask):
    """The joining of everything known about one layer."""

    stage: ClassVar[str] = "assemble"
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
    def units(self) -> tuple[str, ...]:
        return (self.plan.layer.name,)

    def split(self) -> tuple[AssembleTask, ...]:
        """Return (): a table is written whole."""
        return ()

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the rows of the table."""
        return len(self.plan.channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTask(_WholeLayerTask):
    """The pages of one layer."""

    stage: ClassVar[str] = "site"
    key: str
    layer: LayerSpec
    previous: LayerSpec | None
    following: LayerSpec | None

    @property
    def id(self) -> str:
        return self.layer.slug

    @property
    def units(self) -> tuple[str, ...]:
        return (self.layer.name,)

    def split(self) -> tuple[SiteTask, ...]:
        """Return (): pages are written together."""
        return ()

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return 0: pages are made from tables."""
        return 0.0
