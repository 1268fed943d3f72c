"""The map from board to photo: exact through a division model, close through real lenses, deaf to what is wrong."""

import numpy as np

from geo3d.calibration import AprilGrid, Checkerboard
from geo3d.calibration.board_map import fit_board_map
from geo3d.cameras import Camera
from tests.calibration.photograph import FISHEYE, PINHOLE, board_pose

BOARD = Checkerboard(9, 7, 0.03)


def test_a_pinhole_is_exact():
    camera = Camera("PINHOLE", 640, 480, [560.0, 560, 320, 240])
    pose = board_pose(camera, BOARD, (300, 250), 0.7, 20, (40, 20))
    places, pixels = BOARD.points[:, :2], camera.project(pose.act(BOARD.points)) - 0.5
    near = fit_board_map(places, pixels, (480, 640))
    assert near is not None
    np.testing.assert_allclose(near.predict(places, without_own=True), pixels, atol=0.1)
    step = 1e-6
    points = BOARD.points
    for axis in (0, 1):
        moved = camera.project(pose.act(points + step * np.eye(3)[axis])) - camera.project(pose.act(points))
        np.testing.assert_allclose(near.affine(places)[:, :, axis], moved / step, rtol=0.02, atol=20)


def test_lenses_are_followed_and_wrong_points_are_not():
    target = AprilGrid(5, 4, 0.04)
    rng = np.random.default_rng(0)
    for camera in (PINHOLE, FISHEYE):
        pose = board_pose(camera, target, (330, 230), 0.8, 20, (25, 10))
        places, pixels = target.points[:, :2], camera.project(pose.act(target.points)) - 0.5
        wrong = rng.choice(len(pixels), 8, replace=False)
        given = pixels.copy()
        given[wrong] += rng.uniform(10, 60, (8, 2))
        near = fit_board_map(places, given, (480, 640))
        assert near is not None
        off = np.linalg.norm(near.predict(places, without_own=True) - pixels, axis=1)
        assert np.median(off) < 0.5 and off.max() < 4


def test_what_tells_nothing_is_refused():
    places = BOARD.points[:, :2]
    assert fit_board_map(places[:3], places[:3], (480, 640)) is None
    assert fit_board_map(places[:9], 1000 * places[:9], (480, 640)) is None  # a row
