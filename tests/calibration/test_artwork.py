"""The shapes of a target are black where OpenCV's and Kalibr's own drawings are."""

import cv2
import numpy as np
import pytest

from geo3d.calibration import AprilGrid, CharucoBoard, Checkerboard, CircleGrid
from geo3d.calibration.artwork import artwork
from geo3d.calibration.markers import april_bits


def drawn(target, pixels_per_mm):
    """Image of a target's extent: 0 black, 255 white."""
    art = artwork(target)
    x0, y0, width, height = art.extent
    image = np.full((round(height * pixels_per_mm), round(width * pixels_per_mm)), 255, np.uint8)
    for x, y, w, h in art.rectangles:
        left, top = round((x - x0) * pixels_per_mm), round((y - y0) * pixels_per_mm)
        right, bottom = round((x + w - x0) * pixels_per_mm), round((y + h - y0) * pixels_per_mm)
        assert (image[top:bottom, left:right] == 255).all(), "rectangles overlap"
        image[top:bottom, left:right] = 0
    return image


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("size", [(5, 4), (4, 5)])
@pytest.mark.parametrize("name", ["DICT_4X4_50", "DICT_6X6_250", "DICT_ARUCO_ORIGINAL"])
def test_charuco_is_drawn_as_by_opencv(size, legacy, name):
    modules = {"4": 6, "6": 8, "A": 7}[name[5]]
    square = modules + 2  # a rim of one module, a module is a millimetre
    target = CharucoBoard(*size, square / 1000, modules / 1000, name, legacy)
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
    board = cv2.aruco.CharucoBoard(size, square, modules, dictionary)
    board.setLegacyPattern(legacy)
    expected = board.generateImage((10 * square * size[0], 10 * square * size[1]))
    differs = drawn(target, 10) != expected
    edges = cv2.morphologyEx(expected, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    assert not (differs & ~edges).any()


def test_april_grid_is_drawn_as_by_kalibr():
    target = AprilGrid(2, 2, 0.02, 0.3)  # modules of 2 mm
    image = drawn(target, 1) > 0
    assert image.shape == (2 * 26 + 6, 2 * 26 + 6)
    # tag 0 is at the bottom left: its code, most significant bit first, row by row from the top
    tag = image[-26:-6, 6:26]
    code = tag[5:17:2, 5:17:2].ravel()
    assert int("".join("1" if bit else "0" for bit in code), 2) == 0xD5D628584
    assert not tag[:4].any() and not tag[:, :4].any() and not tag[-4:].any() and not tag[:, -4:].any()
    above = image[-52:-32, 6:26]  # the second row of tags begins with number 2
    assert (above[5:17:2, 5:17:2] == april_bits(2)).all()
    assert not image[-6:, :6].any() and image[-6:, 6:26].all()  # squares stand at the corners only
    assert not image[26:32, 26:32].any() and image[26:32, 6:26].all()


def test_checkerboard_begins_with_a_black_square():
    image = drawn(Checkerboard(4, 3, 0.01), 1)
    assert image.shape == (40, 50)
    assert (
        (image[:10, :10] == 0).all() and (image[:10, 10:20] == 255).all() and (image[10:20, 10:20] == 0).all()
    )


def test_discs_are_round_the_points():
    target = CircleGrid(4, 5, 0.02, 0.012, asymmetric=True)
    art = artwork(target)
    np.testing.assert_allclose(art.discs[:, :2], 1000 * target.points[:, :2])
    np.testing.assert_allclose(art.discs[:, 2], 6)
    np.testing.assert_allclose(art.extent, [-6, -6, 7 * 20 + 12, 4 * 20 + 12])
