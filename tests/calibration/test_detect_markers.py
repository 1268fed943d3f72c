"""ChArUco boards and AprilGrids are found to a fraction of a pixel, whole or in part, with the right ids."""

import cv2
import numpy as np
import pytest

from geo3d.calibration import AprilGrid, CharucoBoard, find_aprilgrid, find_charuco
from geo3d.calibration.detect_charuco import opencv_board
from tests.calibration.photograph import FISHEYE, PINHOLE, board_pose, photograph, plain_photo

CHARUCO = CharucoBoard(8, 6, 0.03, 0.0225)
LEGACY = CharucoBoard(7, 6, 0.03, 0.021, "DICT_4X4_50", legacy=True)
APRIL = AprilGrid(5, 4, 0.04, 0.3)


def find(image, target):
    return find_aprilgrid(image, target) if isinstance(target, AprilGrid) else find_charuco(image, target)


@pytest.mark.parametrize(
    ("target", "camera", "turn", "tilt"),
    [
        (CHARUCO, PINHOLE, 0, (35, 0)),
        (CHARUCO, FISHEYE, 60, (20, 25)),
        (LEGACY, PINHOLE, 160, (0, -40)),
        (APRIL, PINHOLE, 160, (0, -40)),
        (APRIL, FISHEYE, 60, (20, 25)),
    ],
)
def test_boards_are_found_with_their_ids(target, camera, turn, tilt):
    pose = board_pose(camera, target, (330, 230), 0.7, turn, tilt)
    image, truth = photograph(camera, target, pose, samples=3)
    found = find(image, target)
    assert found is not None
    in_view = ((truth > 8) & (truth < [632, 472])).all(axis=1).sum()
    assert len(found) >= 0.9 * in_view
    assert (np.diff(found.ids) > 0).all()
    off = np.linalg.norm(found.pixels - truth[found.ids], axis=1)
    assert np.median(off) < 0.07 and off.max() < 0.5


@pytest.mark.parametrize("target", [CHARUCO, APRIL], ids=lambda t: t.label[:16])
def test_a_part_of_a_board_is_enough(target):
    pose = board_pose(PINHOLE, target, (60, 60), 1.1, 15, (10, 10))
    image, truth = photograph(PINHOLE, target, pose)
    found = find(image, target)
    assert found is not None
    in_view = ((truth > 8) & (truth < [632, 472])).all(axis=1).sum()
    assert 0.85 * in_view < len(found) < len(truth) / 2
    off = np.linalg.norm(found.pixels - truth[found.ids], axis=1)
    assert np.median(off) < 0.07 and off.max() < 0.5


def test_what_is_covered_is_not_invented():
    image, truth = photograph(PINHOLE, APRIL, board_pose(PINHOLE, APRIL, (320, 240), 0.8))
    covered = (np.abs(truth - [320, 240]) < [90, 70]).all(axis=1)
    image[170:310, 230:410] = 120
    found = find_aprilgrid(image, APRIL)
    assert found is not None and covered.sum() >= 8
    assert not covered[found.ids].any()
    assert len(found) >= 0.8 * (~covered).sum()


def test_ids_are_those_of_opencv_for_its_own_drawing():
    for target in (CHARUCO, LEGACY):
        size = (80 * target.squares_x, 80 * target.squares_y)
        drawn = opencv_board(target).generateImage(size, marginSize=0)
        image = cv2.GaussianBlur(
            cv2.copyMakeBorder(drawn, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=255), (0, 0), 1
        )
        found = find_charuco(image, target)
        assert found is not None and len(found) == len(target.points)
        expected = target.points[:, :2] / target.square_m * 80 + 80 + 40
        assert np.abs(found.pixels - expected).max() < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_where_no_board_is(seed):
    image = plain_photo(seed)
    assert find_charuco(image, CharucoBoard(8, 6, 0.03, 0.02, "DICT_4X4_50")) is None
    assert find_aprilgrid(image, AprilGrid(6, 6, 0.03)) is None


def test_another_board_and_colour_are_refused():
    image, _ = photograph(PINHOLE, CHARUCO, board_pose(PINHOLE, CHARUCO, (320, 240), 0.7))
    assert find_aprilgrid(image, APRIL) is None
    with pytest.raises(ValueError, match="uint8"):
        find_charuco(np.zeros((4, 4, 3), np.uint8), CHARUCO)
    with pytest.raises(ValueError, match="uint8"):
        find_aprilgrid(image / 255.0, APRIL)
