"""Cut a dataset into spans at places that its images decide, and name each by all that determines its scan. Pure.

A span ends at the example with the smallest hash of its id within reach: from half of `scan.span` examples behind the
last cut to one and a half times as many. Whatever an image is inserted, removed or changed before, the next cuts are
soon the same ones again, so that the spans behind are the same results. Fixed places would move all of them.
Chunks that the content decides are those of Muthitacharoen, Chen and Mazières (2001); to cut at an extreme value within
a window, which bounds their sizes, is after Bjørner, Blass and Gurevich (2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from network_atlas.config.declare import SCAN
from network_atlas.config.determines import determining
from network_atlas.config.schema import RunConfig
from network_atlas.fingerprints import fingerprint
from network_atlas.plan.contents import Span
from network_atlas.stats.sample import digest, sample_hash

STATISTICS_ALGORITHM = 2
"""Raise this number when the statistics of the same images change."""
SCAN_ALGORITHM = 9
"""Raise this number when the same scan gives other numbers."""


def spans_of(
    examples: Sequence[tuple[str, str]],
    labels: Sequence[str],
    config: RunConfig,
    *,
    sample_limit: str,
    images_limit: str,
) -> tuple[Span, ...]:
    """Return the spans of a dataset: pairs of (example_id, version), sorted by id, with a label each.

    The limits are the largest hashes of an example whose values are kept, and of one whose pixels are measured.
    """
    # Settings that change the pixels behind an id: the seed of the views, and the size limit of an image.
    reading = determining(config.dataset, SCAN)
    spans = []
    for start, stop in pairwise([0, *cuts([example_id for example_id, _ in examples], config.scan.span)]):
        part, part_labels = examples[start:stop], tuple(labels[start:stop])
        ids = tuple(example_id for example_id, _ in part)
        hashes = [sample_hash(example_id) for example_id in ids]
        spans.append(
            Span(
                start=start,
                stop=stop,
                example_ids=ids,
                # Without its start: the same images behind others are the same result.
                content=fingerprint("span", part, reading),
                labels=part_labels,
                named=fingerprint("labels", part_labels),
                sampled=sum(hash_ <= sample_limit for hash_ in hashes),
                measured=sum(hash_ <= images_limit for hash_ in hashes),
            )
        )
    return tuple(spans)


def cuts(example_ids: Sequence[str], size: int) -> list[int]:
    """Return the end of each span of examples, in rising order: spans have about `size`, and half as many more at most.

    Only the last may have less than half.
    """
    least, most, count = (size + 1) // 2, size + size // 2, len(example_ids)
    hashes = np.array([int.from_bytes(digest(example_id, "span")[:8], "big") for example_id in example_ids], np.uint64)
    ends = [0]
    while count - ends[-1] > most:
        first = ends[-1] + least - 1
        ends.append(first + int(hashes[first : ends[-1] + most].argmin()) + 1)
    return [*ends[1:], count] if count else []


def scanned_how(spans: Sequence[Span], config: RunConfig) -> tuple[str, ...]:
    """Return, for each span, a hash of all that determines its scan except the layer."""
    settings = (determining(config.model.input, SCAN), determining(config.scan, SCAN))
    # How many are sampled says which: those with the smallest hashes. The limit itself changes as the dataset grows.
    return tuple(
        fingerprint("scan", SCAN_ALGORITHM, span.content, span.named, span.sampled, settings) for span in spans
    )


def statistics_keys(spans: Sequence[Span], config: RunConfig) -> tuple[str, ...]:
    """Return, for each span, the key of the statistics of its images, which do not depend on the network."""
    settings = determining(config.model.input, SCAN)
    return tuple(fingerprint("dataset", STATISTICS_ALGORITHM, span.content, span.measured, settings) for span in spans)
