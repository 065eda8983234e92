"""Which examples a row lists: of each kind the best, at most one view of each image, and no near-copies.

    lists = ExampleLists(config=config.scan, views=1, image_of=source.image, looks=looks, differing_bits=6)
    lists.of_channel(scan, channel)       # rows with kind, rank, example_id, value, row, column, alike

The scan keeps so many examples that the best images are among them (`RunConfig.kept`). Where many images share the
value at a list's end, as all do on which a channel behind a ReLU is inactive, a fair sample of these stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.assemble.examples import Row
from network_atlas.config.schema import ScanConfig
from network_atlas.stats.merge import LayerScan
from network_atlas.stats.sample import sample_hash, spectrum

Looks = Callable[[str], int]
"""From an example_id to the bits of its perceptual hash (`dataset.looks`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleLists:
    """How lists of examples are chosen."""

    config: ScanConfig
    """How many examples of each kind are listed."""
    views: int
    """Views of one image that may stand in one list; 0 for any number."""
    image_of: Callable[[str], str]
    """From an example_id to the image that it is a view of."""
    looks: Looks | None = None
    """None: near-copies are not looked for."""
    differing_bits: int = 0
    """Examples whose hashes differ in no more bits look alike."""

    def of_channel(self, scan: LayerScan, channel: int) -> Iterator[Row]:
        """Yield the examples of a channel with `kind`, `rank` and `alike`; kinds from the highest to the lowest."""
        whole, sample, config = scan.whole, scan.sample, self.config
        means, maxima = sample.spatial_mean[:, channel], sample.spatial_maximum[:, channel]
        images = _images(sample.ids, self.image_of)
        middle = spectrum(means, config.spectrum_k, images=images, views=self.views or len(images))

        def sampled(indices: Iterable[int], values: NDArray[np.float32]) -> list[Row]:
            at = sample.spatial_maximum_at[:, channel]
            return [dict(scan.example(sample.ids[n], float(values[n]), int(at[n]))) for n in indices]

        def fair(best: Sequence[Mapping[str, Any]], values: NDArray[np.float32], *, alone: bool = False) -> list[Row]:
            return with_fair_ties(best, sampled(_tied(best, values, sample.ids), values), alone=alone)

        kinds = {
            "top": (config.top_k, fair(scan.examples(whole.top, channel), maxima)),
            "class": (config.class_k, scan.class_examples(channel)),
            "top_mean": (config.spectrum_k, fair(scan.examples(whole.top_mean, channel), means)),
            **{
                kind: (config.spectrum_k, sampled(middle[kind], means))
                for kind in ("slightly_positive", "zero", "slightly_negative")
            },
            "bottom_mean": (config.spectrum_k, fair(scan.examples(whole.bottom_mean, channel), means)),
            # A map whose largest value is the smallest of all has this value everywhere: it is inactive. Behind a ReLU
            # nearly every map is zero somewhere, so that these come before others whose smallest value is zero.
            "bottom": (config.bottom_k, fair(scan.examples(whole.bottom, channel), maxima, alone=True)),
        }
        for kind, (count, examples) in kinds.items():
            # Of a class there is one example, whatever it looks like.
            yield from self._numbered(
                kind, [{**e, "alike": 0} for e in examples] if kind == "class" else self.chosen(examples, count)
            )

    def of_reference(self, reference: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
        """Yield the best and the worst examples of a unit that is not a channel, from its values, highest first.

        An example is of one kind only, so that a small sample has fewer of each.
        """
        half = len(reference) // 2
        count = min(self.config.top_k, half)
        for kind, examples in (("top_mean", reference[:half]), ("bottom_mean", reference[::-1][:half])):
            yield from self._numbered(
                kind, [{**example, "row": None, "column": None} for example in self.chosen(examples, count)]
            )

    def _numbered(self, kind: str, examples: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
        for rank, example in enumerate(examples, start=1):
            yield {"kind": kind, "rank": rank, **example}

    def chosen(self, examples: Sequence[Mapping[str, Any]], count: int) -> list[Row]:
        """Return the first `count` examples that are not like an earlier one, each with the number of those like it.

        `alike` counts those that stand before the first example for which there is no room.
        """
        listed: list[Row] = []
        for example in examples:
            same = next((other for other in listed if self._looks_like(example, other)), None)
            of_image = [other for other in listed if self._shares_image(example, other)]
            if self.views and len(of_image) >= self.views:
                of_image[0]["alike"] += 1
            elif same is not None:
                same["alike"] += 1
            elif len(listed) == count:
                break
            else:
                listed.append({**example, "alike": 0})
        return listed

    def _shares_image(self, example: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        return self.image_of(example["example_id"]) == self.image_of(other["example_id"])

    def _looks_like(self, example: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        if self.looks is None or self._shares_image(example, other):  # views are different parts of an image
            return False
        differing = self.looks(example["example_id"]) ^ self.looks(other["example_id"])
        return differing.bit_count() <= self.differing_bits


@lru_cache(maxsize=4)
def _images(ids: tuple[str, ...], image_of: Callable[[str], str]) -> tuple[str, ...]:
    """Return the image of each example; cached, as every channel of a layer asks for the same ones."""
    return tuple(image_of(example_id) for example_id in ids)


def _tied(best: Sequence[Mapping[str, Any]], values: NDArray[np.float32], ids: Sequence[str]) -> list[int]:
    """Return the sampled examples that share the last value of a list, in an order that favours none."""
    if not best:
        return []
    return sorted(np.flatnonzero(values == np.float32(best[-1]["value"])).tolist(), key=lambda n: sample_hash(ids[n]))


def with_fair_ties(best: Sequence[Mapping[str, Any]], tied: Sequence[Row], *, alone: bool = False) -> list[Row]:
    """Return a list whose last, equal examples are a fair sample of all that have this value.

    Without that they would be those with the smallest ids. `tied` are the sampled examples with the value; where there
    are no more of them than in the list, it stays as it is. With `alone` they stand there alone, if there are any.
    """
    before = [dict(example) for example in best if example["value"] != best[-1]["value"]]
    if not tied or (len(tied) <= len(best) - len(before) and not alone):
        return [dict(example) for example in best]
    return [*before, *tied[: len(best) - len(before)]]
