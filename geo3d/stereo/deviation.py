"""Standard deviation of a disparity, from what the matching itself shows of its errors.

    log sigma = w . (1, unsmoothed, margin, log s_2, log s_8, share unknown, log(slope + 0.02), log g)

margin        1 - smallest / second smallest sum of costs
s_2, s_8      root mean square, in a window of 19 pixels, of d(x) - (d(x - k) + d(x + k)) / 2 in rows and columns, for
              k = 2 and 8: nought on a plane; d as matched, before anything is smoothed
share         of the pixels of a window of 9 that left and right do not agree on
slope         of the disparity, pixels per pixel
g             contrast that both images have in common: root of the mean product of their horizontal gradients in that
              window, the right image moved by the disparity, grey levels per pixel
unsmoothed    1 where no mean over surfaces is taken afterwards (quality "fast"), else 0

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

_WEIGHTS = np.array([-0.03, 0.35, -0.49, 0.20, 0.66, 0.64, 0.10, -0.12], np.float32)
_NEAR, _WIDE = 4, 9  # radii of the windows
_STEPS = (2, 8)
_UNKNOWN_PX = 0.5  # s_k where hardly a pixel has its neighbours


def deviation_features(
    matched: np.ndarray,
    disparity: np.ndarray,
    margin: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    smoothed: bool,
) -> np.ndarray:
    """What the deviation is taken from.

    Parameters
    ----------
    matched : (H, W) float32
        Disparity as it was matched, px; NaN where left and right do not agree.
    disparity : (H, W) float32
        The final one, without holes.
    margin : (H, W) float32
        Of `Winners`.
    left, right : (H, W, 3) uint8
    smoothed : bool
        Whether the final one is a mean over each surface.

    Returns
    -------
    (8, H, W) float32
        In the order of the formula.
    """
    cv2 = require("cv2")
    ones = np.ones_like(disparity)
    blurred = cv2.blur(disparity, (5, 5))
    slope = np.hypot(*(cv2.Scharr(blurred, cv2.CV_32F, dx, 1 - dx, scale=1 / 32) for dx in (1, 0)))
    unknown = _mean(np.isnan(matched).astype(np.float32), _NEAR)
    return np.stack(
        [
            ones,
            np.float32(not smoothed) * ones,
            margin,
            *(np.log(_roughness(matched, step)) for step in _STEPS),
            unknown,
            np.log(np.minimum(slope, 1.0) + np.float32(0.02)),
            np.log(_shared_contrast(disparity, left, right)),
        ]
    )


def deviation_of(features: np.ndarray) -> np.ndarray:
    """Standard deviation, px, (...) float32, from `deviation_features` (8, ...)."""
    return np.exp(np.tensordot(_WEIGHTS, features, 1))


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    return require("cv2").blur(values, (2 * radius + 1, 2 * radius + 1))


def _roughness(matched: np.ndarray, step: int) -> np.ndarray:
    """s of the formula. Where the second difference is that of an edge, beyond `GROSS_PX`, it does not count."""
    total, count = np.zeros_like(matched), np.zeros_like(matched)
    for axis in (0, 1):
        values = np.moveaxis(matched, axis, 0)
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
