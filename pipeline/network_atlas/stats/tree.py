"""Merge many parts in a tree of fixed shape: few roundings, few parts in memory, the same bits every time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Part = TypeVar("Part")


def merge_tree(parts: Iterable[Part], merge: Callable[[Part, Part], Part]) -> Part:
    """Return all parts merged, each with its neighbour, those pairs with theirs, and so on.

    The shape of the tree follows from the number of parts alone. Parts are taken one after the other and merged as
    soon as they can be, so that no more than log2 of them are held. Raises ValueError if there is none.
    """
    stack: list[tuple[int, Part]] = []
    for part in parts:
        size = 1
        while stack and stack[-1][0] == size:
            part, size = merge(stack.pop()[1], part), 2 * size
        stack.append((size, part))
    if not stack:
        raise ValueError("there is nothing to merge")
    _, whole = stack.pop()
    while stack:
        whole = merge(stack.pop()[1], whole)
    return whole
