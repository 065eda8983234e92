"""Command lines that a new user may type, and the suggestion after each mistake."""

from __future__ import annotations

import pytest

from network_atlas.cli.arguments import parse
from network_atlas.cli.help_texts import SUMMARIES


def message(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is printed for a mistaken command line."""
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["resnet50"], "atlas run model=torchvision model.name=resnet50"),
        (["efficientnet_lite0"], "atlas run model=efficientnet_lite0"),
        (["sweep=all", "store.root=a b"], "atlas run sweep=all 'store.root=a b'"),
        (["plam", "sweep=all"], "atlas plan"),
        (["atlases/resnet50"], "atlas view atlases/resnet50"),
        (["plan", "--nonsense"], "atlas plan --help"),
        (["show"], "atlas view"),
        (["version"], "atlas --version"),
        (["resume", "sweep=all"], "atlas run"),
        (["view", "a", "b"], "atlas view --help"),
        (["view", "--port", "many"], "atlas view --help"),
        (["--nonsense"], "atlas --help"),
    ],
)
def test_a_mistake_ends_with_the_line_to_write(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = message(*words, capsys=capsys)
    assert text.endswith(f"{line}\n")
    assert text.startswith("atlas: ")
    assert text.count("\n") <= 2


def test_settings_with_dashes_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Settings have no dashes" in message("plan", "--model", "resnet50", capsys=capsys)
    assert "Settings have no dashes" not in message("status", "--model", "resnet50", capsys=capsys)


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    text = message(capsys=capsys)
    assert all(f"    {name} " in text for name in SUMMARIES)


@pytest.mark.parametrize(
    ("words", "beginning"), [(["help"], "usage: atlas [-h]"), (["help", "plan"], "usage: atlas plan")]
)
def test_the_word_help_shows_the_help(words: list[str], beginning: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(beginning)


def test_overrides_may_stand_around_flags() -> None:
    options = parse(["plan", "sweep=all", "-m", "optimize.steps=1,2", "--json", "model=a"])
    assert options.overrides == ["sweep=all", "optimize.steps=1,2", "model=a"]
    assert options.multirun
    assert options.json
