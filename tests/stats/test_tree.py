from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network_atlas.stats.tree import merge_tree


@given(st.integers(1, 40))
def test_parts_are_merged_in_order_and_evenly(count: int) -> None:
    most = 0

    def merge(left: tuple[str, int], right: tuple[str, int]) -> tuple[str, int]:
        nonlocal most
        most = max(most, left[1], right[1])
        return left[0] + right[0], 1 + max(left[1], right[1])

    text, depth = merge_tree(((f"{number};", 0) for number in range(count)), merge)
    assert text == "".join(f"{number};" for number in range(count))
    assert depth <= (count - 1).bit_length() + 1  # roundings grow with the depth


def test_few_parts_are_held_at_once() -> None:
    alive = most = 0

    class Part:
        def __init__(self) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

    def merge(left: Part, right: Part) -> Part:
        nonlocal alive
        alive -= 2
        return Part()

    merge_tree((Part() for _ in range(1000)), merge)
    assert most <= 11


def test_nothing_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="nothing"):
        merge_tree([], lambda left, right: left)
