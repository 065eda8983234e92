from __future__ import annotations

import dataclasses
import time
from functools import partial

import numpy as np
import pytest

from network_atlas.config.compose import compose
from network_atlas.layers import LayerSpec
from network_atlas.scan.helpers import Helpers
from network_atlas.stats.partial import Partial
from network_atlas.stats.reduced import FIELDS, Reduced

CHANNELS, EXAMPLES = 5, 90
LAYER = LayerSpec(index=0, name="layer", type="Conv2d", channels=CHANNELS, height=3, width=3)


def some_numbers() -> Reduced:
    generator = np.random.default_rng(0)
    fields = {name: generator.integers(0, 9, (EXAMPLES, CHANNELS)).astype(type_) for name, type_ in FIELDS.items()}
    return Reduced(**fields, vectors=np.zeros((0, CHANNELS), np.float16), centre=np.zeros((0, CHANNELS), np.float32))


def test_statistics_taken_in_side_by_side_are_the_same() -> None:
    config, reduced = compose([]).kept, some_numbers()
    numbers, classes = np.arange(EXAMPLES), np.arange(EXAMPLES, dtype=np.int32) % 3
    partials = [Partial.empty([LAYER], config, start=0, stop=EXAMPLES, labels=("a", "b", "c")) for _ in range(2)]
    partials[0].update(reduced, numbers, classes)
    Helpers(3).do(partials[1].updates(reduced, numbers, classes))
    first, second = (dataclasses.asdict(partial) for partial in partials)
    np.testing.assert_equal(second, first)
    assert first["spatial_mean"]["count"].tolist() == [EXAMPLES] * CHANNELS


def test_what_a_helper_raises_is_raised() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Helpers(2).do([lambda: None, fail])


def test_others_are_done_before_what_a_helper_raises_is_raised() -> None:
    done = []

    def fail() -> None:
        raise ValueError("no")

    def take_long() -> None:
        time.sleep(0.05)
        done.append("long")

    with pytest.raises(ValueError, match="no"):
        Helpers(2).do([fail, take_long])
    assert done == ["long"]


@pytest.mark.parametrize("count", [1, 3])
def test_results_are_in_the_order_of_the_work(count: int) -> None:
    def slowly(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    asked = [0.03, 0.0, 0.01]
    assert Helpers(count).do([partial(slowly, seconds) for seconds in asked]) == asked
