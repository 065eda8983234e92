"""Text in pictures: fonts that have its letters, lines that fit."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network_atlas.site.lettering import fitted, font_for, missing

SIZE_PX = 12


def test_the_font_of_pillow_has_the_letters_of_english_alone() -> None:
    pillows = font_for("", SIZE_PX)
    assert missing("conv #1 100%:3 & <b>", pillows) == set()
    assert missing("Größe 猫", pillows) == {"ö", "ß", "猫"}


def test_other_text_is_set_in_the_first_font_that_has_most_of_its_letters() -> None:
    pillows = font_for("", SIZE_PX)
    matplotlib = find_spec("matplotlib")  # it brings fonts
    if matplotlib is None or matplotlib.origin is None:
        pytest.skip("needs matplotlib")
    folder = Path(matplotlib.origin).parent / "mpl-data/fonts/ttf"
    names = "nowhere.ttf", str(folder / "cmr10.ttf"), str(folder / "DejaVuSans.ttf"), str(folder / "DejaVuSerif.ttf")
    assert font_for("conv2:3", SIZE_PX, names) is pillows
    assert font_for("Größe", SIZE_PX, ("nowhere.ttf",)) is pillows
    for text, lacking in [("Größe", set()), ("слой 猫", {"猫"})]:
        font = font_for(text, SIZE_PX, names)
        assert font.getname() == ("DejaVu Sans", "Book")  # type: ignore[union-attr]
        assert missing(text, font) == lacking


@given(st.text(max_size=80), st.integers(1, 30), st.integers(1, 3))
def test_no_line_is_too_long(text: str, width: int, lines: int) -> None:
    shown = fitted(text, lambda line: len(line) <= width, lines)
    assert 1 <= len(shown) <= lines
    assert all(len(line) <= width for line in shown)


def test_short_text_stays_and_of_long_text_the_middle_goes() -> None:
    fits = lambda line: len(line) <= 20  # noqa: E731
    assert fitted("features.3.conv:17 channel+", fits, 2) == ["features.3.conv:17", "channel+"]
    assert fitted("golden\nretriever", fits, 2) == ["golden retriever"]
    names = [f"features.denseblock4.denselayer16.conv2:{number}" for number in (3, 4)]
    first, second = (fitted(name, fits, 2) for name in names)
    assert first[0].startswith("features.dense")
    assert (first[1][-2:], second[1][-2:]) == (":3", ":4")
    assert fitted("x" * 300, fits, 1) == ["xxxxxxxxx...xxxxxxxx"]
