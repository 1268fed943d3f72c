"""Find a ChArUco board: OpenCV's detector of markers says which corner is where, each corner is then refined.

Garrido-Jurado et al., "Automatic generation and detection of highly reliable fiducial markers under occlusion", 2014.
"""

from __future__ import annotations

import numpy as np

from geo3d.calibration.detection import Detection, check_image
from geo3d.calibration.markers import detector_parameters, dictionary
from geo3d.calibration.saddles import local_affine, refine_saddles
from geo3d.calibration.targets import CharucoBoard
from geo3d.util.require import require

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
    cv2 = require("cv2")
    board = opencv_board(target)
    charuco = cv2.aruco.CharucoParameters()
    charuco.minMarkers = 1
    detector = cv2.aruco.CharucoDetector(board, charuco, detector_parameters(image.shape))
    corners, ids, quads, numbers = detector.detectBoard(image)
    if ids is None or len(ids) < LEAST_CORNERS:
        return None
    ids, corners = ids.ravel().astype(np.int64), corners.reshape(-1, 2).astype(np.float64)
    on_board = target.points[ids, :2]
    # the corners of the markers help to see how the board lies where few of its own corners are known
    of_markers = np.array(board.getObjPoints())[numbers.ravel(), :, :2].reshape(-1, 2) - target.square_m
    affine = local_affine(
        on_board,
        np.concatenate([on_board, of_markers]),
        np.concatenate([corners, np.reshape(quads, (-1, 2))]),
    )
    row, column = np.divmod(ids, target.squares_x - 1)
    first_is_white = target.legacy and target.squares_y % 2 == 0
    falling = (row + column) % 2 == int(first_is_white)
    clear_m = (target.square_m - target.marker_m) / 2
    refined = refine_saddles(image, corners, affine, clear_m, falling)
    good = np.isfinite(refined[:, 0])
    if good.sum() < LEAST_CORNERS or np.linalg.matrix_rank(on_board[good] - on_board[good][0]) < 2:
        return None
    order = np.argsort(ids[good])
    return Detection(ids[good][order], refined[good][order] + 0.5)


def opencv_board(target: CharucoBoard) -> cv2.aruco.CharucoBoard:  # noqa: F821
    """OpenCV's own object for a board."""
    cv2 = require("cv2")
    size = (target.squares_x, target.squares_y)
    markers = dictionary(target.dictionary)
    board = cv2.aruco.CharucoBoard(size, target.square_m, target.marker_m, markers)
    board.setLegacyPattern(target.legacy)
    return board
