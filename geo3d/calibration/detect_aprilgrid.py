"""Find Kalibr's grid of AprilTags: OpenCV's detector says which tag is where, each corner is then refined.

Olson, "AprilTag: A robust and flexible visual fiducial system", 2011.
"""

from __future__ import annotations

import numpy as np

from geo3d.calibration.detection import Detection, check_image
from geo3d.calibration.markers import (
    APRIL_BORDER,
    APRIL_FAMILY,
    april_quarter_turns,
    detector_parameters,
    dictionary,
)
from geo3d.calibration.saddles import local_affine, refine_saddles
from geo3d.calibration.targets import AprilGrid
from geo3d.util.require import require

LEAST_CORNERS = 6
_BORDER = APRIL_BORDER / (6 + 2 * APRIL_BORDER)  # width of a tag's black border, of its edge


def find_aprilgrid(image: np.ndarray, target: AprilGrid) -> Detection | None:
    """Find the corners of an AprilGrid, of which any part may be in the photo.

    Parameters
    ----------
    image : (H, W) uint8
    target : AprilGrid

    Returns
    -------
    Detection or None
        At least 6 corners.

    Raises
    ------
    ValueError
        If the image is not (H, W) uint8.
    """
    check_image(image)
    cv2 = require("cv2")
    parameters = detector_parameters(image.shape)
    parameters.markerBorderBits = APRIL_BORDER
    tags = dictionary(APRIL_FAMILY, target.columns * target.rows)
    quads, numbers, _ = cv2.aruco.ArucoDetector(tags, parameters).detectMarkers(image)
    if numbers is None:
        return None
    numbers, first = np.unique(numbers.ravel(), return_index=True)
    quads = np.reshape(quads, (-1, 4, 2)).astype(np.float64)[first]
    ids = np.concatenate([_corner_ids(target, number) for number in numbers])
    # OpenCV goes clockwise from the top left of the tag as its dictionary has it, Kalibr counter-clockwise from the
    # bottom left of the upright tag
    corners = np.roll(quads, -april_quarter_turns(), axis=1)[:, [3, 2, 1, 0]].reshape(-1, 2)
    on_board = target.points[ids, :2]
    affine = local_affine(on_board, on_board, corners)
    row, column = np.divmod(ids, 2 * target.columns)
    clear_m = target.tag_m * min(_BORDER, target.spacing / 2)
    refined = refine_saddles(image, corners, affine, clear_m, (row + column) % 2 == 1)
    good = np.isfinite(refined[:, 0])
    if good.sum() < LEAST_CORNERS:
        return None
    order = np.argsort(ids[good])
    return Detection(ids[good][order], refined[good][order] + 0.5)


def _corner_ids(target: AprilGrid, number: int) -> np.ndarray:
    """(4,) rows of the target's points: a tag's corners counter-clockwise from the bottom left."""
    row, column = divmod(int(number), target.columns)
    low = 2 * row * 2 * target.columns + 2 * column
    high = low + 2 * target.columns
    return np.array([low, low + 1, high + 1, high], np.int64)
