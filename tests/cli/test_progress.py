"""The lines of a run's progress, on a terminal and in a log file."""

from __future__ import annotations

import time
from io import StringIO

from rich.console import Console

from network_atlas.cli.progress import Progress


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def plain() -> tuple[Progress, StringIO, Clock]:
    file, clock = StringIO(), Clock()
    return Progress(Console(file=file, width=120), clock), file, clock


def terminal(width: int = 120) -> tuple[Progress, StringIO, Clock]:
    file, clock = StringIO(), Clock()
    return Progress(Console(file=file, force_terminal=True, width=width, _environ={}), clock), file, clock


def test_plain_lines_come_at_start_then_every_ten_seconds_then_at_the_end() -> None:
    progress, file, clock = plain()
    with progress:
        progress.stage("scan", total=40, unit="spans")
        for _ in range(40):
            clock.now += 1
            progress.advance()
    assert file.getvalue().splitlines() == [
        "scan        0/40 spans · 0 s so far",
        "scan        10/40 spans · 1.0/s · 30 s left · 10 s so far",
        "scan        20/40 spans · 1.0/s · 20 s left · 20 s so far",
        "scan        30/40 spans · 1.0/s · 10 s left · 30 s so far",
        "scan        40/40 spans · 1.0/s · took 40 s",
    ]


def test_the_rate_counts_only_items_of_this_run() -> None:
    progress, file, clock = plain()
    with progress:
        progress.stage("optimize", total=1000, already=980, unit="pictures")
        clock.now += 40
        progress.advance(10, note="layer3.5")
    assert "990/1,000 pictures · 15.0/min · 40 s left · 40 s so far · layer3.5" in file.getvalue()


def test_the_time_left_follows_the_work_if_units_differ() -> None:
    progress, file, clock = plain()
    with progress:
        progress.stage("optimize", total=4, unit="pictures", work=10.0)
        clock.now += 16
        progress.advance(work=8.0)
    assert "1/4 pictures · 3.8/min · 4 s left" in file.getvalue()


def test_a_finished_stage_says_nothing_to_do_once() -> None:
    progress, file, _ = plain()
    with progress:
        progress.stage("scan", total=8, already=8, unit="spans")
        progress.stage("optimize", total=0, unit="pictures")
    assert file.getvalue().splitlines() == ["scan        8/8 spans · nothing to do", "optimize    nothing to do"]


def test_a_single_unit_is_singular() -> None:
    progress, file, _ = plain()
    with progress:
        progress.stage("scan", total=1, unit="spans")
        progress.advance()
    assert "1/1 span · " in file.getvalue()
    assert "spans" not in file.getvalue()


def test_a_stage_that_stops_early_says_where_it_stopped() -> None:
    progress, file, clock = plain()
    with progress:
        progress.stage("scan", total=8, unit="spans")
        clock.now += 4000
        progress.advance(2)
    assert file.getvalue().splitlines()[-1] == "scan        2/8 spans · 1.8/h · stopped after 1 h 06 min"


def test_messages_are_printed_as_they_are() -> None:
    progress, file, _ = plain()
    with progress:
        progress.message("[bold]not markup[/bold] " + "long " * 60)
    assert file.getvalue().startswith("[bold]not markup[/bold] long")
    assert file.getvalue().count("\n") == 1


def test_terminal_shows_a_bar_per_stage_and_messages_above() -> None:
    progress, file, clock = terminal()
    with progress:
        progress.stage("scan", total=4, already=1, unit="spans")
        clock.now += 2
        progress.advance(3)
        progress.message("a layer has no channels")
        progress.stage("optimize", total=0, unit="pictures")
    text = file.getvalue()
    assert "━" in text
    assert "4/4 spans · 1.5/s · took 2 s" in text
    assert "nothing to do" in text
    assert text.index("a layer has no channels") < text.rindex("scan")


def test_a_narrow_terminal_still_shows_the_time_left() -> None:
    progress, file, clock = terminal(width=64)
    with progress:
        progress.stage("optimize", total=44, unit="pictures")
        clock.now += 25
        progress.advance(17)
        time.sleep(0.3)  # the bars are drawn ten times a second
    assert "17/44 pictures · 40.8/min · 40 s left" in file.getvalue()
