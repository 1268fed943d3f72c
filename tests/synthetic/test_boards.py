"""Board photos: the corners are where OpenCV finds them, flat or bowed, for narrow and wide lenses."""

import cv2
import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.synthetic import BoardOptions, board_points, board_poses, render_board

PINHOLE = Camera("OPENCV", 400, 300, [350.0, 346, 198, 153, -0.2, 0.05, 0.001, -0.002])
FISHEYE = Camera("OPENCV_FISHEYE", 400, 300, [183.0, 183, 202, 148, 0.05, -0.01, 0.002, 0.0])


@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE], ids=lambda c: c.model)
@pytest.mark.parametrize("bow_m", [0.0, 0.004])
def test_corners_are_where_opencv_finds_them(camera, bow_m):
    options = BoardOptions(bow_m=bow_m, blur_px=1.0, noise=1.0)
    photo = render_board(camera, board_poses(camera, 1, options, max_tilt_deg=20, seed=4)[0], options)
    found, corners = cv2.findChessboardCorners(photo.image, (options.columns, options.rows))
    assert found
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
    corners = cv2.cornerSubPix(photo.image, corners, (5, 5), (-1, -1), criteria).reshape(-1, 2) + 0.5
    distance = np.linalg.norm(corners[:, None] - photo.corners[None], axis=2).min(axis=0)
    assert np.sqrt(np.mean(distance**2)) < 0.05


def test_poses_show_the_whole_board_all_over_the_image():
    poses = board_poses(PINHOLE, 25, seed=1)
    centres = []
    for pose in poses:
        pixels = PINHOLE.project(pose.act(board_points(BoardOptions())))
        assert (pixels > 0).all() and (pixels < [400, 300]).all()
        centres.append(pixels.mean(axis=0))
    assert (np.ptp(centres, axis=0) > [80, 60]).all()


def test_bow_bends_the_board_back_by_what_was_asked():
    points = board_points(BoardOptions(columns=9, rows=7, bow_m=0.01))
    np.testing.assert_allclose(points[9 * 3 + 4], [0.12, 0.09, 0.0], atol=1e-12)
    np.testing.assert_allclose(points[[0, 8, 54, 62], 2], 0.01, atol=1e-12)


def test_the_same_seed_gives_the_same_photo_and_nonsense_is_refused():
    pose = board_poses(PINHOLE, 1)[0]
    small = PINHOLE.rescaled(96, 72)
    a, b, c = (render_board(small, pose, seed=s).image for s in (1, 1, 2))
    assert (a == b).all() and (a != c).any()
    with pytest.raises(ValueError, match="2 x 2 inner corners"):
        render_board(small, pose, BoardOptions(columns=1))
    with pytest.raises(ValueError, match="max_tilt_deg"):
        board_poses(Camera.from_focal("PINHOLE", 20, 16, 20.0), 1)
