"""Show the progress of a run on stderr: live bars on a terminal, otherwise a plain line every ten seconds.

    with Progress() as progress:
        progress.stage("scan", total=8, already=2, unit="spans")
        progress.advance()            # scan        3/8 spans · 2.1/s · 3 s left

`already` is the number of units that earlier runs did: they fill the bar, but do not count for the rate. If units take
unequal times, `work` is the amount of work in any measure: of the whole stage in `stage`, of the units just done in
`advance`. The time left is computed from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.progress import Task as BarTask
from rich.text import Text

from network_atlas.cli.amounts import duration, rate, unit_of

WIDE = 90
"""Columns of a terminal from which a long bar leaves enough space for the text beside it."""
LINE_SECONDS = 10.0
"""Least time between two plain lines of one stage."""


@dataclass(slots=True)
class Stage:
    """One stage: its counts, and the times of its start and end, in seconds of the clock."""

    name: str
    total: int
    already: int
    unit: str
    started: float
    done: int = 0
    """Units done by this run, without `already`."""
    work: float = 0.0
    worked: float = 0.0
    ended: float | None = None
    note: str = ""

    @property
    def complete(self) -> bool:
        return self.already + self.done >= self.total

    def describe(self, now: float) -> str:
        """Return the line of the stage, such as '3/8 spans · 2.1/s · 5 s left · layer3'."""
        parts = [f"{self.already + self.done:,}/{self.total:,} {unit_of(self.total, self.unit)}"] if self.total else []
        if self.complete and not self.done:
            return " · ".join([*parts, "nothing to do"])
        seconds = (now if self.ended is None else self.ended) - self.started
        if self.done:
            parts.append(rate(self.done / max(seconds, 1e-3)))  # the clock may not have advanced yet
        if self.complete:
            return " · ".join([*parts, f"took {duration(seconds)}"])
        if self.ended is not None:
            return " · ".join([*parts, f"stopped after {duration(seconds)}"])
        if self.done:
            parts.append(f"{duration(seconds * self._left_by_done())} left")
        parts.append(f"{duration(seconds)} so far")
        return " · ".join([*parts, self.note] if self.note else parts)

    def _left_by_done(self) -> float:
        """Return the work left as a multiple of the work done."""
        if self.worked:
            return max(0.0, self.work / self.worked - 1)
        return (self.total - self.already - self.done) / self.done


class Progress:
    """Shows the stages of a run, one after the other. A stage ends when it is complete or the next one begins."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._stage: Stage | None = None
        self._last_line = 0.0
        self._bar: TaskID | None = None
        self._bars: Bars | None = None
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description:<10}"),
                BarColumn(bar_width=24 if self._console.width >= WIDE else 8),
                StageColumn(clock),
            )
            self._bars = Bars(*columns, console=self._console, redirect_stdout=False)

    def stage(self, name: str, total: int, already: int = 0, unit: str = "tasks", work: float = 0.0) -> None:
        """Begin a stage of `total` units, of which `already` were done by earlier runs."""
        self._end()
        stage = self._stage = Stage(name, total, already, unit, started=self._clock(), work=work)
        if self._bars is not None:
            # A total of 0 means "unknown" to rich, which would then show a pulsing bar.
            self._bar = self._bars.add_task(name, total=max(total, 1), completed=already if total else 1, stage=stage)
        if stage.complete:
            self._end()
        else:
            self._line(stage)

    def advance(self, count: int = 1, note: str = "", work: float = 0.0) -> None:
        """Count more units as done; `note` names the current work."""
        stage = self._stage
        assert stage is not None, "advance comes after stage"
        stage.done += count
        stage.worked += work
        stage.note = note
        if self._bars is not None and self._bar is not None:
            self._bars.advance(self._bar, count)
        if stage.complete:
            self._end()
        elif self._clock() - self._last_line >= LINE_SECONDS:
            self._line(stage)

    def message(self, text: str) -> None:
        """Print a line of its own, above the bars."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _end(self) -> None:
        """End the present stage, if any, and print its last line."""
        stage = self._stage
        if stage is not None and stage.ended is None:
            stage.ended = self._clock()
            self._line(stage)

    def _line(self, stage: Stage) -> None:
        if self._bars is None:
            self._last_line = self._clock()
            self.message(f"{stage.name:<10}  {stage.describe(self._last_line)}")

    def __enter__(self) -> Progress:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        if self._bars is not None:
            self._bars.stop()


class StageColumn(ProgressColumn):
    """The column with a stage's counts, rate and times, to the right of its bar."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock

    def render(self, task: BarTask) -> Text:
        """Return the present text. Rich calls this several times a second, so times advance between two units."""
        stage: Stage = task.fields["stage"]
        return Text(stage.describe(self._clock()), overflow="ellipsis", no_wrap=True)
