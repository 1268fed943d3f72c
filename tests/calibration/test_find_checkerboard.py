"""Corners found to a tenth of a pixel, whatever the lens; parts of boards put where they belong."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from geo3d.calibration import Checkerboard, find_checkerboard, find_lattice
from geo3d.calibration.lattice import grow_lattice, predict, refine_lattice, trim
from geo3d.calibration.subpixel import refine_corners
from geo3d.geometry import SE3, SO3
from geo3d.synthetic import BoardOptions, board_poses, render_board

from .common import LENSES, TARGET

BOARD = BoardOptions(TARGET.columns, TARGET.rows, TARGET.square_m, samples=2)


@pytest.fixture(scope="module", params=["OPENCV", "OPENCV_FISHEYE"])
def photos(request):
    camera = LENSES[request.param]
    return [
        render_board(camera, pose, BOARD, i) for i, pose in enumerate(board_poses(camera, 2, BOARD, seed=4))
    ]


def test_corners_of_whole_boards(photos):
    for photo in photos:
        found = find_checkerboard(photo.image, TARGET)
        assert found is not None and found.ids.tolist() == list(range(54))
        error = np.linalg.norm(found.pixels - photo.corners, axis=1)
        assert np.median(error) < 0.1 and error.max() < 0.4


def test_turned_photos_give_the_same_corners_under_the_same_numbers(photos):
    image = photos[0].image
    upright = find_checkerboard(image, TARGET)
    for quarters in (1, 2, 3):
        turned = find_checkerboard(np.ascontiguousarray(np.rot90(image, quarters)), TARGET)
        assert turned.ids.tolist() == list(range(54))
        x, y = turned.pixels.T
        size = image.shape[::-1]
        back = {1: (size[0] - y, x), 2: (size[0] - x, size[1] - y), 3: (y, size[1] - x)}[quarters]
        assert np.linalg.norm(np.stack(back, axis=1) - upright.pixels, axis=1).max() < 0.1


def test_the_size_of_a_board_is_found(photos):
    for photo in photos:
        lattice = find_lattice(photo.image)
        assert lattice is not None and sorted(lattice.shape[:2]) == [6, 9]
        near, _ = KDTree(photo.corners).query(lattice.reshape(-1, 2))
        assert near.max() < 0.4


def test_another_board_is_not_taken_for_the_one_asked_for(photos):
    for columns, rows in ((8, 6), (9, 5), (7, 5), (10, 7)):
        assert find_checkerboard(photos[0].image, Checkerboard(columns, rows)) is None


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_board_that_reaches_out_of_the_photo(side):
    camera = LENSES["OPENCV"]
    middle = TARGET.points.mean(axis=0)
    rotation = SO3.exp([0.2, -0.15, 0.1]).matrix
    shift = {"left": [-0.16, 0], "right": [0.18, 0], "top": [0, -0.12], "bottom": [0, 0.14]}[side]
    pose = SE3(rotation, np.array([*shift, 0.3]) - rotation @ middle)
    photo = render_board(camera, pose, BOARD, 1)
    inside = np.all((photo.corners > 6) & (photo.corners < [634, 474]), axis=1)
    assert 20 < inside.sum() < 50
    found = find_checkerboard(photo.image, TARGET)
    assert found is not None and len(found) >= 0.85 * inside.sum()
    error = np.linalg.norm(found.pixels - photo.corners[found.ids], axis=1)
    assert np.median(error) < 0.1 and error.max() < 0.6


@pytest.mark.parametrize(("axis", "skipped"), [(0, 1), (0, 3), (1, 2), (1, [3, 5])])
def test_rows_and_columns_that_a_detector_left_out_are_found(axis, skipped, photos):
    """OpenCV's detectors return such lattices of boards that are tilted much; numbers would be off behind the gap."""
    photo = photos[0]
    whole = photo.corners.reshape(6, 9, 2) - 0.5
    seed = refine_lattice(photo.image, np.delete(whole, skipped, axis=axis))
    np.testing.assert_allclose(grow_lattice(photo.image, seed, (9, 6)), whole, atol=0.5)


def test_a_corner_that_a_detector_put_outside_of_the_photo_stays_there(photos):
    photo = photos[0]
    corners = np.vstack([photo.corners[:2] - 0.5, [[-3.0, 50.0], [639.6, 20.0], [30.0, 900.0]]])
    found = refine_corners(photo.image, corners, np.full(5, 4))
    np.testing.assert_array_equal(found[2:], corners[2:])
    assert 0 < np.abs(found[:2] - corners[:2]).max() < 0.5


def test_nothing_is_found_where_there_is_no_board():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (240, 320), np.uint8)
    for image in (noise, np.full((240, 320), 90, np.uint8)):
        assert find_checkerboard(image, TARGET) is None and find_lattice(image) is None
    with pytest.raises(ValueError, match="uint8"):
        find_checkerboard(noise.astype(float), TARGET)


def test_predictions_follow_a_lens():
    grid = np.stack(np.meshgrid(np.arange(9.0), np.arange(6.0)), axis=-1) - [4, 2.5]
    bent = 300 + 50 * grid * (1 - 0.01 * np.sum(grid**2, axis=2, keepdims=True))
    holed = bent.copy()
    holed[2, 3] = holed[0, 0] = np.nan
    predicted, spacing = predict(holed)
    assert np.linalg.norm(predicted[2, 3] - bent[2, 3]) < 1
    assert np.linalg.norm(predicted[0, 0] - bent[0, 0]) < 0.2 * spacing[0, 0]
    padded = np.pad(bent, ((1, 1), (2, 1), (0, 0)), constant_values=np.nan)
    np.testing.assert_array_equal(trim(padded), bent)
