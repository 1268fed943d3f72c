"""Corners by symmetry: hundredths of a pixel, under any lens, in large photos; nothing is moved that should not be."""

import numpy as np
import pytest

from geo3d.calibration import Checkerboard, find_checkerboard
from geo3d.calibration.lattice import refine_lattice
from geo3d.calibration.symmetry import refine_by_symmetry
from geo3d.synthetic import BoardOptions, board_poses, render_board

from .common import LENSES, TARGET
from .warped import SIZE, VIEWS, corners, picture

BOARD = Checkerboard(7, 5)


def rms(a, b):
    return float(np.sqrt(np.mean(np.sum((a - b) ** 2, axis=-1))))


@pytest.mark.parametrize("lens", ["OPENCV", "OPENCV_FISHEYE"])
def test_nearer_to_the_truth_than_gradients_alone(lens):
    camera = LENSES[lens]
    board = BoardOptions(TARGET.columns, TARGET.rows, TARGET.square_m, samples=3)
    (pose,) = board_poses(camera, 1, board, seed=8)
    photo = render_board(camera, pose, board, 1)
    truth = photo.corners.reshape(TARGET.rows, TARGET.columns, 2) - 0.5
    rng = np.random.default_rng(0)
    by_gradients = refine_lattice(photo.image, truth + rng.normal(0, 0.2, truth.shape))
    found = refine_by_symmetry(photo.image, by_gradients)
    assert rms(found, truth) < 0.03 and rms(found, truth) < 0.7 * rms(by_gradients, truth)


@pytest.mark.parametrize("view", VIEWS[:4])
def test_half_a_turn_of_the_photo_gives_the_same_corners(view):
    image = picture(*view)
    rough = corners(*view).reshape(5, 7, 2) - 0.5
    found = refine_by_symmetry(image, rough)
    size = np.array(SIZE) - 1
    turned = refine_by_symmetry(np.ascontiguousarray(image[::-1, ::-1]), size - rough)
    np.testing.assert_allclose(size - turned, found, atol=2e-3)


def test_a_corner_without_a_window_stays_and_unknown_ones_stay_unknown():
    view = VIEWS[0]
    image = picture(*view)
    rough = corners(*view).reshape(5, 7, 2) - 0.5 + 0.2
    rough[2, 3] = rough[0, 1:3] = rough[1, 0] = np.nan  # the first corner has no neighbour
    found = refine_by_symmetry(image, rough)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(rough))
    np.testing.assert_array_equal(found[0, 0], rough[0, 0])
    truth = corners(*view).reshape(5, 7, 2) - 0.5
    known = np.isfinite(found[..., 0])
    known[0, 0] = False
    assert np.linalg.norm(found - truth, axis=2)[known].max() < 0.12
    assert np.isnan(refine_by_symmetry(image, np.full((5, 7, 2), np.nan))).all()
    plain = np.full(SIZE[::-1], 120, np.uint8)
    np.testing.assert_array_equal(refine_by_symmetry(plain, rough), rough)
    edge = rough - np.nanmin(rough, axis=(0, 1)) + 1  # a row and a column at the edge of the photo
    kept = np.nan_to_num(edge, nan=99.0).min(axis=2) < 2.5
    np.testing.assert_array_equal(refine_by_symmetry(image, edge)[kept], edge[kept])


@pytest.mark.parametrize("view", [VIEWS[0], ((10, -20, 5), (1, 1), 40), ((10, 5, 0), (4.2, 0), 12)])
def test_large_photos_give_the_corners_of_small_ones(view):
    size = (4000, 3000)
    large = find_checkerboard(picture(*view, size=size), BOARD)
    small = find_checkerboard(picture(*view, size=(1600, 1200)), BOARD)
    assert large.ids.tolist() == small.ids.tolist() and len(large) >= 30
    assert rms(large.pixels, small.pixels * 2.5) < 0.15
    assert rms(large.pixels, corners(*view, size=size)[large.ids]) < 0.06
