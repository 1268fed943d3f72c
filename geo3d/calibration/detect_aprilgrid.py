"""Find Kalibr's grid of AprilTags: OpenCV's detector says which tag is where, each corner is then refined.

Olson, "AprilTag: A robust and flexible visual fiducial system", 2011.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geo3d.calibration.detection import Detection, check_image, detection
from geo3d.calibration.markers import (
    APRIL_BORDER,
    APRIL_FAMILY,
    april_quarter_turns,
    detector_parameters,
    dictionary,
)
from geo3d.calibration.saddles import SaddleGrid, find_saddles
from geo3d.calibration.targets import AprilGrid
from geo3d.util.require import require

if TYPE_CHECKING:
    import cv2

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
    cv = require("cv2")
    parameters = detector_parameters(image.shape)
    parameters.markerBorderBits = APRIL_BORDER
    tags = dictionary(APRIL_FAMILY, target.columns * target.rows)
    detector = cv.aruco.ArucoDetector(tags, parameters)
    quads = _detect(detector, image)
    if len(quads) < target.columns * target.rows:
        # the small squares hang together with the tags where the photo is blurred: thinner black parts them
        quads = {**_detect(detector, cv.dilate(image, np.ones((2, 2), np.uint8))), **quads}
    if not quads:
        return None
    ids = np.concatenate([_corner_ids(target, number) for number in quads])
    pixels = np.concatenate(list(quads.values()))
    return detection(find_saddles(image, _corners(target), ids, pixels), LEAST_CORNERS)


def _detect(detector: cv2.aruco.ArucoDetector, image: np.ndarray) -> dict[int, np.ndarray]:
    """Tag to its corners (4, 2), counter-clockwise from the bottom left of the upright tag, as Kalibr has them."""
    quads, numbers, _ = detector.detectMarkers(image)
    if numbers is None:
        return {}
    # OpenCV goes clockwise from the top left of the tag as its dictionary has it
    corners = np.reshape(quads, (-1, 4, 2)).astype(np.float64)
    corners = np.roll(corners, -april_quarter_turns(), axis=1)[:, [3, 2, 1, 0]]
    return {int(number): quad for number, quad in zip(numbers.ravel(), corners)}


def _corners(target: AprilGrid) -> SaddleGrid:
    row, column = np.divmod(np.arange(len(target.points)), 2 * target.columns)
    return SaddleGrid(
        places=target.points[:, :2],
        falling=(row + column) % 2 == 1,
        clear_m=target.tag_m * min(_BORDER * 2**0.5, target.spacing),  # to the code, or to the next corner
        reach_m=target.tag_m,
    )


def _corner_ids(target: AprilGrid, number: int) -> np.ndarray:
    """(4,) rows of the target's points: a tag's corners counter-clockwise from the bottom left."""
    row, column = divmod(int(number), target.columns)
    low = 2 * row * 2 * target.columns + 2 * column
    high = low + 2 * target.columns
    return np.array([low, low + 1, high + 1, high], np.int64)
