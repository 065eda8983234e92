"""Tasks: pieces of work that one worker does and commits as a whole. All kinds of task are here.

A *key* is the fingerprint of one result: one picture, one measurement, or one span of the dataset scanned for one
layer. A task groups missing keys of one stage. A wider sweep, more workers or a killed run may change the tasks, but
never the results: finished work stays finished.

A task is complete when it is created: it names the files that its worker reads (`network_atlas.plan.input_files`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from network_atlas.config.schema import RunConfig
from network_atlas.executors.base import Task
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec, ModelFacts
from network_atlas.plan.contents import LayerPlan, LearnedModel, Span
from network_atlas.plan.depth import passes_of
from network_atlas.plan.pictures import Picture, grouped
from network_atlas.plan.references import REFERENCE_EXAMPLES, is_measured_by_scan

BACKWARD_FACTOR = 3.0
"""A step (forward and backward) takes about three times a forward pass."""
CALIBRATION_PASSES = 16
"""Forward passes to measure a picture: eight transformed views, the picture itself, and images to compare it with."""


class StageTask(Task, Protocol):
    """The interface of every task: that of executors, and its stage and cost."""

    stage: ClassVar[str]

    def split(self) -> tuple[StageTask, ...]: ...

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the task's work in passes of one image through the whole network.

        A layer's share of a pass is timed once, when the layers are listed. So the figures only compare tasks with each
        other. A table needs no pass; its work is the number of its rows.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTask:
    """Scan one span for all layers that lack it: one forward pass serves them all."""

    stage: ClassVar[str] = "scan"
    span: Span
    layers: tuple[LayerSpec, ...]
    layer_keys: tuple[str, ...]
    """One key per layer."""
    sample_limit: str
    images_limit: str
    statistics_key: str = ""
    """Key of the statistics of the images themselves; '' if they are done."""

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
        """Return '': two spans share no input."""
        return ""

    def split(self) -> tuple[ScanTask, ...]:
        """Return (): a span is not divided."""
        return ()

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the number of images times the share of a pass up to the last layer; 0 if no layer is scanned."""
        share = max((facts.share[layer.name] for layer in self.layers), default=0.0)
        return (self.span.stop - self.span.start) * share


class _PicturesTask:
    """The common part of tasks about pictures of one layer."""

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
        """Return the layer's name if its scan is read: tasks of one layer then share that input."""
        return self.layer.name if self.scan_files else ""


class _WholeLayerTask:
    """The common part of tasks that write one layer's table or pages."""

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
class LayoutTask(_WholeLayerTask):
    """Lay out the sampled activation vectors of one layer."""

    stage: ClassVar[str] = "layout"
    layer: LayerSpec
    key: str
    scan_files: tuple[str, ...]
    reference_file: str
    """Where the vectors lie on the map that this one is aligned to; '' for that map itself."""

    @property
    def id(self) -> str:
        return fingerprint("layout", self.key)

    @property
    def units(self) -> tuple[str, ...]:
        return (f"map of {self.layer.name}",)

    def split(self) -> tuple[LayoutTask, ...]:
        """Return (): a map is laid out as a whole."""
        return ()

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the layer's channels: no image passes the network, and longer vectors take longer to compare."""
        return self.layer.channels


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorTask:
    """Fit one model to images of the dataset."""

    stage: ClassVar[str] = "prior"
    kind: str
    key: str
    example_ids: tuple[str, ...]
    seconds: float
    """Seconds that it takes on a typical machine."""
    layer: LayerSpec | None = None
    """The layer of the network that it is a model of, if any."""

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    @property
    def id(self) -> str:
        return fingerprint("prior task", self.key)

    @property
    def items(self) -> int:
        return 1

    @property
    def units(self) -> tuple[str, ...]:
        return (f"{self.kind} of the dataset",)

    @property
    def cached_input(self) -> str:
        """Return '': each model has one task."""
        return ""

    def split(self) -> tuple[PriorTask, ...]:
        """Return (): a model is fitted as a whole."""
        return ()

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the seconds over those of a pass through the network, which does not run."""
        return self.seconds / facts.forward_seconds if facts.forward_seconds else self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionsTask(_WholeLayerTask):
    """Find directions in the sampled activation vectors of one layer: a part of the layout stage."""

    stage: ClassVar[str] = "layout"
    layer: LayerSpec
    key: str
    scan_files: tuple[str, ...]

    @property
    def id(self) -> str:
        return fingerprint("directions", self.key)

    @property
    def units(self) -> tuple[str, ...]:
        return (f"directions of {self.layer.name}",)

    def split(self) -> tuple[DirectionsTask, ...]:
        """Return (): all directions are found together."""
        return ()

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the layer's channels: no image passes the network, and longer vectors take longer to compare."""
        return self.layer.channels


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeTask(_PicturesTask):
    """Make a block of pictures of one layer and one recipe."""

    stage: ClassVar[str] = "optimize"
    layer: LayerSpec
    pictures: tuple[Picture, ...]
    dtype: str
    recipe: str = ""
    others: tuple[LayerSpec, ...] = ()
    """Other layers that the pictures are read from or compared in."""
    matched: tuple[LayerSpec, ...] = ()
    """Earlier layers in which each picture is matched with its unit's best examples, for recipes that do so."""
    scan_files: tuple[str, ...] = ()
    """The layer's partials, for pictures that use the scan."""
    statistics_file: str = ""
    """The file with the dataset's frequency magnitude, for recipes that use it."""
    cells_file: str = ""
    """The file with the directions of cells, for pictures of these."""
    predecessor_files: tuple[str, ...] = ()
    """The files with the pictures that these start from, if they do."""
    learned: tuple[LearnedModel, ...] = ()
    """The models that the recipe takes, with the files that hold them."""
    is_large: bool = False
    """Whether the atlas has so many pictures that compiling the network for them may pay."""

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(picture.key for picture in self.pictures)

    @property
    def id(self) -> str:
        return fingerprint("optimize", self.keys)

    def split(self) -> tuple[OptimizeTask, ...]:
        """Return two tasks of whole groups; () if there is only one group."""
        groups = grouped(self.pictures)
        if len(groups) < 2:
            return ()
        parts = groups[: len(groups) // 2], groups[len(groups) // 2 :]
        return tuple(replace(self, pictures=tuple(picture for group in part for picture in group)) for part in parts)

    def passes_of_picture(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the largest number of forward passes of a picture, in passes through the whole network."""
        share = max(facts.share[layer.name] for layer in (self.layer, *self.others))
        predecessor = self.pictures[0].predecessor  # all pictures of a task have one, or none has
        passes = passes_of(
            config.recipe(self.recipe),
            self.layer,
            config.model.input,
            takes_half=facts.takes_half and not any(picture.has_place for picture in self.pictures),
            steps=predecessor.steps if predecessor else None,
        )
        return passes * share / self.pictures[0].of_one_chain

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the passes of all pictures; a backward pass counts as two forward passes."""
        return BACKWARD_FACTOR * len(self.pictures) * self.passes_of_picture(config, facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateTask(_PicturesTask):
    """Measure finished pictures of one layer."""

    stage: ClassVar[str] = "calibrate"
    layer: LayerSpec
    pictures: tuple[Picture, ...]
    keys: tuple[str, ...]
    """One key per picture: that of its measurement, not its own."""
    path: tuple[LayerSpec, ...]
    others: tuple[LayerSpec, ...]
    """Other layers that the pictures' units are read from."""
    random_ids: tuple[str, ...]
    picture_files: tuple[str, ...]
    scan_files: tuple[str, ...]
    statistics_file: str
    examples: int
    """Examples in the dataset, readable or not."""
    learned: tuple[LearnedModel, ...] = ()
    """The denoiser that says how natural pictures look."""
    cells_file: str = ""
    """The file with the directions of cells, for pictures of these."""

    @property
    def id(self) -> str:
        return fingerprint("calibrate", self.keys)

    def split(self) -> tuple[CalibrateTask, ...]:
        """Return two tasks; () if there is only one picture."""
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
        """Return the passes of all pictures, each up to the layer, and of the images that units are compared on."""
        passes = CALIBRATION_PASSES * len(self.pictures) * facts.share[self.layer.name]
        if all(is_measured_by_scan(picture) for picture in self.pictures):
            return passes
        # Each image passes the network once for all units of the task.
        share = max(facts.share[layer.name] for layer in (self.layer, *self.others))
        return passes + share * min(REFERENCE_EXAMPLES, config.scan.sample, self.examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeTask:
    """Say of channels of one layer where they look on their best examples, and what drives them there."""

    stage: ClassVar[str] = "attribute"
    layer: LayerSpec
    channels: tuple[int, ...]
    keys: tuple[str, ...]
    """One key per channel."""
    cuts: tuple[LayerSpec, ...]
    """The layers before it at which a pass may be cut, and the layers whose channels these have."""
    owners: Mapping[str, str]
    """Name of each of them to the layer whose channels it has."""
    random_ids: tuple[str, ...]
    scan_files: tuple[str, ...]
    examples: int
    """Examples in the dataset, readable or not."""

    @property
    def id(self) -> str:
        return fingerprint("attribute", self.keys)

    @property
    def items(self) -> int:
        return len(self.channels)

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(f"{self.layer.name}:{channel}" for channel in self.channels)

    @property
    def cached_input(self) -> str:
        """Return the layer's name: its tasks share the scan and what is known of the layers before it."""
        return self.layer.name

    def split(self) -> tuple[AttributeTask, ...]:
        """Return two tasks; () if there is only one channel."""
        middle = len(self.channels) // 2
        parts = (slice(None, middle), slice(middle, None)) if middle else ()
        return tuple(replace(self, channels=self.channels[part], keys=self.keys[part]) for part in parts)

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the passes of all pairs of a channel and an example; each backward pass counts as two."""
        pairs = len(self.channels) * min(config.scan.top_k, self.examples)
        images = min(len(self.random_ids), self.examples)
        return (BACKWARD_FACTOR * pairs + images) * facts.share[self.layer.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleTask(_WholeLayerTask):
    """Join all results about one layer into its table."""

    stage: ClassVar[str] = "assemble"
    key: str
    plan: LayerPlan
    picture_files: tuple[str, ...]
    """Shards that hold the layer's pictures; they may hold others too."""
    calibration_files: tuple[str, ...]
    calibrations: tuple[str, ...]
    """Keys of the measurements to join; the files may hold others too."""
    scan_files: tuple[str, ...]
    """The layer's part of the scan, and the examples' names; the files may hold other layers too."""
    examples: int
    """Examples that the partials must cover, readable or not."""
    class_names: tuple[str, ...] = ()
    cells_file: str = ""
    """The cells of the layer's map; '' if it has none."""
    layout_file: str = ""
    """Where the vectors lie on the map; '' if there is none."""
    output: LayerSpec | None = None
    """The model's output; None where the layer has no map, the output is not scanned, or no vector."""
    output_files: tuple[str, ...] = ()
    """The sample of its scan."""
    directions_file: str = ""
    """The directions found in the layer; '' if none were looked for."""
    space: LayerSpec | None = None
    """The layer in whose space images are compared; None without a dataset."""
    space_files: tuple[str, ...] = ()
    """Its part of the scan."""

    @property
    def id(self) -> str:
        return self.plan.layer.slug

    @property
    def units(self) -> tuple[str, ...]:
        return (self.plan.layer.name,)

    def split(self) -> tuple[AssembleTask, ...]:
        """Return (): a table is one file."""
        return ()

    def passes(self, config: RunConfig, facts: ModelFacts) -> float:
        """Return the rows of the table."""
        return len(self.plan.channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLinks:
    """The table of a layer's map, and the layers before and behind whose maps it links to."""

    table: str
    """By its path in the root."""
    cells: int = 0
    previous: LayerSpec | None = None
    following: LayerSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitFiles:
    """The files about what drives a layer's channels, and what they drive, by their paths in the root."""

    attributions: tuple[str, ...]
    down: tuple[tuple[str, str], ...]
    """Slugs of layers just before, each with a file of the edges to it."""
    up: tuple[tuple[str, str], ...]
    """Slugs of layers just behind, each with a file of the edges from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTask(_WholeLayerTask):
    """Write the pages of one layer."""

    stage: ClassVar[str] = "site"
    key: str
    layer: LayerSpec
    table: str
    """The layer's joined table, by its path in the root."""
    picture_files: tuple[str, ...]
    """Shards that hold the layer's pictures."""
    previous: LayerSpec | None
    following: LayerSpec | None
    upstream: str = ""
    """Hash of everything that determines the layer's output: the network up to it, with its weights."""
    map: MapLinks | None = None
    """None for a layer without a map."""
    circuit: CircuitFiles | None = None
    """None where nothing is attributed."""

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
