"""How badly the colours of image0 fit what they land on in image1, after a change of exposure between the images.

    d(p) = |I0(p) - a I1(p + f(p)) - b|, the mean of the channels,

with the gain a and the offset b that fit most pixels (least squares, repeated without the worst).
"""

from dataclasses import dataclass

import numba
import numpy as np

from geo3d.flow.images import FlowImages
from geo3d.flow.warp import warp_backward
from geo3d.util.jit import njit
from geo3d.util.require import require

_STEP = 8  # of the pixels that exposure is taken from
_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class Residual:
    """Differences of colour along a flow, in [0, 1].

    Attributes
    ----------
    near, wide : (H, W) float32
        Mean over 3 x 3 and 7 x 7 pixels.
    typical : float
        Median of the first: the noise of the images.
    gain, offset : float
        Of image1, to have the exposure of image0.
    """

    near: np.ndarray
    wide: np.ndarray
    typical: float
    gain: float
    offset: float


def warp_residual(images: FlowImages, flow: np.ndarray) -> Residual:
    """Compare image0 with image1 along a flow.

    Parameters
    ----------
    images : FlowImages
    flow : (H, W, 2) float32
        Finite.
    """
    cv2 = require("cv2")
    warped = warp_backward(images.image1, flow)
    step = min(_STEP, max(1, min(flow.shape[:2]) // 8))
    gain, offset = fit_exposure(images.image0[::step, ::step], warped[::step, ::step])
    difference = np.empty(flow.shape[:2], np.float32)
    _difference(images.image0, warped, np.float32(gain), np.float32(offset), difference)
    near, wide = (cv2.blur(difference, (size, size), borderType=cv2.BORDER_REPLICATE) for size in (3, 7))
    return Residual(near, wide, float(np.median(near[::step, ::step])), gain, offset)


def fit_exposure(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Gain and offset that bring the values of `second` nearest to those of `first`, arrays of one shape.

    A gain below 1/4 or above 4 is no exposure change: then 1 and 0.
    """
    y, x = first.ravel().astype(np.float64), second.ravel().astype(np.float64)
    gain, offset = 1.0, 0.0
    fits = np.ones(len(x), bool)
    for _ in range(_ROUNDS):
        mean_x, mean_y = x[fits].mean(), y[fits].mean()
        spread = ((x[fits] - mean_x) ** 2).sum()
        if spread <= 0.0:
            break
        gain = ((x[fits] - mean_x) * (y[fits] - mean_y)).sum() / spread
        offset = mean_y - gain * mean_x
        off = np.abs(gain * x + offset - y)
        fits = off <= 2.0 * np.median(off)
    return (float(gain), float(offset)) if 0.25 <= gain <= 4.0 else (1.0, 0.0)


@njit(parallel=True, error_model="numpy")
def _difference(image0, warped, gain, offset, out):
    height, width, channels = image0.shape
    for y in numba.prange(height):
        for x in range(width):
            total = np.float32(0.0)
            for c in range(channels):
                total += abs(image0[y, x, c] - gain * warped[y, x, c] - offset)
            out[y, x] = total / np.float32(channels)
