"""Progress: what the three kinds say, and that the arithmetic of rate and time left is right."""

import io
import json

import pytest
from rich.console import Console

from geo3d.util import progress as module
from geo3d.util.progress import (
    BarProgress,
    JsonProgress,
    LineProgress,
    Progress,
    StageProgress,
    make_progress,
)


def events(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_tells_start_steps_and_end() -> None:
    stream = io.StringIO()
    progress = JsonProgress(stream, interval_s=0)
    with progress.stage("features", total=2) as stage:
        stage.update(1, text="bär.jpg")
        stage.update(2)
    progress.note("a note")
    progress.warn("a warning")
    start, first, second, end, note, warning = events(stream)
    assert (start["state"], start["total"], end["state"]) == ("started", 2, "finished")
    assert (first["done"], first["text"], second["done"]) == (1, "bär.jpg", 2)
    assert (note["text"], warning["event"]) == ("a note", "warning")


def test_json_says_when_a_stage_was_stopped() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), JsonProgress(stream).stage("poses"):
        raise KeyboardInterrupt
    assert events(stream)[-1]["state"] == "stopped"


def test_json_is_not_written_for_every_step() -> None:
    stream = io.StringIO()
    with JsonProgress(stream, interval_s=60).stage("x", total=1000) as stage:
        for i in range(1000):
            stage.update(i + 1)
    assert [e["done"] for e in events(stream) if e["event"] == "progress"] == [1, 1000]


def test_lines_are_few_and_end_with_the_rate() -> None:
    stream = io.StringIO()
    progress = LineProgress(stream, interval_s=60)
    with progress.stage("features", total=1000) as stage:
        for i in range(1000):
            stage.update(i + 1)
        stage.summary = "8 cameras"
    progress.warn("careful")
    done, warning = stream.getvalue().splitlines()
    assert done.startswith("features: 8 cameras, done in") and "1000 at" in done
    assert warning == "warning: careful"


def test_a_stage_by_the_clock_tells_no_seconds_a_second() -> None:
    stream = io.StringIO()
    with LineProgress(stream, interval_s=60).stage("train", total=15.0) as stage:
        stage.update(15.0)
    assert "/s" not in stream.getvalue().splitlines()[-1]


def test_bars_survive_names_that_look_like_markup() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    progress = BarProgress(console)
    with progress.stage("outer", total=1) as outer, progress.stage("inner [bold]", total=None) as inner:
        inner.update(3, text="[/red] photo[0].jpg")
        outer.update(1)
        outer.summary = "[/] odd"
    progress.warn("[/b] odd")
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "[/] odd" in text and "[/b] odd" in text


def test_silent_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().stage("x") as stage:
        stage.update(1)
    Progress().warn("x")
    assert capsys.readouterr() == ("", "")


def test_rate_leaves_out_an_earlier_run_and_what_came_before_the_first_item(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    stage = StageProgress("x", total=100, initial=60)
    assert stage.rate is None and stage.seconds_left is None
    clock[0] += 50  # compilation, say
    stage.update(70)
    assert stage.rate is None and stage.seconds_left is None
    clock[0] += 5
    stage.update(80)
    assert stage.rate == 2.0 and stage.seconds_left == 10.0


def test_kind_follows_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_progress(json_lines=True), JsonProgress)
    assert type(make_progress(quiet=True)) is Progress
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(make_progress(), LineProgress)
