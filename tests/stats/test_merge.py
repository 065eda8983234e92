from __future__ import annotations

import pytest

from network_atlas.errors import MergeError
from network_atlas.stats.partial import check_cover


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ([(0, 4), (6, 10)], "no partial covers the examples 4..6"),
        ([(0, 6), (4, 10)], "two partials cover the examples 4..6"),
        ([(0, 4), (4, 8)], "cover 8 examples, the dataset has 10"),
        ([], "cover 0 examples"),
    ],
)
def test_a_gap_or_an_overlap_is_named(spans: list[tuple[int, int]], words: str) -> None:
    with pytest.raises(MergeError, match=words):
        check_cover(spans, 10)
