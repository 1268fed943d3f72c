"""Folders of photos of a board: the size guessed, bad input answered."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from geo3d.calibration import CharucoBoard, Checkerboard, CircleGrid, find_boards, find_lattice, guess_size
from geo3d.calibration.guess_board import guess_target
from geo3d.cli.app import run
from geo3d.io import read_calibration
from geo3d.synthetic import BoardOptions, board_poses, render_board

from .common import LENSES, TARGET
from .photograph import PINHOLE, board_pose, photograph

CAMERA = LENSES["OPENCV"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eight photos of a board, one of nothing, one that is damaged."""
    folder = tmp_path_factory.mktemp("photos")
    board = BoardOptions(TARGET.columns, TARGET.rows, TARGET.square_m, samples=2)
    for i, pose in enumerate(board_poses(CAMERA, 8, board, seed=2)):
        Image.fromarray(render_board(CAMERA, pose, board, i).image).save(folder / f"{i}.png")
    Image.fromarray(np.full((480, 640), 120, np.uint8)).save(folder / "plain.png")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    return folder


def test_the_board_is_guessed_and_found_and_the_rest_is_named(photos):
    found = find_boards(photos)
    assert (found.target.columns, found.target.rows) == (9, 6)
    assert (found.width, found.height) == (640, 480)
    assert sorted(found.detections) == [f"{i}.png" for i in range(8)]
    assert set(found.skipped) == {"plain.png", "torn.jpg"} and "no such board" in found.skipped["plain.png"]
    one = find_boards(photos, Checkerboard(9, 6), threads=1)
    for name, detection in found.detections.items():
        np.testing.assert_array_equal(one.detections[name].pixels, detection.pixels)


def test_a_wrong_size_is_answered_with_the_right_one(photos):
    with pytest.raises(ValueError, match=r"0 of 10 photos .* 8x5; .*use --board 9x6"):
        find_boards(photos, Checkerboard(8, 5))


def test_photos_without_a_board_of_two_sizes_or_none_at_all(photos, tmp_path):
    with pytest.raises(ValueError, match="no photos"):
        find_boards(tmp_path)
    Image.fromarray(np.full((480, 640), 120, np.uint8)).save(tmp_path / "plain.png")
    with pytest.raises(ValueError, match="no board is found"):
        find_boards(tmp_path)
    assert guess_size([np.full((480, 640), 120, np.uint8)]) is None
    for i in range(2):
        image = cv2.imread(str(photos / f"{i}.png"), 0)
        cv2.imwrite(str(tmp_path / f"{i}.png"), cv2.resize(image, (800, 600)) if i else image)
    with pytest.raises(ValueError, match=r"several sizes.* 1 of 640x480 .* 1 of 800x600"):
        find_boards(tmp_path, Checkerboard(9, 6))


def test_the_command_writes_a_camera_that_other_commands_read(photos, tmp_path, capsys):
    line = ["calibrate", str(photos), "--square", "30mm", "--model", "OPENCV", "-o", str(tmp_path / "out")]
    assert run(line) == 0
    said = capsys.readouterr().out
    assert (
        "checkerboard 9x6, squares of 30 mm (found in the photos" in said and "plain.png is not used" in said
    )
    camera = read_calibration(tmp_path / "out" / "camera.json")
    assert camera.model == "OPENCV"
    grid = np.stack(np.meshgrid(np.linspace(60, 580, 6), np.linspace(60, 420, 5)), axis=-1)
    off = camera.project(CAMERA.unproject(grid)) - grid
    assert np.linalg.norm(off - off.mean(axis=(0, 1)), axis=-1).max() < 2


@pytest.mark.parametrize(
    ("extra", "hint"),
    [
        (["--square", "30"], "no unit"),
        (["--board", "nine"], "9x6"),
        (["--model", "OPNCV"], "expected auto or one of"),
    ],
)
def test_the_command_refuses(extra, hint, photos, tmp_path, capsys):
    assert run(["calibrate", str(photos), "-o", str(tmp_path / "out"), *extra]) == 2
    assert hint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


TURNS = [(0, 0, 0), (25, 5, 10), (-25, 10, 80), (5, 30, 20), (10, -28, -60), (-20, -20, 5)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "flags", "label"),
    [
        (CharucoBoard(8, 5, 0.03, 0.0225), ["--square", "30mm", "--marker", "22.5mm"], "ChArUco 8x5"),
        (CircleGrid(4, 9, 0.02, 0.017, True), ["--spacing", "2cm", "--diameter", "17mm"], "asymmetric circle grid 4x9"),
    ],
)  # fmt: skip
def test_boards_of_other_kinds_are_guessed_and_calibrated(target, flags, label, tmp_path, capsys):
    truth = PINHOLE
    for i, (x, y, turn) in enumerate(TURNS):
        middle = [320 + 60 * np.sin(2 * i), 240 + 40 * np.cos(3 * i)]
        pose = board_pose(truth, target, middle, 0.5, turn, (x, y))
        Image.fromarray(photograph(truth, target, pose, i)[0]).save(tmp_path / f"{i}.png")
    line = ["calibrate", str(tmp_path), *flags, "--model", "OPENCV", "-o", str(tmp_path / "out"), "--json"]
    assert run(line) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["board"].startswith(label) and result["photos"] == len(TURNS)
    camera = read_calibration(tmp_path / "out" / "camera.json")
    np.testing.assert_allclose(camera.params[:4], truth.params[:4], atol=4)
    if isinstance(target, CharucoBoard):
        assert run(["calibrate", str(tmp_path), "--kind", "aprilgrid"]) == 2
        assert "the photos show a ChArUco 8x5, not aprilgrid" in capsys.readouterr().err


def test_a_charuco_board_whose_corners_all_are_seen_is_no_checkerboard():
    target = CharucoBoard(8, 5, 0.03, 0.0225)
    pose = board_pose(PINHOLE, target, [300, 250], 0.65, 15, (-15, 5))
    images = [photograph(PINHOLE, target, pose, 1)[0]]
    assert np.isfinite(find_lattice(images[0])).all() and guess_size(images) == (7, 4)
    found = guess_target(images)
    assert isinstance(found, CharucoBoard) and (found.squares_x, found.squares_y) == (8, 5)
