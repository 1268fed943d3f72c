"""Square markers of OpenCV's dictionaries: their bits, and how AprilTags 36h11 stand in them.

OpenCV keeps the AprilTags turned by half a turn up to some release of its version 5, upright from then on; the tag of
number 0 tells which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import cv2

APRIL_FAMILY = "DICT_APRILTAG_36h11"
APRIL_BORDER = 2  # modules of black on each side in Kalibr's print
_FIRST_APRIL_TAG = 0xD5D628584  # its 36 bits, 1 is white, row by row from the top left (Olson 2011)


def dictionary(name: str, count: int | None = None) -> cv2.aruco.Dictionary:
    """OpenCV's dictionary of that name, or its first `count` markers, so that no others are found."""
    import cv2

    whole = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
    if count is None:
        return whole
    return cv2.aruco.Dictionary(whole.bytesList[:count], whole.markerSize, whole.maxCorrectionBits)


def marker_bits(name: str, number: int) -> np.ndarray:
    """(n, n) bool, True for white: the inner modules of a marker as OpenCV draws it."""
    import cv2

    markers = dictionary(name)
    row = markers.bytesList[number : number + 1]
    return np.array(cv2.aruco.Dictionary.getBitsFromByteList(row, markers.markerSize)) > 0


def april_quarter_turns() -> int:
    """Quarter turns, counter-clockwise, from an upright AprilTag 36h11 to the one in OpenCV's dictionary."""
    upright = np.array([_FIRST_APRIL_TAG >> (35 - k) & 1 for k in range(36)]).reshape(6, 6) > 0
    bits = marker_bits(APRIL_FAMILY, 0)
    return next(k for k in range(4) if (np.rot90(upright, k) == bits).all())


def april_bits(number: int) -> np.ndarray:
    """(6, 6) bool, True for white: the inner modules of an upright AprilTag 36h11."""
    return np.rot90(marker_bits(APRIL_FAMILY, number), -april_quarter_turns())


def detector_parameters(shape: tuple[int, ...]) -> cv2.aruco.DetectorParameters:
    """OpenCV's parameters of detection for an image of a shape (H, W): markers of 12 pixels and more are looked for."""
    import cv2

    parameters = cv2.aruco.DetectorParameters()
    parameters.minMarkerPerimeterRate = min(0.03, 48 / max(shape[:2]))
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_NONE
    return parameters
