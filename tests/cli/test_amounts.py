"""The text of durations, rates and sizes."""

from __future__ import annotations

import pytest

from network_atlas.cli.amounts import duration, rate, relative, size, unit_of


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (18_720, "5 h 12 min"),
        (36_000_000, "10,000 h 00 min"),
    ],
)
def test_a_duration_is_rounded_before_its_units_are_chosen(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("per_second", "text"), [(2.12, "2.1/s"), (0.25, "15.0/min"), (0.0005, "1.8/h")])
def test_a_rate_has_the_smallest_unit_with_at_least_one_item(per_second: float, text: str) -> None:
    assert rate(per_second) == text


@pytest.mark.parametrize(("count", "text"), [(12, "12 B"), (1500, "1.5 kB"), (12e6, "12 MB"), (3.2e12, "3.2 TB")])
def test_a_size_has_at_most_three_digits(count: float, text: str) -> None:
    assert size(count) == text


def test_a_ratio_has_one_digit() -> None:
    assert relative(2.4e-7) == "2e-7"


def test_a_total_of_one_is_singular() -> None:
    assert unit_of(1, "layer spans") == "layer span"
    assert unit_of(2, "layer spans") == "layer spans"
