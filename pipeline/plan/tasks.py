"""Turn a sweep into tasks. Results are named by what determines them; tasks only group what is missing.

A *key* is the fingerprint of one result: one picture, or one span of the dataset scanned for one layer. A task is a
handful of missing keys of one stage. So a wider sweep, other workers or a killed run change which tasks there are,
never which results: what is done stays done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.config.dataset import DatasetConfig
from pipeline.config.schema import RunConfig
from pipeline.config.sweep import SweepConfig
from pipeline.errors import ConfigError
from pipeline.plan.pictures import Context, Picture, extra_pictures, grouped, pictures_of
from pipeline.plan.sweep import Selection
from pipeline.plan.variants import has_units
from pipeline.units import LayerSpec, ModelFacts, fingerprint

STATISTICS_ALGORITHM = 1
"""Raise when the images give other statistics."""
SCAN_ALGORITHM = 2
"""Raise when the same scan gathers other numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeTask:
    """A block of pictures of one layer and one recipe."""

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
    statistics_key: str = ""
    """Key of the statistics of the images themselves, where they are missing."""

    @property
    def id(self) -> str:
        return fingerprint("scan", self.keys, self.statistics_key)


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
    statistics_keys: tuple[str, ...]
    """One key per span: of the statistics of its images, whatever the network."""
    sample_limit: str
    block: int
    dtypes: Mapping[str, str]
    """Number format of each recipe, by name."""
    known: Mapping[str, LayerSpec]
    """Every layer of the model that can be captured."""

    @property
    def picture_keys(self) -> tuple[str, ...]:
        return tuple(picture.key for layer in self.layers for picture in layer.pictures)

    @property
    def scan_keys(self) -> tuple[str, ...]:
        return tuple(key for layer in self.layers for key in layer.scan_keys)

    @property
    def statistics_key(self) -> str:
        """Return the key of the statistics of all images together; '' without a dataset."""
        return fingerprint("statistics", self.statistics_keys) if self.spans else ""

    def scan_tasks(self, done: Collection[str]) -> list[ScanTask]:
        """Return one task per span that some layer still misses."""
        tasks = []
        for number, span in enumerate(self.spans):
            missing = [layer for layer in self.layers if layer.scan_keys[number] not in done]
            of_images = "" if self.statistics_keys[number] in done else self.statistics_keys[number]
            if missing or of_images:
                task = ScanTask(
                    span=span,
                    layers=tuple(layer.layer for layer in missing),
                    keys=tuple(layer.scan_keys[number] for layer in missing),
                    sample_limit=self.sample_limit,
                    statistics_key=of_images,
                )
                tasks.append(task)
        return tasks

    def optimize_tasks(self, done: Collection[str]) -> list[OptimizeTask]:
        """Return the missing pictures in blocks; a block is a fixed part of the sweep, so a kill doesn't regroup it.

        Groups stay whole: where one of their pictures is missing, all are made.
        """
        return [task for layer in self.layers for block in self._blocks(layer) if (task := _task(block, layer, done))]

    def _blocks(self, layer: LayerPlan) -> Iterator[_Block]:
        alike: dict[tuple[str, str], list[tuple[Picture, ...]]] = {}
        for group in grouped(layer.pictures):
            kind = group[0].together.kind if group[0].together else ""
            alike.setdefault((group[0].recipe, kind), []).append(group)
        for (recipe, _), groups in alike.items():
            for part in _chunks(groups, self.block):
                names = {name for group in part for picture in group for name in picture.layers}
                others = tuple(self.known[name] for name in sorted(names - {layer.layer.name}))
                yield _Block(groups=part, recipe=recipe, dtype=self.dtypes[recipe], others=others)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    groups: Sequence[tuple[Picture, ...]]
    recipe: str
    dtype: str
    others: tuple[LayerSpec, ...]


def _task(block: _Block, layer: LayerPlan, done: Collection[str]) -> OptimizeTask | None:
    missing = [group for group in block.groups if any(picture.key not in done for picture in group)]
    if not missing:
        return None
    pictures = tuple(picture for group in missing for picture in group)
    return OptimizeTask(
        layer=layer.layer, pictures=pictures, dtype=block.dtype, recipe=block.recipe, others=block.others
    )


def _chunks(groups: Sequence[tuple[Picture, ...]], size: int) -> list[list[tuple[Picture, ...]]]:
    """Return runs of groups that hold `size` pictures, or the group that is larger than that."""
    chunks: list[list[tuple[Picture, ...]]] = []
    for group in groups:
        if not chunks or sum(map(len, chunks[-1])) + len(group) > size:
            chunks.append([])
        chunks[-1].append(group)
    return chunks


def make_plan(
    config: RunConfig,
    facts: ModelFacts,
    selections: Sequence[Selection],
    examples: Sequence[tuple[str, str]],
    *,
    sample_limit: str,
    dtypes: Mapping[str, str],
) -> Plan:
    """Return the plan for `selections` over `examples`, pairs of (example_id, version) sorted by id.

    `dtypes` are the resolved types of each recipe's optimization ('float32' or 'bfloat16'), by the recipe's name.
    Raises ConfigError for a variant that no selected layer can have, and for units that the model has not.
    """
    spans = _spans(examples, config.scan.span, config.dataset)

    def scan_keys(layer: LayerSpec) -> tuple[str, ...]:
        place = (facts.upstream[layer.name], layer.name, layer.index)
        return tuple(_scan_key(place, span, config, sample_limit) for span in spans)

    dataset = fingerprint("dataset", [span.content for span in spans])
    context = Context(config=config, facts=facts, dtypes=dtypes, scan_keys=scan_keys, dataset=dataset)
    _check_variants(config.sweep, [selection.layer for selection in selections])
    return Plan(
        layers=tuple(
            _layer_plan(selection, pictures, context) for selection, pictures in _pictures(selections, context)
        ),
        spans=spans,
        statistics_keys=tuple(_statistics_key(span, config, sample_limit) for span in spans),
        sample_limit=sample_limit,
        block=config.sweep.block,
        dtypes=dtypes,
        known={layer.name: layer for layer in facts.layers},
    )


def _check_variants(sweep: SweepConfig, layers: Sequence[LayerSpec]) -> None:
    for number, variant in enumerate(sweep.variants):
        if not any(has_units(layer, variant, sweep.cosine_power) for layer in layers):
            raise ConfigError(
                f"sweep.variants.{number} ({variant.name}) means nothing in any selected layer: probabilities are of "
                "the output, class tokens of token layers, directions and whole layers of any layer but the output"
            )


def _pictures(selections: Sequence[Selection], context: Context) -> Iterator[tuple[Selection, tuple[Picture, ...]]]:
    """Yield every layer that the atlas is about, with its pictures: the selected ones, and those of extra pictures."""
    extra = extra_pictures(context)
    selected = {selection.layer.name: selection for selection in selections}
    for layer in sorted(context.facts.layers, key=lambda layer: layer.index):
        if layer.name in selected or layer.name in extra:
            selection = selected.get(layer.name, Selection(layer=layer, channels=(), variants=()))
            yield selection, pictures_of(selection, context) + extra.get(layer.name, ())


def _layer_plan(selection: Selection, pictures: tuple[Picture, ...], context: Context) -> LayerPlan:
    return LayerPlan(
        layer=selection.layer,
        upstream=context.facts.upstream[selection.layer.name],
        channels=selection.channels,
        pictures=pictures,
        scan_keys=context.scan_keys(selection.layer),
    )


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


def _statistics_key(span: Span, config: RunConfig, sample_limit: str) -> str:
    return fingerprint("dataset", STATISTICS_ALGORITHM, span.content, config.model.input, sample_limit)


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
