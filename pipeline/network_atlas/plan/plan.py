"""A plan: everything that a run will make, by layer and by span, and the tasks that are missing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec
from network_atlas.plan.contents import LayerPlan, Span
from network_atlas.plan.pictures import Picture, grouped
from network_atlas.plan.shares import WHOLE, Share
from network_atlas.plan.tasks import NOT_YET_WRITTEN, InputFiles, OptimizeTask, ScanTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a run will make, whether or not it exists already."""

    layers: tuple[LayerPlan, ...]
    spans: tuple[Span, ...]
    statistics_keys: tuple[str, ...]
    """One key per span: of the statistics of its images, whatever the network."""
    sample_limit: str
    images_limit: str
    block: int
    dtypes: Mapping[str, str]
    """Number format of each recipe, by name."""
    random_ids: tuple[str, ...]
    """Examples chosen by hash, which say how alike any two images are."""
    known: Mapping[str, LayerSpec]
    """Every layer of the model that can be captured."""
    magnitude_recipes: frozenset[str] = frozenset()
    """Names of the recipes that take the frequency magnitude of the dataset."""
    share: Share = WHOLE
    """The part of all this that the run is to do."""

    @property
    def picture_keys(self) -> tuple[str, ...]:
        return tuple(picture.key for layer in self.layers for picture in layer.pictures)

    @property
    def scan_keys(self) -> tuple[str, ...]:
        return tuple(key for layer in self.layers for key in layer.scan_keys)

    @property
    def own_pictures(self) -> frozenset[str]:
        """Return the keys of the share's pictures: those of whole blocks."""
        blocks = (block for layer in self.layers for block in self._blocks(layer))
        return frozenset(picture.key for block in blocks for group in block.groups for picture in group)

    @property
    def own_spans(self) -> tuple[Span, ...]:
        """Return the share's spans."""
        return tuple(span for span in self.spans if self.share.has(span.content))

    @property
    def statistics_key(self) -> str:
        """Return the key of the statistics of all images together; '' without a dataset."""
        return fingerprint("statistics", self.statistics_keys) if self.spans else ""

    def scan_tasks(self, done: Collection[str]) -> list[ScanTask]:
        """Return one task per span of the share that some layer still misses."""
        tasks = []
        for number, span in enumerate(self.spans):
            if not self.share.has(span.content):
                continue
            missing = [layer for layer in self.layers if layer.scan_keys[number] not in done]
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
        """Return the share's missing pictures in blocks; a block is a fixed part of the sweep: no kill regroups it.

        Groups stay whole: where one of their pictures is missing, all are made. Pictures that take something from the
        scan are left out where `inputs` does not have it.
        """
        return [
            task
            for layer in self.layers
            for block in self._blocks(layer)
            if (task := self._optimize_task(block, layer.layer, done, inputs))
        ]

    def _optimize_task(
        self, block: _Block, layer: LayerSpec, done: Collection[str], inputs: InputFiles
    ) -> OptimizeTask | None:
        missing = [group for group in block.groups if any(picture.key not in done for picture in group)]
        pictures = tuple(picture for group in missing for picture in group)
        scan = inputs.of_scan(layer) if any(picture.needs_scan for picture in pictures) else ()
        statistics = inputs.of_images() if block.recipe in self.magnitude_recipes else ""
        if not pictures or scan is None or statistics is None:
            return None
        return OptimizeTask(
            layer=layer,
            pictures=pictures,
            dtype=self.dtypes[block.recipe],
            recipe=block.recipe,
            others=block.others,
            scan_files=scan,
            statistics_file=statistics,
        )

    def _blocks(self, layer: LayerPlan) -> Iterator[_Block]:
        alike: dict[tuple[str, str], list[tuple[Picture, ...]]] = {}
        for group in grouped(layer.pictures):
            kind = group[0].together.kind if group[0].together else ""
            alike.setdefault((group[0].recipe, kind), []).append(group)
        for (recipe, _), groups in alike.items():
            for part in _chunks(groups, self.block):
                if not self.share.has(part[0][0].key):
                    continue
                names = {name for group in part for picture in group for name in picture.layers}
                others = tuple(self.known[name] for name in sorted(names - {layer.layer.name}))
                yield _Block(groups=part, recipe=recipe, others=others)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    groups: Sequence[tuple[Picture, ...]]
    recipe: str
    others: tuple[LayerSpec, ...]


def _chunks(groups: Sequence[tuple[Picture, ...]], size: int) -> list[list[tuple[Picture, ...]]]:
    """Return runs of groups that hold `size` pictures, or the group that is larger than that."""
    chunks: list[list[tuple[Picture, ...]]] = []
    for group in groups:
        if not chunks or sum(map(len, chunks[-1])) + len(group) > size:
            chunks.append([])
        chunks[-1].append(group)
    return chunks
