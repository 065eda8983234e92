"""A plan and its tasks. Results are named by what determines them; tasks only group what is missing.

A *key* is the fingerprint of one result: one picture, or one span of the dataset scanned for one layer. A task is a
handful of missing keys of one stage. So a wider sweep, other workers or a killed run change which tasks there are,
never which results: what is done stays done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec
from network_atlas.plan.pictures import Picture, grouped
from network_atlas.plan.shares import WHOLE, Share


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

    @property
    def cached_input(self) -> str:
        """Return the layer, where its scan is read."""
        return self.layer.name if self.scan_files else ""

    def halves(self) -> tuple[OptimizeTask, ...]:
        """Return the task in two, whole groups of pictures each; () if there is one group."""
        groups = grouped(self.pictures)
        if len(groups) < 2:
            return ()
        parts = groups[: len(groups) // 2], groups[len(groups) // 2 :]
        return tuple(replace(self, pictures=tuple(one for group in part for one in group)) for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A contiguous run of examples, in the order of their ids."""

    start: int
    stop: int
    example_ids: tuple[str, ...]
    content: str
    """Hash of the ids and versions of the span's examples."""
    labels: tuple[str, ...] = ()
    """One per example, '' where unknown."""
    named: str = ""
    """Hash of the labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTask:
    """One span, for all layers that still miss it: one forward pass serves them all."""

    span: Span
    layers: tuple[LayerSpec, ...]
    keys: tuple[str, ...]
    """One key per layer."""
    sample_limit: str
    images_limit: str
    statistics_key: str = ""
    """Key of the statistics of the images themselves, where they are missing."""

    @property
    def id(self) -> str:
        return fingerprint("scan", self.keys, self.statistics_key)

    @property
    def cached_input(self) -> str:
        """Return '': spans have nothing in common."""
        return ""

    def halves(self) -> tuple[ScanTask, ...]:
        """Return (): a span is read once for all layers."""
        return ()


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
    images_limit: str
    block: int
    dtypes: Mapping[str, str]
    """Number format of each recipe, by name."""
    random_ids: tuple[str, ...]
    """Examples chosen by hash, which say how alike any two images are."""
    known: Mapping[str, LayerSpec]
    """Every layer of the model that can be captured."""
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
                    keys=tuple(layer.scan_keys[number] for layer in missing),
                    sample_limit=self.sample_limit,
                    images_limit=self.images_limit,
                    statistics_key=of_images,
                )
                tasks.append(task)
        return tasks

    def optimize_tasks(self, done: Collection[str]) -> list[OptimizeTask]:
        """Return the share's missing pictures in blocks; a block is a fixed part of the sweep: no kill regroups it.

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
                if not self.share.has(part[0][0].key):
                    continue
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
