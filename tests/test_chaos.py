"""Kills of any part at any time: the tables stay the same, and every unit is there once. More: `scripts/chaos`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import KILLS, KINDS, RECEIPTS, Chaos, Report, schedule
from forked import Forking
from snapshots import Snapshot, differences

SEEDS = (280, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in (83, 173)))
"""280: a node early in the run, a driver later, a worker last. The others: each of the three early, and late."""


def test_a_seed_stands_for_one_schedule() -> None:
    schedules = [schedule(seed) for seed in range(30)]
    assert schedules == [schedule(seed) for seed in range(30)]
    assert {kill.kind for kills in schedules for kill in kills} == set(KINDS)
    for kills in schedules:
        assert KILLS[0] <= len(kills) <= KILLS[1]
        moments = [kill.receipts for kill in kills]
        assert moments == sorted(moments)
        assert max(moments) < RECEIPTS


def test_lost_double_and_different_units_are_reported() -> None:
    receipts = Counter({("optimize", "a"): 1, ("optimize", "b"): 1})
    whole = Snapshot({"atlas": ("1", "2"), "examples": ("x",)}, Counter("ab"), receipts)
    other = Snapshot({"atlas": ("1", "3"), "examples": ("x",)}, Counter("aa"), receipts - Counter([("optimize", "b")]))
    assert (whole.lost(whole), whole.double, differences(whole, whole)) == (0, 0, [])
    assert (other.lost(whole), other.double, differences(other, whole)) == (2, 1, ["atlas"])
    assert Report(1, Counter(), 0, 0, (), 1.0).ok
    assert not any(Report(1, Counter(), *bad, 1.0).ok for bad in ((1, 0, ()), (0, 1, ()), (0, 0, ("atlas differs",))))


@pytest.fixture(scope="module")
def chaos(forking: Forking, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    folder: Path = tmp_path_factory.mktemp("chaos")
    with Chaos(folder, forking=forking) as cluster:
        yield cluster


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("seed", SEEDS)
def test_a_schedule_of_kills_changes_nothing(chaos: Chaos, seed: int) -> None:
    report = chaos.disturbed(seed)
    assert report.ok, report
