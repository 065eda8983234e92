"""A plan: everything that a run makes, by layer and by span, and the tasks that are still to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec
from network_atlas.plan.contents import LayerPlan, LearnedModel, Span
from network_atlas.plan.earlier import earlier_layers
from network_atlas.plan.input_files import NOT_YET_WRITTEN, InputFiles
from network_atlas.plan.pictures import Picture, grouped
from network_atlas.plan.shares import WHOLE, Share
from network_atlas.plan.tasks import OptimizeTask, ScanTask
from network_atlas.units import Cell

LARGE = 10_000
"""Pictures from which compiling the network may pay: a hundred seconds in each worker, against a fifth of some hours.
Reckoned, not measured: there was no GPU to try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a run makes, whether or not it exists already."""

    layers: tuple[LayerPlan, ...]
    spans: tuple[Span, ...]
    statistics_keys: tuple[str, ...]
    """One key per span: of the statistics of its images, which do not depend on the network."""
    sample_limit: str
    images_limit: str
    block: int
    dtypes: Mapping[str, str]
    """Number format of each recipe, by name."""
    random_ids: tuple[str, ...]
    """Examples chosen by hash, whose likeness is that of unrelated images."""
    model_layers: Mapping[str, LayerSpec]
    """Every layer of the model that can be captured, by name."""
    repeats: frozenset[str] = frozenset()
    """Names of those whose channels are another's."""
    passed_on: Mapping[str, str] = field(default_factory=dict)
    """Name of each layer at which a pass may be cut to the layer whose channels it has."""
    attributions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of each attributed layer to the keys of its channels' attributions, in the order of its channels."""
    magnitude_recipes: frozenset[str] = frozenset()
    """Names of the recipes that use the frequency magnitude of the dataset."""
    matched_layers: Mapping[str, int] = field(default_factory=dict)
    """Of the recipes that match pictures with their units' best examples, the name and the number of layers."""
    sampled_recipes: frozenset[str] = frozenset()
    """Names of the recipes that keep pictures by how much images of the scan's sample excite their units."""
    recipe_models: Mapping[str, tuple[LearnedModel, ...]] = field(default_factory=dict)
    """The models that pictures are made with, by the name of the recipe."""
    measuring_model: LearnedModel | None = None
    """The denoiser that says how natural pictures look."""
    share: Share = WHOLE
    """The part of the plan that this run does."""

    @property
    def picture_keys(self) -> tuple[str, ...]:
        return tuple(picture.key for layer in self.layers for picture in layer.pictures)

    @property
    def learned(self) -> tuple[LearnedModel, ...]:
        """Return every model that pictures are made or measured with, once."""
        models = [model for models in self.recipe_models.values() for model in models]
        return tuple(dict.fromkeys([*models, *([self.measuring_model] if self.measuring_model else [])]))

    @property
    def scan_keys(self) -> tuple[str, ...]:
        return tuple(key for layer in self.layers for key in layer.scan_keys)

    @property
    def share_pictures(self) -> frozenset[str]:
        """Return the keys of the pictures in this run's share. A share has whole blocks."""
        blocks = (block for layer in self.layers for block in self._blocks(layer))
        return frozenset(picture.key for block in blocks for group in block.groups for picture in group)

    @property
    def share_spans(self) -> tuple[Span, ...]:
        """Return the spans in this run's share."""
        return tuple(span for span in self.spans if self.share.has(span.content))

    @property
    def statistics_key(self) -> str:
        """Return the key of the statistics over all images; '' without a dataset."""
        return fingerprint("statistics", self.statistics_keys) if self.spans else ""

    def scan_tasks(self, done: Collection[str]) -> list[ScanTask]:
        """Return a task for each span of the share that is not yet scanned for every layer."""
        tasks = []
        for number, span in enumerate(self.spans):
            if not self.share.has(span.content):
                continue
            missing = [layer for layer in self.layers if layer.scan_keys[number] not in done]
            # These do not depend on layers: a span that is scanned again for further layers has them already.
            of_images = "" if self.statistics_keys[number] in done else self.statistics_keys[number]
            if missing or of_images:
                task = ScanTask(
                    span=span,
                    layers=tuple(layer.layer for layer in missing),
                    layer_keys=tuple(layer.scan_keys[number] for layer in missing),
                    sample_limit=self.sample_limit,
                    images_limit=self.images_limit,
                    statistics_key=of_images,
                )
                tasks.append(task)
        return tasks

    def optimize_tasks(self, done: Collection[str], inputs: InputFiles = NOT_YET_WRITTEN) -> list[OptimizeTask]:
        """Return tasks for the missing pictures of the share, at most one for each block.

        Blocks are cut from the whole sweep, done or not, so an interrupted run has the same blocks when it resumes.
        If a picture of a group is missing, the whole group is made again. Pictures that use the scan are left out if
        `inputs` does not have it.
        """
        is_large = len(self.picture_keys) >= LARGE
        return [
            replace(task, is_large=is_large)
            for layer in self.layers
            for block in self._blocks(layer)
            if (task := self._optimize_task(block, layer, done, inputs))
        ]

    def _optimize_task(
        self, block: _Block, layer: LayerPlan, done: Collection[str], inputs: InputFiles
    ) -> OptimizeTask | None:
        missing = [group for group in block.groups if any(picture.key not in done for picture in group)]
        pictures = tuple(picture for group in missing for picture in group)
        matched = self.matched_layers.get(block.recipe, 0)
        sampled = block.recipe in self.sampled_recipes
        needs_scan = matched or sampled or any(picture.needs_scan for picture in pictures)
        scan = inputs.of_scan(layer.layer) if needs_scan else ()
        statistics = inputs.of_images() if block.recipe in self.magnitude_recipes else ""
        if not pictures or scan is None or statistics is None:
            return None
        learned = [inputs.of_learned(model) for model in self.recipe_models.get(block.recipe, ())]
        if None in learned:
            return None
        return OptimizeTask(
            layer=layer.layer,
            pictures=pictures,
            dtype=self.dtypes[block.recipe],
            recipe=block.recipe,
            others=block.others,
            matched=earlier_layers(self.model_layers.values(), self.repeats, layer.layer, matched) if matched else (),
            scan_files=scan,
            statistics_file=statistics,
            cells_file=cells_file(layer, pictures, inputs),
            predecessor_files=inputs.of_pictures(
                [picture.predecessor.key for picture in pictures if picture.predecessor]
            ),
            learned=tuple(filter(None, learned)),
        )

    def _blocks(self, layer: LayerPlan) -> Iterator[_Block]:
        # A block has one recipe, and groups of one kind.
        by_kind: dict[tuple[str, str], list[tuple[Picture, ...]]] = {}
        for group in grouped(layer.pictures):
            by_kind.setdefault((group[0].recipe, _kind(group[0])), []).append(group)
        for (recipe, _), groups in by_kind.items():
            for part in _chunks(groups, self.block):
                # The key of the first picture decides for its block: no block is divided between shares.
                if not self.share.has(part[0][0].key):
                    continue
                names = {name for group in part for picture in group for name in picture.layers}
                others = tuple(self.model_layers[name] for name in sorted(names - {layer.layer.name}))
                yield _Block(groups=part, recipe=recipe, others=others)


def _kind(first: Picture) -> str:
    """Return what tells groups of a block apart: sets, rows, chains, warm starts, circuits, cells, others."""
    if first.together:
        return first.together.kind
    if first.predecessor:
        return "warm"
    if first.circuit:
        return "circuit"
    return "cell" if isinstance(first.unit, Cell) else ""


def cells_file(layer: LayerPlan, pictures: Sequence[Picture], inputs: InputFiles) -> str:
    """Return the file with the directions of the cells among the pictures; '' if there is none among them."""
    has_cells = any(isinstance(picture.unit, Cell) for picture in pictures)
    return inputs.of_cells(layer.layout.key) if layer.layout and has_cells else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    groups: Sequence[tuple[Picture, ...]]
    recipe: str
    others: tuple[LayerSpec, ...]


def _chunks(groups: Sequence[tuple[Picture, ...]], size: int) -> list[list[tuple[Picture, ...]]]:
    """Return the groups in chunks of at most `size` pictures; a larger group is a chunk by itself."""
    chunks: list[list[tuple[Picture, ...]]] = []
    for group in groups:
        if not chunks or sum(map(len, chunks[-1])) + len(group) > size:
            chunks.append([])
        chunks[-1].append(group)
    return chunks
