"""Corners to sub-pixel: where the image gradients of a window are perpendicular to the way to the corner (Forstner and
Gulch, "A fast operator for detection and precise location of distinct points, corners and centres of circular
features", 1987), by OpenCV. Each corner has a window of its own size, so that it holds nothing else that is printed.

Pixels here are OpenCV's, the centre of the top-left pixel at (0, 0).
"""

from __future__ import annotations

import numpy as np

from geo3d.util.require import require


def refine_corners(image: np.ndarray, corners: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Corners to sub-pixel.

    Parameters
    ----------
    image : (H, W) uint8
    corners : (N, 2) float
        About where they are, pixels.
    half : (N,) int
        Half side of each one's window, pixels, at least 1.

    Returns
    -------
    (N, 2) float64
        As they came where they lie outside of the image: detectors put corners there, and OpenCV refuses them.
    """
    cv2 = require("cv2")
    refined = np.array(corners, np.float64)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-3)
    inside = np.all((refined >= 0) & (refined <= np.array(image.shape[::-1]) - 1), axis=1)
    for size in np.unique(half[inside]):
        rows = np.flatnonzero((half == size) & inside)
        points = np.ascontiguousarray(refined[rows, None], np.float32)
        refined[rows] = cv2.cornerSubPix(image, points, (int(size), int(size)), (-1, -1), stop)[:, 0]
    return refined
