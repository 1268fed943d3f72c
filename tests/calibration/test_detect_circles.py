"""Grids of discs are found; what is found is the centroid of a disc's image, which is not the image of its centre."""

import numpy as np
import pytest

from geo3d.calibration import (
    Checkerboard,
    CircleGrid,
    disc_centres,
    disc_centroids,
    find_circles,
    guess_circle_grid,
)
from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3
from tests.calibration.photograph import FISHEYE, PINHOLE, board_pose, photograph, plain_photo

SYMMETRIC = CircleGrid(7, 5, 0.03, 0.018)
ASYMMETRIC = CircleGrid(4, 11, 0.02, 0.016, asymmetric=True)


@pytest.mark.parametrize(
    ("target", "camera", "turn", "tilt"),
    [
        (SYMMETRIC, PINHOLE, 10, (30, 0)),
        (SYMMETRIC, FISHEYE, -20, (0, 30)),
        (ASYMMETRIC, PINHOLE, 0, (0, -35)),
        (ASYMMETRIC, PINHOLE, 170, (25, 20)),
        (ASYMMETRIC, PINHOLE, 90, (10, 0)),
    ],
)
def test_centroids_of_discs(target, camera, turn, tilt):
    share = 0.6 if target is SYMMETRIC else 0.35
    pose = board_pose(camera, target, (320, 240), share, turn, tilt)
    image, centres = photograph(camera, target, pose)
    found = find_circles(image, target)
    assert found is not None and len(found) == len(target.points)
    expected = disc_centroids(camera, pose, target.points, target.diameter_m)
    off = np.linalg.norm(found.pixels - expected, axis=1)
    assert np.median(off) < 0.03 and off.max() < 0.08
    bias = np.linalg.norm(found.pixels - centres, axis=1)
    assert np.median(bias) > 2 * np.median(off)
    corrected = disc_centres(found, target, camera, pose)
    assert (corrected.ids == found.ids).all()
    assert np.linalg.norm(corrected.pixels - centres, axis=1).max() < 0.08


def test_the_bias_is_that_of_the_conic_of_a_disc():
    camera = Camera("PINHOLE", 640, 480, [700.0, 690, 322, 238])
    pose = SE3(SO3.exp([0.5, -0.4, 0.3]).matrix, np.array([0.02, -0.03, 0.5]))
    points = SYMMETRIC.points
    got = disc_centroids(camera, pose, points, 0.02)
    k = np.array([[700.0, 0, 322], [0, 690, 238], [0, 0, 1]])
    for point, pixel in zip(points, got):
        # the image of a circle: the dual conic H C* H^T, whose centre is its last column
        h = k @ np.column_stack([pose.rotation[:, :2], pose.act(point)])
        dual = h @ np.diag([0.01**2, 0.01**2, -1.0]) @ h.T
        np.testing.assert_allclose(pixel, dual[:2, 2] / dual[2, 2], atol=2e-4)


def test_orders_that_look_the_same_begin_at_the_top_left():
    for turn in (0, 180):
        pose = board_pose(PINHOLE, SYMMETRIC, (320, 240), 0.6, turn, (10, 10))
        image, centres = photograph(PINHOLE, SYMMETRIC, pose)
        found = find_circles(image, SYMMETRIC)
        assert found is not None
        expected = centres if turn == 0 else centres[::-1]
        assert np.abs(found.pixels - expected).max() < 1


@pytest.mark.parametrize(("target", "turn"), [(SYMMETRIC, 75), (ASYMMETRIC, 80)])
def test_grids_are_recognized(target, turn):
    pose = board_pose(FISHEYE, target, (320, 240), 0.35, turn, (15, 20))
    image, _ = photograph(FISHEYE, target, pose)
    guess = guess_circle_grid([plain_photo(), image])
    assert guess is not None
    assert (guess.columns, guess.rows, guess.asymmetric) == (target.columns, target.rows, target.asymmetric)
    assert guess.diameter_m == pytest.approx(target.diameter_m / target.spacing_m, rel=0.06)


def test_hidden_discs_are_left_out_and_a_grid_without_a_side_is_not_placed():
    pose = board_pose(PINHOLE, ASYMMETRIC, (320, 240), 0.35, 0, (20, 10))
    image, centres = photograph(PINHOLE, ASYMMETRIC, pose)
    hidden = [5, 21, 22]
    for k in hidden:
        x, y = np.rint(centres[k]).astype(int)
        image[y - 12 : y + 12, x - 12 : x + 12] = 219
    found = find_circles(image, ASYMMETRIC)
    assert found is not None
    assert set(found.ids) == set(range(44)) - set(hidden)
    assert np.linalg.norm(found.pixels - centres[found.ids], axis=1).max() < 0.6
    image[: int(centres[:4, 1].max()) + 14] = 120  # the first row
    assert find_circles(image, ASYMMETRIC) is None


def test_nothing_is_found_where_no_grid_is():
    assert find_circles(plain_photo(), SYMMETRIC) is None
    assert find_circles(plain_photo(), ASYMMETRIC) is None
    checkerboard = Checkerboard(9, 6, 0.03)
    pose = board_pose(PINHOLE, checkerboard, (320, 240), 0.7, 10, (10, 10))
    image, _ = photograph(PINHOLE, checkerboard, pose)
    assert find_circles(image, CircleGrid(5, 5, 0.03, 0.02, asymmetric=True)) is None
    assert find_circles(image, CircleGrid(5, 5, 0.03, 0.02)) is None
    assert guess_circle_grid([image, plain_photo()]) is None
    with pytest.raises(ValueError, match="uint8"):
        find_circles(np.zeros((4, 4)), SYMMETRIC)
