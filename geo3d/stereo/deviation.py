"""Standard deviation of a disparity, from what the matching itself shows of its errors.

    log sigma = w . (1, margin, log s_4, log s_8, share unknown, log(slope + 0.02), log g)

margin        1 - smallest / second smallest sum of costs
s_4, s_8      root mean square, in a window of 19 pixels, of d(x) - (d(x - k) + d(x + k)) / 2 in rows and columns, for
              k = 4 and 8: nought on a plane. Of the final disparity: a mean over a surface leaves errors that are
              alike over more than its window, and how many those are differs from scene to scene
share         of the pixels of a window of 9 that left and right do not agree on
slope         of the disparity, pixels per pixel
g             contrast that both images have in common: root of the mean product of their horizontal gradients in that
              window, the right image moved by the disparity, grey levels per pixel

The weights make the errors of made-up pairs most likely, under Student's t of 5 degrees (errors have long tails), and
a common factor then brings one and two deviations to 68 and 95 %. The pairs are those of `geo3d.synthetic` as a camera
would have stored them (`as_photographed`); `python benchmarks/stereo_deviation.py` fits them again, and checks them on
pairs of other seeds and on real ones. Errors above `GROSS_PX` are not meant: for those there is the confidence.
"""

import numpy as np

from geo3d.stereo.costs import to_gray
from geo3d.util.require import require

GROSS_PX = 2.0
"""Errors above this are of a wrong surface."""

_WEIGHTS = np.array([0.10, -0.50, 0.29, 0.42, 0.64, 0.06, -0.12], np.float32)
_NEAR, _WIDE = 4, 9  # radii of the windows
_STEPS = (4, 8)
_UNKNOWN_PX = 0.5  # s_k where hardly a pixel has its neighbours


def deviation_features(
    disparity: np.ndarray, filled: np.ndarray, margin: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """What the deviation is taken from.

    Parameters
    ----------
    disparity : (H, W) float32
        The final one, px; NaN where left and right do not agree.
    filled : (H, W) float32
        The same without holes.
    margin : (H, W) float32
        Of `Winners`.
    left, right : (H, W, 3) uint8

    Returns
    -------
    (7, H, W) float32
        In the order of the formula.
    """
    cv2 = require("cv2")
    blurred = cv2.blur(filled, (5, 5))
    slope = np.hypot(*(cv2.Scharr(blurred, cv2.CV_32F, dx, 1 - dx, scale=1 / 32) for dx in (1, 0)))
    unknown = _mean(np.isnan(disparity).astype(np.float32), _NEAR)
    return np.stack(
        [
            np.ones_like(filled),
            margin,
            *(np.log(_roughness(disparity, step)) for step in _STEPS),
            unknown,
            np.log(np.minimum(slope, 1.0) + np.float32(0.02)),
            np.log(_shared_contrast(filled, left, right)),
        ]
    )


def deviation_of(features: np.ndarray) -> np.ndarray:
    """Standard deviation, px, (...) float32, from `deviation_features` (7, ...)."""
    return np.exp(np.tensordot(_WEIGHTS, features, 1))


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    return require("cv2").blur(values, (2 * radius + 1, 2 * radius + 1))


def _roughness(disparity: np.ndarray, step: int) -> np.ndarray:
    """s of the formula. Where the second difference is that of an edge, beyond `GROSS_PX`, it does not count."""
    total, count = np.zeros_like(disparity), np.zeros_like(disparity)
    for axis in (0, 1):
        values = np.moveaxis(disparity, axis, 0)
        bend = values[step:-step] - np.float32(0.5) * (values[: -2 * step] + values[2 * step :])
        with np.errstate(invalid="ignore"):
            counts = np.abs(bend) < GROSS_PX
        np.moveaxis(total, axis, 0)[step:-step] += np.where(counts, bend**2, np.float32(0.0))
        np.moveaxis(count, axis, 0)[step:-step] += counts
    share = _mean(count, _WIDE)
    enough = np.float32(0.05)
    squared = np.where(share > enough, _mean(total, _WIDE) / np.maximum(share, enough), _UNKNOWN_PX**2)
    return np.sqrt(squared.astype(np.float32) + np.float32(1e-4))


def _shared_contrast(disparity: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    cv2 = require("cv2")
    height, width = disparity.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    here, there = (to_gray(image).astype(np.float32) for image in (left, right))
    there = cv2.remap(there, x - disparity, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    one, two = (cv2.Sobel(gray, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8) for gray in (here, there))
    return np.sqrt(np.maximum(_mean(one * two, _NEAR), np.float32(0.0)) + np.float32(0.01))
