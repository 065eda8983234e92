"""An order of a layer's channels in which similar ones stand side by side. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def similarity_order(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the numbers of rows (0, 1, ...) in an order in which channels that move together are neighbours.

    Each row's `partners` are the channels that correlate most with it. Of these pairs the closest are joined until all
    that can be are: a maximum spanning tree (Kruskal 1956). It is walked from each channel to its closest neighbours
    first.
    Rows without partners come last, in their own order.
    """
    number_of = {row["channel"]: number for number, row in enumerate(rows)}
    pairs = sorted(
        (-partner["correlation"], number, number_of[partner["channel"]])
        for number, row in enumerate(rows)
        for partner in row.get("partners") or []
        if partner["channel"] in number_of and partner["correlation"] is not None
    )
    neighbours = _tree(pairs, len(rows))
    order: list[int] = []
    seen: set[int] = set()
    starts = [number for _, first, second in pairs for number in (first, second)]
    for start in (*starts, *range(len(rows))):
        stack = [start]
        while stack:
            number = stack.pop()
            if number not in seen:
                seen.add(number)
                order.append(number)
                stack.extend(reversed(neighbours[number]))  # the closest was joined first, and is visited next
    return order


def _tree(pairs: Sequence[tuple[float, int, int]], count: int) -> list[list[int]]:
    """Return the neighbours of each row in the spanning tree, the closest first; `pairs` are sorted, closest first."""
    group = list(range(count))

    def root(number: int) -> int:
        while group[number] != number:
            group[number] = group[group[number]]
            number = group[number]
        return number

    neighbours: list[list[int]] = [[] for _ in range(count)]
    for _, first, second in pairs:
        if root(first) != root(second):
            group[root(first)] = root(second)
            neighbours[first].append(second)
            neighbours[second].append(first)
    return neighbours
