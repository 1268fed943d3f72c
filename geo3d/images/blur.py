"""How blurred a picture is, in pixels, whatever it shows.

Let M(s) be the mean of g g^T over the pixels, g the gradient after smoothing by a Gaussian of standard deviation s.
Across an edge that is itself smoothed by b, the energy u^T M(s) u falls with s as 1 / sqrt(b^2 + s^2), so that from
two smoothings s < t and r = u^T M(t) u / u^T M(s) u

    b^2 = (r^2 t^2 - s^2) / (1 - r^2)

Contrast cancels, and noise is mostly gone after the first smoothing. The direction u is the one in which smoothing
costs least (the larger generalised eigenvalue of M(t), M(s)): along the path of a shaken camera. Measuring the blur of
a picture by blurring it again is Crete et al. 2007; the estimate in pixels is ours.
"""

from __future__ import annotations

import numpy as np

from geo3d.util.require import require

FIRST, SECOND = 0.7, 1.6  # the two smoothings, pixels
_LEAST_ENERGY = 0.05  # squared grey levels per pixel: less is a picture of nothing


def blur_px(gray: np.ndarray) -> float:
    """Standard deviation of the blur of a picture, in its pixels, in the direction in which it is worst.

    Values below about 0.3 cannot be told from each other, and those of pictures of different things only roughly:
    soft things look blurred. Compare with pictures of the same place.

    Parameters
    ----------
    gray : (H, W) uint8 or float
        Grey levels of 0 to 255, at least 16 x 16.

    Returns
    -------
    float
        Infinite for a picture that shows no edges at all.
    """
    if gray.ndim != 2 or min(gray.shape) < 16:
        raise ValueError(f"gray: expected (H, W) of at least 16 x 16, got shape {gray.shape}")
    image = np.asarray(gray, np.float32)
    sharp, smooth = _energy(image, FIRST), _energy(image, SECOND)
    if np.linalg.eigvalsh(sharp)[0] < _LEAST_ENERGY:
        return float("inf")
    share = float(np.linalg.eigvals(np.linalg.solve(sharp, smooth)).real.max())
    if share >= 1:
        return float("inf")
    return float(np.sqrt(max(share**2 * SECOND**2 - FIRST**2, 0.0) / (1 - share**2)))


def _energy(image: np.ndarray, sigma: float) -> np.ndarray:
    """(2, 2) mean of the gradient's outer product after smoothing, squared grey levels per squared pixel."""
    cv2 = require("cv2")
    smooth = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    dx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8)
    dy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)
    xx, yy, xy = (float(cv2.mean(a * b)[0]) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    return np.array([[xx, xy], [xy, yy]])
