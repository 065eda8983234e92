"""Turn a sweep into tasks. Results are named by what determines them; tasks only group what is missing.

A *key* is the fingerprint of one result: one picture, or one span of the dataset scanned for one layer. A task is a
handful of missing keys of one stage. So a wider sweep, other workers or a killed run change which tasks there are,
never which results: what is done stays done.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pipeline.config.recipe import OptimizeConfig
from pipeline.config.schema import DatasetConfig, InputConfig, RunConfig
from pipeline.plan.sweep import Selection, units_of
from pipeline.units import ClassLogit, LayerSpec, ModelFacts, Unit, fingerprint

PICTURE_ALGORITHM = 1
"""Raise when the same recipe makes another picture."""
SCAN_ALGORITHM = 1
"""Raise when the same scan gathers other numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture to optimize: a unit, a variant, and the key that names the result."""

    key: str
    unit: Unit
    variant: str
    objective: str
    sign: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeTask:
    """A block of pictures of one layer."""

    layer: LayerSpec
    pictures: tuple[Picture, ...]
    dtype: str

    @property
    def id(self) -> str:
        return fingerprint("optimize", [picture.key for picture in self.pictures])


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A contiguous run of examples, in the order of their ids."""

    start: int
    stop: int
    example_ids: tuple[str, ...]
    content: str
    """Hash of the ids and versions of the span's examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTask:
    """One span, for all layers that still miss it: one forward pass serves them all."""

    span: Span
    layers: tuple[LayerSpec, ...]
    keys: tuple[str, ...]
    """One key per layer."""
    sample_limit: str

    @property
    def id(self) -> str:
        return fingerprint("scan", self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """Everything the atlas will hold about one layer."""

    layer: LayerSpec
    upstream: str
    channels: tuple[int, ...]
    pictures: tuple[Picture, ...]
    scan_keys: tuple[str, ...]
    """One key per span, in the order of the spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a run will make, whether or not it exists already."""

    layers: tuple[LayerPlan, ...]
    spans: tuple[Span, ...]
    sample_limit: str
    block: int
    dtype: str

    @property
    def picture_keys(self) -> tuple[str, ...]:
        return tuple(picture.key for layer in self.layers for picture in layer.pictures)

    @property
    def scan_keys(self) -> tuple[str, ...]:
        return tuple(key for layer in self.layers for key in layer.scan_keys)

    def scan_tasks(self, done: Collection[str]) -> list[ScanTask]:
        """Return one task per span that some layer still misses."""
        tasks = []
        for number, span in enumerate(self.spans):
            missing = [layer for layer in self.layers if layer.scan_keys[number] not in done]
            if missing:
                keys = tuple(layer.scan_keys[number] for layer in missing)
                layers = tuple(layer.layer for layer in missing)
                tasks.append(ScanTask(span=span, layers=layers, keys=keys, sample_limit=self.sample_limit))
        return tasks

    def optimize_tasks(self, done: Collection[str]) -> list[OptimizeTask]:
        """Return the missing pictures in blocks; a block is a fixed part of the sweep, so a kill doesn't regroup it."""
        tasks = []
        for layer in self.layers:
            for start in range(0, len(layer.pictures), self.block):
                block = layer.pictures[start : start + self.block]
                missing = tuple(picture for picture in block if picture.key not in done)
                if missing:
                    tasks.append(OptimizeTask(layer=layer.layer, pictures=missing, dtype=self.dtype))
        return tasks


def make_plan(
    config: RunConfig,
    facts: ModelFacts,
    selections: Sequence[Selection],
    examples: Sequence[tuple[str, str]],
    *,
    sample_limit: str,
    dtype: str,
) -> Plan:
    """Return the plan for `selections` over `examples`, pairs of (example_id, version) sorted by id.

    `dtype` is the resolved type of the optimization ('float32' or 'bfloat16').
    """
    spans = _spans(examples, config.scan.span, config.dataset)
    layers = []
    for selection in selections:
        upstream = facts.upstream[selection.layer.name]
        # Rows carry the layer's name and number, so these belong to what a key names.
        place = (upstream, selection.layer.name, selection.layer.index)
        layers.append(
            LayerPlan(
                layer=selection.layer,
                upstream=upstream,
                channels=selection.channels,
                pictures=_pictures(selection, place, config, dtype),
                scan_keys=tuple(_scan_key(place, span, config, sample_limit) for span in spans),
            )
        )
    return Plan(layers=tuple(layers), spans=spans, sample_limit=sample_limit, block=config.sweep.block, dtype=dtype)


def _spans(examples: Sequence[tuple[str, str]], size: int, dataset: DatasetConfig) -> tuple[Span, ...]:
    # What changes the pixels behind an id: the seed of the views, and the limit that refuses an image.
    reading = (dataset.seed, dataset.max_pixels)
    spans = []
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        ids = tuple(example_id for example_id, _ in part)
        content = fingerprint("span", start, part, reading)
        spans.append(Span(start=start, stop=start + len(part), example_ids=ids, content=content))
    return tuple(spans)


def _scan_key(place: object, span: Span, config: RunConfig, sample_limit: str) -> str:
    settings = (config.scan.top_k, config.scan.bottom_k, sample_limit)
    return fingerprint("scan", SCAN_ALGORITHM, place, span.content, config.model.input, settings)


def _pictures(selection: Selection, place: object, config: RunConfig, dtype: str) -> tuple[Picture, ...]:
    recipe = recipe_of(config.optimize, config.model.input, dtype)
    pictures = []
    for unit, variant in units_of(selection):
        what = (place, unit, variant.objective, variant.sign, variant.seed)
        pictures.append(
            Picture(
                key=fingerprint("picture", PICTURE_ALGORITHM, what, recipe),
                unit=unit,
                variant=variant.name,
                objective="logit" if isinstance(unit, ClassLogit) else variant.objective,
                sign=1 if variant.sign == "+" else -1,
                seed=variant.seed,
            )
        )
    return tuple(pictures)


def recipe_of(config: OptimizeConfig, model_input: InputConfig, dtype: str) -> Mapping[str, object]:
    """Return what of the configuration determines a picture: everything but the batch size."""
    return {
        "size": (config.height_px, config.width_px),
        "steps": config.steps,
        "ascent": (config.ascent, config.gradient, config.learning_rate),
        "regularizers": config.regularizers,
        "parameterization": config.parameterization,
        "transform": config.transform,
        "input": model_input,
        "dtype": dtype,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleTask:
    """The joining of everything known about one layer."""

    key: str
    plan: LayerPlan
    picture_files: tuple[str, ...]
    """Shards that hold the layer's pictures; they may hold others too."""
    partial_files: tuple[str, ...]
    """Partials that hold the layer, one per span."""
    examples: int
    """Examples that the partials must cover, readable or not."""
    class_names: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return self.plan.layer.slug


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
