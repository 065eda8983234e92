"""The page to compare, in a browser, of a real run with directions, pairs, sums and interpolations."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import composed, quietly, watched_page

UNITS = [
    'sweep.select.0.include=["conv2"]',
    'sweep.select.0.channels=":3"',
    "sweep.variants=[{objective: channel}, {objective: direction, directions: 3}, {objective: coactive}]",
    'sweep.combine=[{unit: "conv2:0 + conv2:1"}]',
    'sweep.interpolate=[{first: "conv2:0", last: "conv2:1", pictures: 3}]',
    "optimize.steps=1",
]


@pytest.fixture(scope="module")
def address(images: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the page to compare."""
    root = tmp_path_factory.mktemp("compared") / "atlas"
    quietly(composed(images, (*UNITS, f'store.root="{root}"')))
    return (root / "site" / "compare.html").as_uri()


@pytest.fixture
def page(address: str, browser: Any) -> Iterator[Any]:
    """The page, opened from disk; at the end it had no error."""
    with watched_page(browser, warnings=True) as page:
        page.goto(address)
        page.wait_for_function("() => document.body.dataset.ready === 'true'")
        yield page


@pytest.fixture
def sides(page: Any) -> Callable[..., list[str]]:
    """Return a function that opens two units by their names and waits for their headings."""

    def show(*names: str) -> list[str]:
        words = urllib.parse.urlencode(dict(zip("ab", names, strict=True)))
        page.goto(f"{page.url.split('#')[0]}#{words}")
        page.wait_for_function(
            "(names) => names.every((name, n) => document.querySelectorAll('.side h2')[n]?.textContent === name)",
            arg=list(names),
        )
        return [side.inner_text() for side in page.query_selector_all(".side")]

    return show


def test_units_that_are_no_channels_stand_side_by_side(page: Any, sides: Callable[..., list[str]]) -> None:
    channel, direction = sides("conv2:0", "conv2:random-0")
    assert "coactive+" in channel
    assert "EXCITE IT MOST" in direction
    assert "Reasons" in page.inner_text("#both")
    _, steps = sides("conv2:0 + conv2:1", "conv2:0 → conv2:1")
    assert [f"{number} of 3" in steps for number in (1, 2, 3)] == [True] * 3
    assert "best images" not in page.inner_text("#both")  # an interpolation has none
    assert "Largest value on an image" not in page.inner_text("#both")  # neither side has one
    page.wait_for_function("() => [...document.images].every((image) => image.complete && image.naturalWidth)")


def test_random_directions_stand_beside_the_channels_of_their_layer(page: Any) -> None:
    page.get_by_text("beside its channels").click()
    page.wait_for_function("() => document.querySelectorAll('.row-of .cell').length === 6")
    assert [side.inner_text().splitlines()[0] for side in page.query_selector_all(".side")] == [
        "conv2",
        "conv2: directions",
    ]
    assert "Units\t3\t3" in page.inner_text("#both")
    assert "Percentile among images, middle" in page.inner_text("#both")


def test_clicks_on_the_list_fill_the_left_side_and_then_the_right_one(page: Any) -> None:
    for number, unit in enumerate(("conv2:random-0", "conv2:random-1", "conv2:random-2")):
        page.click(f'.unit[data-unit="{unit}"]')
        side = min(number, 1)
        page.wait_for_function(
            "([side, unit]) => document.querySelectorAll('.side h2')[side]?.textContent === unit", arg=[side, unit]
        )
    assert "a=conv2%3Arandom-0&b=conv2%3Arandom-2" in page.url
