"""The rate of a stage, computed from the times of its commits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from network_atlas.run import pace
from network_atlas.run.pace import RECENT_SECONDS, Commit


def even(count: int, *, every: float = 10, seconds: float = 10, start: float = 1000, items: int = 4) -> list[Commit]:
    """Return commits at equal intervals; if `seconds` is larger than `every`, those of several workers."""
    return [Commit(start + every * (number + 1), seconds, items) for number in range(count)]


def items_per_second(commits: list[Commit]) -> float | None:
    return pace.items_per_second(sorted(commits, key=lambda commit: commit.finished, reverse=True))


def test_without_items_there_is_no_rate() -> None:
    assert items_per_second([]) is None
    assert items_per_second([Commit(100.0, 5, 0)]) is None


def test_tasks_without_planned_items_do_not_count() -> None:
    assert items_per_second([*even(20), *even(3, start=2000, items=0)]) == pytest.approx(0.4)


def test_a_single_task_has_its_own_rate() -> None:
    assert items_per_second(even(1)) == pytest.approx(0.4)


@pytest.mark.parametrize("count", [2, 10, 1000])
def test_one_worker_has_the_rate_of_its_tasks(count: int) -> None:
    assert items_per_second(even(count)) == pytest.approx(0.4, rel=0.05)


def test_workers_count_together() -> None:
    assert items_per_second(even(800, every=2, seconds=20)) == pytest.approx(2.0, rel=0.05)


def test_long_tasks_in_waves_count_as_waves() -> None:
    waves = [Commit(1200.0 * wave + worker, 1200, 16) for wave in (1, 2, 3, 4, 5) for worker in range(8)]
    assert items_per_second(waves) == pytest.approx(8 * 16 / 1200, rel=0.25)


def test_the_time_between_two_runs_does_not_count() -> None:
    assert items_per_second([*even(20), *even(5, start=4000)]) == pytest.approx(0.4)


def test_commits_of_long_ago_do_not_count() -> None:
    slow, fast = even(50, items=1), even(200, start=1500, items=8)
    assert RECENT_SECONDS < 2000
    assert items_per_second([*slow, *fast]) == pytest.approx(0.8, rel=0.05)


def test_old_commits_are_not_read() -> None:
    def endless() -> Iterator[Commit]:
        yield from (Commit(10_000.0 - number, 1, 1) for number in range(2000))
        raise AssertionError("looked at a commit of half an hour ago")

    assert pace.items_per_second(endless()) == pytest.approx(1.0, rel=0.05)
