"""Everything gathered about some layers over one span: running statistics of all their channels side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from network_atlas.config.schema import ScanConfig
from network_atlas.plan.tasks import ScanTask
from network_atlas.scan.helpers import NO_HELPERS, Helpers
from network_atlas.stats.classes import ClassSums
from network_atlas.stats.partial import Partial
from network_atlas.stats.reduced import Reduced
from network_atlas.stats.sample import sample_hash
from network_atlas.stats.sampled import RunningSample, Sampled


class SpanScan:
    """The scan of one task: turns indices in the span into classes and ids, and updates the statistics."""

    def __init__(self, task: ScanTask, config: ScanConfig, helpers: Helpers = NO_HELPERS) -> None:
        self._helpers = helpers
        span, layers = task.span, task.layers
        # Sorted: the numbers of the classes must not depend on which example comes first.
        labels = tuple(sorted({label for label in span.labels if label})) if config.class_k else ()
        self._task = task
        self._sizes = [layer.channels for layer in layers]
        self._class_numbers = {label: number for number, label in enumerate(labels)}
        # Known before any image is read, so that the arrays of the sample have their size from the start.
        self._sampled = [sample_hash(example_id) <= task.sample_limit for example_id in span.example_ids]
        self._sample = RunningSample(layers, sum(self._sampled))
        self._class_sums = ClassSums.empty(self._sizes, labels=labels)
        self.partial = Partial.empty(layers, config, start=0, stop=len(span.example_ids), labels=labels)

    def update(self, reduced: Reduced, indices: Sequence[int]) -> None:
        """Take in some examples, which stand at `indices` of the span, in rising order."""
        # First of all, so that every statistic below leaves out the same examples.
        span, reduced = self._task.span, reduced.without_non_finite(self._sizes)
        numbers = np.array(indices, np.int64)
        classes = np.array([self._class_numbers.get(span.labels[index], -1) for index in indices], np.int32)
        images = [image for image, index in enumerate(indices) if self._sampled[index]]
        ids, labels = ([values[indices[image]] for image in images] for values in (span.example_ids, span.labels))
        works: list[Callable[[], None]] = [
            *self.partial.updates(reduced, numbers, classes),
            partial(self._class_sums.update, reduced.spatial_mean, reduced.spatial_maximum, classes),
            partial(self._sample.update, reduced, images, ids, labels),
        ]
        self._helpers.do(works)

    @property
    def class_sums(self) -> ClassSums:
        """Return the sums of the classes that had a readable example."""
        return self._class_sums.present

    @property
    def sampled(self) -> Sampled:
        """Return the values of the sampled examples."""
        return self._sample.result
