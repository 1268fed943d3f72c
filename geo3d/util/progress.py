"""Progress of long work: bars with rate and time left, plain lines where there is no terminal, or JSON.

`Progress` itself is silent and is what a library call gets unless it asks for more. The work says only how
far it is; what is shown is the business of the one that started it:

>>> progress = Progress()
>>> with progress.stage("features", total=12) as stage:
...     for i in range(12):
...         stage.update(i + 1, text=f"photo {i}")
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from geo3d.util.json_line import json_line

if TYPE_CHECKING:
    from rich.console import Console


class StageProgress:
    """How far one stage is. Made by `Progress.stage`."""

    def __init__(self, name: str, total: float | None = None, initial: float = 0) -> None:
        self.name = name
        self.total = total
        self.initial = initial  # done by an earlier run: not part of the rate
        self.done = initial
        self.text = ""
        self.summary = ""  # set it to what the line of the finished stage shall say
        self.started = time.monotonic()
        self.first: tuple[float, float] | None = None  # done and seconds at the first update

    @property
    def seconds(self) -> float:
        """Time since the stage began."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float | None:
        """Items a second since the first was done (which may have waited for compilation); None before the second."""
        if self.first is None or self.done <= self.first[0] or self.seconds <= self.first[1]:
            return None
        return (self.done - self.first[0]) / (self.seconds - self.first[1])

    @property
    def seconds_left(self) -> float | None:
        """Time left at the mean rate so far; None when the total or the rate is not known."""
        return max(self.total - self.done, 0) / self.rate if self.total and self.rate else None

    def update(self, done: float, total: float | None = None, text: str = "") -> None:
        """Say that `done` of `total` is done, and in a few words what is in hand."""
        self.done = done
        self.total = total if total is not None else self.total
        self.text = text
        if self.first is None and done > self.initial:
            self.first = done, self.seconds
        self._show()

    def _show(self) -> None:
        pass


class Progress:
    """Silent progress, and what the others have in common."""

    @contextmanager
    def stage(self, name: str, total: float | None = None, initial: float = 0) -> Iterator[StageProgress]:
        """Context of one stage; yields the `StageProgress` to update. Stages may be nested.

        `initial` of the total was done by an earlier run.
        """
        yield StageProgress(name, total, initial)

    def note(self, text: str) -> None:
        """One line that the user may want to read."""

    def warn(self, text: str) -> None:
        """One line that the user should read."""


def format_seconds(seconds: float) -> str:
    """Short time: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 04 min`.

    >>> [format_seconds(s) for s in (0.42, 12.3, 185, 7440)]
    ['0.4 s', '12 s', '3 min 05 s', '2 h 04 min']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class _JsonStage(StageProgress):
    def __init__(self, owner: "JsonProgress", name: str, total: float | None, initial: float) -> None:
        super().__init__(name, total, initial)
        self.owner = owner
        self.last = -1e9

    def _show(self) -> None:
        if self.seconds - self.last >= self.owner.interval_s or self.done == self.total:
            self.last = self.seconds
            self.owner.emit("progress", stage=self.name, done=self.done, total=self.total, text=self.text)


class JsonProgress(Progress):
    """One JSON object a line: `{"time": ..., "event": "stage" | "progress" | "note" | "warning", ...}`."""

    def __init__(self, stream: TextIO | None = None, interval_s: float = 0.5) -> None:
        self.stream = stream or sys.stdout
        self.interval_s = interval_s

    def emit(self, event: str, **fields: object) -> None:
        """Write one event."""
        line = {"time": round(time.time(), 3), "event": event, **fields}
        print(json_line(line), file=self.stream, flush=True)

    @contextmanager
    def stage(self, name: str, total: float | None = None, initial: float = 0) -> Iterator[StageProgress]:
        stage = _JsonStage(self, name, total, initial)
        self.emit("stage", stage=name, state="started", total=total)
        state = "stopped"
        try:
            yield stage
            state = "finished"
        finally:
            self.emit("stage", stage=name, state=state, done=stage.done, seconds=round(stage.seconds, 3))

    def note(self, text: str) -> None:
        self.emit("note", text=text)

    def warn(self, text: str) -> None:
        self.emit("warning", text=text)


class _LineStage(StageProgress):
    """Lines for a log file: one now and then, not one an item."""

    def __init__(self, owner: "LineProgress", name: str, total: float | None, initial: float) -> None:
        super().__init__(name, total, initial)
        self.owner = owner
        self.last = 0.0

    def _show(self) -> None:
        if self.seconds - self.last < self.owner.interval_s:
            return
        self.last = self.seconds
        left = self.seconds_left
        self.owner.line(
            f"{self.name}: {self.done:g}"
            + (f" of {self.total:g}" if self.total else "")
            + (f", {format_seconds(left)} left" if left is not None else "")
            + (f" ({self.text})" if self.text else "")
        )


class LineProgress(Progress):
    """Plain lines, for a log file or a pipe."""

    def __init__(self, stream: TextIO | None = None, interval_s: float = 10.0) -> None:
        self.stream = stream or sys.stderr
        self.interval_s = interval_s

    def line(self, text: str) -> None:
        """Write one line."""
        print(text, file=self.stream, flush=True)

    @contextmanager
    def stage(self, name: str, total: float | None = None, initial: float = 0) -> Iterator[StageProgress]:
        stage = _LineStage(self, name, total, initial)
        yield stage
        self.line(f"{name}: {_summary(stage)}")

    def note(self, text: str) -> None:
        self.line(text)

    def warn(self, text: str) -> None:
        self.line(f"warning: {text}")


def _summary(stage: StageProgress) -> str:
    words = f"done in {format_seconds(stage.seconds)}"
    new = stage.done - stage.initial
    counted = not isinstance(stage.done, float)  # and not seconds, of a stage by the clock
    if counted and new > 0 and stage.seconds > 0:
        words += f" ({new:g} at {new / stage.seconds:.3g}/s)"
    return f"{stage.summary}, {words}" if stage.summary else words


class _BarStage(StageProgress):
    def __init__(self, owner: "BarProgress", name: str, total: float | None, initial: float) -> None:
        super().__init__(name, total, initial)
        self.owner = owner
        self.task = owner.bars.add_task(name, total=total, completed=int(initial), text="", rate="")

    def _show(self) -> None:
        rate = f"{self.rate:.3g}/s" if self.rate else ""
        self.owner.bars.update(
            self.task, completed=self.done, total=self.total, text=_plain(self.text), rate=rate
        )


class BarProgress(Progress):
    """Bars in a terminal with count, rate and time left; a finished stage leaves one line behind."""

    def __init__(self, console: "Console | None" = None) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        self.console = console or Console(stderr=True)
        self.bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[text]}[/]", markup=True),
            console=self.console,
            transient=True,
        )
        self.depth = 0

    @contextmanager
    def stage(self, name: str, total: float | None = None, initial: float = 0) -> Iterator[StageProgress]:
        if self.depth == 0:
            self.bars.start()
        self.depth += 1
        stage = _BarStage(self, name, total, initial)
        try:
            yield stage
            if self.depth == 1:
                self.console.print(f"  [green]✓[/] {name:<10} {_plain(_summary(stage))}", highlight=False)
        finally:
            self.bars.remove_task(stage.task)
            self.depth -= 1
            if self.depth == 0:
                self.bars.stop()

    def note(self, text: str) -> None:
        self.console.print(f"  {text}", markup=False, highlight=False)

    def warn(self, text: str) -> None:
        self.console.print(f"  [yellow]![/] {_plain(text)}", highlight=False)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def make_progress(*, json_lines: bool = False, quiet: bool = False) -> Progress:
    """The progress that suits where the process writes: JSON lines, bars on a terminal, or plain lines."""
    if json_lines:
        return JsonProgress()
    if quiet:
        return Progress()
    return BarProgress() if sys.stderr.isatty() else LineProgress()
