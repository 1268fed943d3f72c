"""Boards that are bent: the terms, what the corners tell of them, and cameras found all the same."""

import numpy as np
import pytest

from geo3d.calibration import CalibrateOptions, Checkerboard, calibrate
from geo3d.calibration.board_shape import MOST_TERMS, SHAPES, depths, shape_terms, shapes_told

from .common import LENSES, TARGET, photograph

EVERY = np.array([2, -1, 0.5, 1, -0.5, 1, -1, 0.3, 0.8, -0.6, 0.5, -0.4]) * 1e-3


def test_terms_of_the_shape_at_the_corners_and_in_the_middle():
    points = TARGET.points
    assert shape_terms(points, 0).shape == (54, 0)
    terms = shape_terms(points, MOST_TERMS)
    corners = np.flatnonzero(np.isin(points[:, 0], [0, 0.24]) & np.isin(points[:, 1], [0, 0.15]))
    np.testing.assert_allclose(terms[corners][:, [0, 1, 3, 4, 5, 6, 8, 9, 10, 11]], 0, atol=1e-12)
    np.testing.assert_allclose(terms[corners, 2], [1, -1, -1, 1])
    middle = np.array([[0.12, 0.075, 0]])
    grid = np.concatenate([points, middle])
    np.testing.assert_allclose(shape_terms(grid, 4)[-1], [1, 1, 0, 1])
    with pytest.raises(ValueError, match="count"):
        shape_terms(points, 13)


@pytest.mark.parametrize(("count", "degree", "even"), [(3, 2, False), (8, 4, True), (12, 4, False)])
def test_terms_are_all_surfaces_of_a_degree(count, degree, even):
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    if even:
        powers = [(i, j) for i, j in powers if (i + j) % 2 == 0 or i + j == 1]
    u, v = (2 * TARGET.points[:, :2] / [0.24, 0.15] - 1).T
    monomials = np.stack([u**i * v**j for i, j in powers], axis=1)
    plane = np.stack([np.ones_like(u), u, v], axis=1)
    ours = np.concatenate([plane, shape_terms(TARGET.points, count)], axis=1)
    assert ours.shape == monomials.shape and np.linalg.matrix_rank(ours) == ours.shape[1]
    np.testing.assert_allclose(ours @ np.linalg.lstsq(ours, monomials, rcond=None)[0], monomials, atol=1e-9)


def test_the_first_eight_terms_are_the_same_after_half_a_turn():
    terms = shape_terms(TARGET.points, MOST_TERMS)
    turned = terms[::-1]  # the last corner takes the place of the first
    np.testing.assert_allclose(turned[:, :8], terms[:, :8], atol=1e-12)
    np.testing.assert_allclose(turned[:, 8:], -terms[:, 8:], atol=1e-12)


def test_corners_tell_as_many_terms_as_they_have_rows_for():
    every = np.arange(len(TARGET.points))
    assert shapes_told(TARGET.points, every) == SHAPES
    assert shapes_told(TARGET.points, every[: 3 * 9]) == (3, 5)  # three of the six rows
    assert shapes_told(TARGET.points, every[:9]) == (0,)
    assert shapes_told(Checkerboard(3, 3, 0.03).points, np.arange(9)) == (3,)


def test_depths_are_from_the_nearest_plane():
    deep = depths(TARGET.points, np.array([2e-3]))
    assert abs(deep.mean()) < 1e-12 and np.ptp(deep) == pytest.approx(2e-3)
    np.testing.assert_array_equal(depths(TARGET.points, np.zeros(0)), np.zeros(54))


@pytest.mark.parametrize("model", ["OPENCV", "EUCM"])
def test_camera_and_every_term_are_found_exactly_and_too_few_terms_go_into_the_lens(model):
    truth = LENSES[model]
    detections, _ = photograph(truth, 10, shape=EVERY)
    found = calibrate(detections, TARGET, 640, 480, CalibrateOptions(model, MOST_TERMS))
    np.testing.assert_allclose(found.camera.params, truth.params, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.shape, EVERY, atol=1e-9)
    flat = calibrate(detections, TARGET, 640, 480, CalibrateOptions(model, 0))
    assert abs(flat.camera.params[0] - truth.params[0]) > 1


def test_more_terms_than_the_corners_tell_are_refused():
    small = Checkerboard(5, 4, 0.03)
    detections, _ = photograph(LENSES["OPENCV"], 8, 0.1, target=small)
    with pytest.raises(ValueError, match="tell no more than 5 terms"):
        calibrate(detections, small, 640, 480, CalibrateOptions("OPENCV", 8))
    calibrate(detections, small, 640, 480, CalibrateOptions("OPENCV", 5))
