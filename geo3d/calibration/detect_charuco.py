"""Find a ChArUco board: OpenCV's detector of markers says which corner is where, each corner is then refined.

Garrido-Jurado et al., "Automatic generation and detection of highly reliable fiducial markers under occlusion", 2014.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geo3d.calibration.detection import Detection, check_image, detection
from geo3d.calibration.markers import detector_parameters, dictionary
from geo3d.calibration.saddles import SaddleGrid, find_saddles
from geo3d.calibration.targets import CharucoBoard
from geo3d.util.require import require

if TYPE_CHECKING:
    import cv2

LEAST_CORNERS = 6


def find_charuco(image: np.ndarray, target: CharucoBoard) -> Detection | None:
    """Find the corners of a ChArUco board, of which any part may be in the photo.

    Parameters
    ----------
    image : (H, W) uint8
    target : CharucoBoard

    Returns
    -------
    Detection or None
        At least 6 corners that are not on one line.

    Raises
    ------
    ValueError
        If the image is not (H, W) uint8.
    """
    check_image(image)
    cv = require("cv2")
    board = opencv_board(target)
    charuco = cv.aruco.CharucoParameters()
    charuco.minMarkers = 1
    detector = cv.aruco.CharucoDetector(board, charuco, detector_parameters(image.shape))
    corners, ids, _, _ = detector.detectBoard(image)
    if ids is None or len(ids) < LEAST_CORNERS:
        return None
    ids, corners = ids.ravel().astype(np.int64), corners.reshape(-1, 2).astype(np.float64)
    return detection(find_saddles(image, _corners(target), ids, corners), LEAST_CORNERS)


def _corners(target: CharucoBoard) -> SaddleGrid:
    row, column = np.divmod(np.arange(len(target.points)), target.squares_x - 1)
    first_is_white = target.legacy and target.squares_y % 2 == 0
    return SaddleGrid(
        places=target.points[:, :2],
        falling=(row + column) % 2 == int(first_is_white),
        clear_m=(target.square_m - target.marker_m) / 2 * 2**0.5,  # to the corner of a marker
        reach_m=target.square_m,
    )


def opencv_board(target: CharucoBoard) -> cv2.aruco.CharucoBoard:
    """OpenCV's own object for a board."""
    cv = require("cv2")
    size = (target.squares_x, target.squares_y)
    markers = dictionary(target.dictionary)
    board = cv.aruco.CharucoBoard(size, target.square_m, target.marker_m, markers)
    board.setLegacyPattern(target.legacy)
    return board
