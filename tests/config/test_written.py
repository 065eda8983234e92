"""Overrides that are written are read as the same values."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from network_atlas.config.written import override

PARSER = OverridesParser.create()
TEXTS = st.text(st.characters(codec="utf-8")) | st.text("\\\"', =:[]{}()$#%~azé0.-\n", max_size=8)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b_1"]), inner),
    max_leaves=4,
)
HARD = [
    *('a "b"=c.pth', "C:\\runs\\a.pth", "ends in \\", 'a\\"b', "\\\\", "${x}, 'y'"),
    *("a,b", "", "null", "TRUE", "inf", "1e5"),
]


def read(line: str) -> Any:
    """Return the value that the grammar of the command line reads, mappings and lists as such."""
    (parsed,) = PARSER.parse_overrides([line])
    assert not parsed.is_sweep_override()
    return parsed.value()


@pytest.mark.parametrize("text", HARD)
def test_a_path_is_one_override_whatever_it_holds(text: str) -> None:
    assert read(override("model.weights", text)) == text


@given(VALUES)
def test_every_value_is_read_as_it_was_written(value: object) -> None:
    assert repr(read(override("model.arguments", value))) == repr(value)


@pytest.mark.parametrize("text", ["resnet50", "my_package.module:build", "/runs/a-1.pth", "s3://bucket/a.pth"])
def test_a_plain_word_has_no_quotes(text: str) -> None:
    assert override("model.name", text) == f"model.name={text}"
    assert read(override("model.name", text)) == text
