"""Splats while they are trained."""

import json
import threading
import time
from pathlib import Path

import pytest

from geo3d.util.files import write_text
from geo3d.viz import viewer_live
from geo3d.viz.viewer_live import LiveFiles, TrainingState, training_state, watch
from tests.viz.viewer_scenes import ball, write_splats


@pytest.fixture
def files(tmp_path: Path) -> LiveFiles:
    (tmp_path / "splats").mkdir()
    return LiveFiles(tmp_path / "splats" / "splats.ply", tmp_path / "splats" / "metrics.json", loaded=False)


def test_what_is_replaced_is_read_once(files: LiveFiles, tmp_path: Path) -> None:
    assert files.new_splats() is None and files.new_state() is None
    for count in (3, 5, 5):
        write_splats(tmp_path, ball(count))
        found = files.new_splats()
        assert found is not None and len(found) == count
        assert files.new_splats() is None


def test_what_is_shown_already_is_not_read_again(tmp_path: Path) -> None:
    write_splats(tmp_path, ball(3))
    files = LiveFiles(tmp_path / "splats" / "splats.ply", tmp_path / "splats" / "metrics.json", loaded=True)
    assert files.new_splats() is None


def test_a_damaged_file_is_told_once(files: LiveFiles) -> None:
    files.splat_file.write_bytes(b"ply\nnonsense\n")
    with pytest.raises(ValueError, match=r"splats\.ply"):
        files.new_splats()
    assert files.new_splats() is None


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"steps": 1200, "psnr_db": 24.318, "gaussians": 81000}, "step 1,200, PSNR 24.32 dB, 81,000 splats"),
        ({"steps": 7, "psnr_db": None}, "step 7"),
        ({"steps": "many", "psnr_db": True, "gaussians": [1]}, ""),
        ([1, 2], ""),
    ],
)
def test_metrics_in_words(tmp_path: Path, record: object, text: str) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(record))
    assert training_state(tmp_path / "metrics.json").text() == text


def test_the_watch_tells_all_and_ends(
    files: LiveFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer_live, "INTERVAL_S", 0.01)
    stop, seen, states, errors = threading.Event(), [], [], []
    thread = threading.Thread(target=watch, args=(files, stop, seen.append, states.append, errors.append))
    thread.start()

    def wait_for(found: list, count: int) -> None:
        end = time.monotonic() + 10
        while len(found) < count and time.monotonic() < end:
            time.sleep(0.01)

    write_splats(tmp_path, ball(3))
    wait_for(seen, 1)
    write_text(files.metrics_file, json.dumps({"steps": 5}))
    wait_for(states, 1)
    write_text(files.splat_file, "broken")
    wait_for(errors, 1)
    write_splats(tmp_path, ball(4))
    wait_for(seen, 2)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert [len(g) for g in seen] == [3, 4] and states == [TrainingState(step=5)]
    assert len(errors) == 1 and "splats.ply" in errors[0]
