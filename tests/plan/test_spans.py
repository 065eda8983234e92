"""Where a dataset is cut, and what becomes of the spans when images come, go and change."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import mean

import pytest
from planning import plan_of

from network_atlas.config.schema import RunConfig
from network_atlas.plan.plan import Plan
from network_atlas.plan.spans import cuts, scanned_how, spans_of, statistics_keys
from network_atlas.stats.sample import LARGEST, sample_hash

Tiny = Callable[..., RunConfig]
NAMES = sorted(f"{sample_hash(str(number))}.jpg" for number in range(3000))
SIZE = 50


def parts(names: Sequence[str], size: int = SIZE) -> set[tuple[str, ...]]:
    return {tuple(names[start:stop]) for start, stop in pairwise([0, *cuts(names, size)])}


def rescanned(before: Sequence[str], after: Sequence[str]) -> int:
    return len(parts(after) - parts(before))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 50, 51, 4096])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 60, 3000])
def test_spans_cover_all_in_order_and_have_about_the_size_that_was_asked_for(size: int, count: int) -> None:
    ends = cuts(NAMES[:count], size)
    sizes = [stop - start for start, stop in pairwise([0, *ends])]
    assert sum(sizes) == count
    assert all(sizes)
    assert all((size + 1) // 2 <= length <= size + size // 2 for length in sizes[:-1])
    assert all(length <= size + size // 2 for length in sizes)
    if count > 20 * size:
        assert mean(sizes) == pytest.approx(size, rel=0.15)


def test_an_image_more_or_less_leaves_all_but_about_one_span_as_it_was() -> None:
    chosen = random.Random(1).sample(NAMES, 150)
    fewer = [rescanned(NAMES, [name for name in NAMES if name != gone]) for gone in chosen]
    more = [rescanned([name for name in NAMES if name != new], NAMES) for new in chosen]
    assert mean(fewer) < 1.3
    assert mean(more) < 1.3
    assert max(fewer + more) <= 4


def test_many_images_more_cost_about_as_many_spans() -> None:
    new = set(random.Random(2).sample(NAMES, 10))
    assert rescanned([name for name in NAMES if name not in new], NAMES) <= 14


def test_images_behind_all_others_touch_the_last_spans_only() -> None:
    assert parts(NAMES[:2900]) - parts(NAMES) <= {max(parts(NAMES[:2900]))}


def test_the_place_of_a_span_is_no_part_of_its_keys(tiny: Tiny) -> None:
    examples = [(name, "1kB") for name in NAMES[:300]]
    config = tiny("scan.span=20")
    before, after = (plan_of(config, examples=part) for part in (examples, [("0.jpg", "1kB"), *examples]))
    kept = _keys_by_examples(before)
    old = {ids: kept.get(ids) for ids in _keys_by_examples(after)}
    assert list(old.values()).count(None) == 1
    assert {ids: keys for ids, keys in old.items() if keys} == {
        ids: keys for ids, keys in _keys_by_examples(after).items() if old[ids]
    }


def _keys_by_examples(plan: Plan) -> dict[tuple[str, ...], tuple[str, ...]]:
    columns = zip(plan.statistics_keys, *(layer.scan_keys for layer in plan.layers), strict=True)
    return {span.example_ids: keys for span, keys in zip(plan.spans, columns, strict=True)}


def test_a_span_is_the_same_until_the_sample_has_other_examples_of_it(tiny: Tiny) -> None:
    config, examples = tiny("scan.span=20"), [(name, "1kB") for name in NAMES[:200]]
    hashes = sorted(sample_hash(name) for name, _ in examples)

    def of(limit: str, images: str = LARGEST) -> tuple[tuple[str, ...], tuple[str, ...]]:
        spans = spans_of(examples, [""] * len(examples), config, sample_limit=limit, images_limit=images)
        return scanned_how(spans, config), statistics_keys(spans, config)

    assert of(hashes[50]) == of(f"{int(hashes[51], 16) - 1:016x}")
    before, after = of(hashes[50]), of(hashes[51])
    assert sum(old != new for old, new in zip(before[0], after[0], strict=True)) == 1
    assert before[1] == after[1]
    fewer = of(hashes[50], hashes[50])
    assert fewer[0] == before[0]
    assert fewer[1] != before[1]
