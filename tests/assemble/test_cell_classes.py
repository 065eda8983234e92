"""The classes of a map's cells, against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest

from network_atlas.assemble.cell_classes import CellClasses
from network_atlas.stats.chance import EXCEEDED, PERMUTATIONS

IMAGES, PLANTED = 60, 7
"""The first few images have a high logit of class 3, and their logits of class 5 are next."""


@pytest.fixture(scope="module")
def logits() -> dict[str, np.ndarray]:
    values = np.random.default_rng(0).normal(size=(IMAGES, 8))
    values[:PLANTED, 3] += 9
    values[:PLANTED, 5] += 6
    values[:, 6] = 2.5  # a class that never moves
    return {f"{number:02d}": row for number, row in enumerate(values)}


def itself(logits: dict[str, np.ndarray]) -> dict[str, str]:
    return {example: example for example in logits}


def test_the_value_of_a_class_is_the_mean_of_standardized_logits(logits: dict[str, np.ndarray]) -> None:
    found = CellClasses(logits, itself(logits)).of([f"{number:02d}" for number in range(4)])
    assert [number for number, _ in found.classes[:2]] == [3, 5]
    assert found.classes[1][1] > (found.chance or 99) > found.classes[2][1]
    assert len(found.classes) == 5
    for number, value in found.classes:
        column = [float(row[number]) for row in logits.values()]
        mean = sum(column) / IMAGES
        deviation = (sum((each - mean) ** 2 for each in column) / IMAGES) ** 0.5
        assert value == pytest.approx(sum((each - mean) / deviation for each in column[:4]) / 4)


def test_classes_of_images_by_chance_are_above_the_level_in_about_one_of_a_hundred_cases(
    logits: dict[str, np.ndarray],
) -> None:
    classes, names, random = CellClasses(logits, itself(logits)), sorted(logits), np.random.RandomState(5)
    cells = [classes.of(random.choice(names, 4, replace=False)) for _ in range(1000)]
    assert 0 < sum(cell.classes[0][1] > (cell.chance or 0.0) for cell in cells) < 40


def test_the_level_is_the_second_largest_of_the_best_by_chance(logits: dict[str, np.ndarray]) -> None:
    values = np.array([logits[name] for name in sorted(logits)])
    units = np.delete((values - values.mean(axis=0)) / np.where(values.std(axis=0) > 0, values.std(axis=0), 1), 6, 1)
    random, best = np.random.RandomState(0), []
    for _ in range(PERMUTATIONS):
        best.append(max(units[random.permutation(IMAGES)[:3]].mean(axis=0)))
    found = CellClasses(logits, itself(logits)).of(["00", "01", "02"])
    assert found.chance == pytest.approx(sorted(best)[-EXCEEDED])


def test_views_of_one_image_count_as_one(logits: dict[str, np.ndarray]) -> None:
    twice = {f"{name} {view}": row + view for name, row in logits.items() for view in (-1, 1)}
    views = CellClasses(twice, {example: example.split()[0] for example in twice})
    (once, of_views) = (CellClasses(logits, itself(logits)).of(["00", "01"]), views.of(["00 -1", "00 1", "01 1"]))
    assert [number for number, _ in of_views.classes] == [number for number, _ in once.classes]
    assert [value for _, value in of_views.classes] == pytest.approx([value for _, value in once.classes])
    assert of_views.chance == pytest.approx(once.chance)


def test_images_without_finite_logits_do_not_count(logits: dict[str, np.ndarray]) -> None:
    broken = {**logits, "nan": np.full(8, np.nan)}
    classes = CellClasses(broken, {**itself(broken), "unknown": "unknown"})
    whole = CellClasses(logits, itself(logits))
    assert classes.of(["00", "01", "nan", "unknown"]) == whole.of(["00", "01"])
    assert classes.of(["nan"]).classes == ()
    assert classes.of(["unknown"]).chance is None


@pytest.mark.parametrize("count", [0, 1])
def test_of_one_image_or_none_nothing_is_said(count: int, logits: dict[str, np.ndarray]) -> None:
    few = dict(list(logits.items())[:count])
    found = CellClasses(few, {"00": "00"}).of(["00"])
    assert (found.classes, found.chance) == ((), None)


def test_of_a_cell_of_all_images_nothing_is_said_for_there_are_no_others(logits: dict[str, np.ndarray]) -> None:
    classes = CellClasses(logits, itself(logits))
    assert classes.of(sorted(logits)).classes == ()
    assert classes.of(sorted(logits)[1:]).classes
