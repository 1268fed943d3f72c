"""Frames of a video of a board: different views are chosen, steady ones of them, and they calibrate the camera."""

import os

import cv2
import numpy as np
import pytest

from geo3d.calibration import (
    CalibrateOptions,
    Checkerboard,
    ChoiceOptions,
    Detection,
    calibrate,
    choose_views,
    find_boards,
)
from geo3d.calibration.look_through import look_through

from .warped import FOCAL, SIZE, VIEWS, corners, picture

os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # before FFmpeg first runs, which is for writing here
BOARD = Checkerboard(7, 5)
PLAIN = np.full(SIZE[::-1], 120, np.uint8)


def film(path, frames, fps=30.0):
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), fps, SIZE)
    assert writer.isOpened()
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


STAND, GO = 4, 5  # frames at each view, and from one to the next


def places():
    """Pose of each frame: the board goes from view to view and stands at each; and which frames those are."""
    poses, standing = [], []
    flat = np.array([[*turn, *shift, depth] for turn, shift, depth in VIEWS[:7]], float)
    for a, b in zip(flat, [*flat[1:], flat[-1]]):
        standing += range(len(poses), len(poses) + STAND)
        poses += [a] * STAND + [a + (b - a) * k / GO for k in range(1, GO)]
    return [(p[:3], p[3:5], p[5]) for p in poses], set(standing)


POSES, STANDING = places()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Eight frames of nothing, then the board; blurred while it moves."""
    boards = [picture(*pose, seed=i) for i, pose in enumerate(POSES)]
    boards = [b if i in STANDING else cv2.blur(b, (7, 1)) for i, b in enumerate(boards)]
    return film(tmp_path_factory.mktemp("video") / "clip.mp4", [PLAIN] * 8 + boards)


def test_a_video_calibrates_a_camera(clip):
    said = []
    found = find_boards(clip, progress=lambda done, total, text: said.append((done, total, text)))
    assert found.target == BOARD and (found.width, found.height) == SIZE and not found.skipped
    assert 12 <= len(found.detections) <= 40 and list(found.photos.numbers) == sorted(found.detections)
    assert found.paths == {}
    for name, detection in found.detections.items():
        truth = corners(*POSES[int(name.removeprefix("frame_")) - 8])[detection.ids]
        assert np.linalg.norm(detection.pixels - truth, axis=1).max() < 1.5
    camera = calibrate(found.detections, BOARD, *SIZE, CalibrateOptions("SIMPLE_PINHOLE", 0)).camera
    assert camera.mean_focal == pytest.approx(FOCAL, rel=0.02)
    assert any("looking through clip.mp4" in text for _, _, text in said) and said[-1][0] == said[-1][1]


def test_a_steady_frame_of_each_view_is_chosen(clip):
    numbers = {int(name[-6:]) - 8 for name in find_boards(clip, BOARD).detections}
    for view in range(7):
        first = view * (STAND + GO - 1)
        assert set(range(first, first + STAND)) <= STANDING
        assert numbers & set(range(first, first + STAND)), f"none of view {view}"
    assert len(numbers & STANDING) >= len(numbers) / 2


def test_a_video_without_the_board(tmp_path):
    plain = film(tmp_path / "plain.mp4", [PLAIN] * 4)
    with pytest.raises(ValueError, match=r"no board is found in 4 photos of .*plain.mp4"):
        find_boards(plain)
    other = film(tmp_path / "other.mp4", [picture(*view, seed=i) for i, view in enumerate(VIEWS[:5])])
    with pytest.raises(
        ValueError, match=r"0 of 5 frames of .* a checkerboard 8x5; a checkerboard 7x5 fits 5 of them"
    ):
        find_boards(other, Checkerboard(8, 5))
    (tmp_path / "text.mp4").write_text("no video\n")
    with pytest.raises(ValueError, match="not a video"):
        find_boards(tmp_path / "text.mp4")


def test_long_videos_are_looked_through_at_even_steps(tmp_path, monkeypatch):
    shades = [np.full(SIZE[::-1], 40 + 2 * i, np.uint8) for i in range(50)]
    video = film(tmp_path / "long.mp4", shades)
    monkeypatch.setattr("geo3d.calibration.look_through._MOST", 16)
    looked = look_through(video)
    assert looked.step == 4 and len(looked.images) == 13
    seen = [image.mean() for image in looked.images]
    np.testing.assert_allclose(seen, [40 + 8 * i for i in range(13)], atol=3)


def views_at(middles, depth=14.0):
    return [Detection(np.arange(35), corners((10, 0, 0), (x, y), depth)) for x, y in middles]


def test_the_farthest_views_are_chosen_and_the_shaken_are_not():
    middles = [(x, y) for x in (-3, -0.1, 0, 0.1, 3) for y in (-2, 0, 2)]
    shake = np.ones(15)
    corner_views = {0, 2, 12, 14}
    chosen = choose_views(views_at(middles), BOARD, *SIZE, shake, ChoiceOptions(most=5, least=5))
    assert corner_views <= set(chosen)
    shake[0] = 20
    chosen = choose_views(views_at(middles), BOARD, *SIZE, shake, ChoiceOptions(most=5, least=5))
    assert 0 not in chosen and {12, 14} <= set(chosen)
    assert choose_views([], BOARD, *SIZE, np.zeros(0)) == []


def test_tilts_and_distances_count_and_copies_do_not():
    poses = [((t, 0, 0), (0, 0), 14) for t in (-30, 0, 30)] + [((0, 0, 0), (0, 0), 24)]
    views = [Detection(np.arange(35), corners(*poses[i % 4])) for i in range(40)]
    chosen = choose_views(views, BOARD, *SIZE, np.ones(40), ChoiceOptions(most=40, least=4))
    assert {k % 4 for k in chosen} == {0, 1, 2, 3} and len(chosen) == 4
