"""Targets: their points are where OpenCV and Kalibr have them, and nonsense is refused."""

import cv2
import numpy as np
import pytest

from geo3d.calibration import AprilGrid, CharucoBoard, Checkerboard, CircleGrid
from geo3d.calibration.targets import MARKERS


@pytest.mark.parametrize("size", [(5, 4), (4, 5), (7, 7)])
@pytest.mark.parametrize("legacy", [False, True])
def test_charuco_corners_are_those_of_opencv(size, legacy):
    target = CharucoBoard(*size, 0.03, 0.02, "DICT_4X4_50", legacy)
    board = cv2.aruco.CharucoBoard(size, 0.03, 0.02, cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50))
    board.setLegacyPattern(legacy)
    expected = board.getChessboardCorners()
    np.testing.assert_allclose(target.points, expected - expected[0], atol=1e-8)


def test_the_dictionaries_are_those_of_opencv():
    names = [n for n in dir(cv2.aruco) if n.startswith("DICT_")]
    numbers = {getattr(cv2.aruco, n): n for n in names}
    assert {getattr(cv2.aruco, n) for n in MARKERS} == set(numbers)
    for name, count in MARKERS.items():
        assert len(cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name)).bytesList) == count, name


def test_april_points_are_those_of_opencv_in_the_order_of_kalibr():
    target = AprilGrid(4, 3, 0.08, 0.25)
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
    board = cv2.aruco.GridBoard((4, 3), 0.08, 0.02, dictionary)
    corners = np.array(
        board.getObjPoints()
    )  # (12, 4, 3): rows of tags from the top, corners clockwise from top left
    corners = corners.reshape(3, 4, 4, 3)[::-1].reshape(12, 4, 3)[:, [3, 2, 1, 0]]
    origin = corners[0, 0]
    points = target.points.reshape(6, 8, 3)
    for tag in range(12):
        row, column = 2 * (tag // 4), 2 * (tag % 4)
        low, high = points[row, column : column + 2], points[row + 1, column : column + 2]
        np.testing.assert_allclose([*low, *high[::-1]], corners[tag] - origin, atol=1e-7)
    # the first points as Kalibr numbers them: x to the right, then up
    np.testing.assert_allclose(
        (target.points * [1, -1, -1])[[0, 1, 2, 8], :2], [[0, 0], [0.08, 0], [0.1, 0], [0, 0.08]]
    )


def test_circles_stand_as_in_the_tutorial_of_opencv():
    expected = [((2 * j + i % 2) * 0.02, i * 0.02, 0.0) for i in range(11) for j in range(4)]
    np.testing.assert_allclose(CircleGrid(4, 11, 0.02, 0.015, asymmetric=True).points, expected)
    expected = [(j * 0.02, i * 0.02, 0.0) for i in range(5) for j in range(7)]
    np.testing.assert_allclose(CircleGrid(7, 5, 0.02, 0.01).points, expected)


def test_discs_do_not_touch():
    for target in (CircleGrid(4, 5, 0.02, 0.01), CircleGrid(4, 5, 0.02, 0.01, asymmetric=True)):
        distance = np.linalg.norm(target.points[:, None] - target.points[None], axis=2)
        nearest = distance[~np.eye(len(distance), dtype=bool)].min()
        assert nearest == pytest.approx(target.nearest_m)


def test_sizes_hold_the_points():
    targets = (
        Checkerboard(9, 6, 0.025),
        CharucoBoard(8, 5, 0.03, 0.02),
        AprilGrid(6, 6, 0.03),
        CircleGrid(7, 5, 0.02, 0.01),
        CircleGrid(4, 11, 0.02, 0.01, asymmetric=True),
    )
    for target in targets:
        assert (np.ptp(target.points[:, :2], axis=0) < target.size_m).all()
        assert (target.points[0] == 0).all()
        assert "mm" in target.label
    assert AprilGrid(2, 1, 0.1, 0.3).size_m == pytest.approx((0.29, 0.16))  # with the small squares all round


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: CharucoBoard(5, 4, 0.03, 0.03), "marker_m"),
        (lambda: CharucoBoard(2, 4, 0.03, 0.02), "3 x 3 squares"),
        (lambda: CharucoBoard(5, 4, 0.03, 0.02, "DICT_5X5_20"), "DICT_5X5_250|DICT_5X5_50"),
        (lambda: CharucoBoard(11, 11, 0.03, 0.02, "DICT_4X4_50"), "needs 60"),
        (lambda: AprilGrid(6, 0, 0.03), "tags"),
        (lambda: AprilGrid(6, 6, 0.03, 9.0), "spacing"),
        (lambda: AprilGrid(30, 30, 0.03), "587"),
        (lambda: CircleGrid(7, 5, 0.02, 0.02), "diameter_m"),
        (lambda: CircleGrid(7, 5, 0.0, 0.02), "spacing_m"),
    ],
)
def test_nonsense_is_refused(make, hint):
    with pytest.raises(ValueError, match=hint):
        make()
