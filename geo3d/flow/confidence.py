"""How far to believe a flow: about the chance that it is within one pixel of the truth, from four things that tell.

    odds = E s / (s + n^2 / 20) (n / r)^(3/2) g^(-1/2)  [ (1 + (2 e)^2)^(-1/2) ]
    confidence = odds / (1 + odds)

s   smaller eigenvalue of the structure tensor of image0, the mean of [I_x^2, I_x I_y; I_x I_y, I_y^2] over 7 x 7
    pixels: 0 where nothing is seen, or only an edge, along which the motion can't be told (the aperture problem)
n   noise of the images: the median of the residual
r   residual, the mean difference of the colours along the flow over 7 x 7 pixels
g   how much the flow changes from pixel to pixel, px, the mean over 13 x 13 pixels
e   distance from home after following the flow and the one back, px, where that is known

Where s is far above the noise it tells nothing more. The powers are the rounded ones of a logistic regression on
made-up pairs with the flow of the fast and the accurate method. 0 for what is hidden, leaves the image, or is no pixel.
"""

import numba
import numpy as np

from geo3d.flow.images import FlowImages
from geo3d.flow.residual import Residual
from geo3d.flow.warp import warp_backward
from geo3d.util.jit import njit
from geo3d.util.require import require

_SCALE = np.float32(3.2)  # E
_SCALE_RETURN = np.float32(4.0)  # E, where the way back is known
_LEAST_NOISE = np.float32(0.5 / 255.0)
_LEAST_STRUCTURE = np.float32((0.002 / 255.0) ** 2)
_ENOUGH = np.float32(0.05)  # structure beside squared noise
_LEAST_CHANGE = np.float32(0.01)
_STRUCTURE_WINDOW, _CHANGE_WINDOW = 7, 13


def estimate_confidence(
    images: FlowImages,
    flow: np.ndarray,
    residual: Residual,
    occlusion: np.ndarray,
    return_error_px: np.ndarray | None = None,
) -> np.ndarray:
    """Chance that each vector of a flow is within one pixel of the truth.

    Parameters
    ----------
    images : FlowImages
    flow : (H, W, 2) float32
        From image0 to image1, finite.
    residual : Residual
        Of `warp_residual`.
    occlusion : (H, W) bool
    return_error_px : (H, W) float32, optional
        Of `consistency` with the flow back.

    Returns
    -------
    (H, W) float32 in [0, 1]
    """
    cv2 = require("cv2")
    change = np.empty(occlusion.shape, np.float32)
    _changes(flow, change)
    window = _CHANGE_WINDOW, _CHANGE_WINDOW
    change = cv2.blur(change, window, borderType=cv2.BORDER_REPLICATE)
    structure = smaller_eigenvalue(images.gray0)
    confidence = np.empty(occlusion.shape, np.float32)
    strayed = np.zeros((1, 1), np.float32) if return_error_px is None else return_error_px
    _confidence(
        structure, residual.wide, np.float32(residual.typical), change, strayed, occlusion, confidence
    )
    if images.invalid is not None:
        confidence[images.invalid] = 0.0
    if images.invalid1 is not None:
        confidence[warp_backward(images.invalid1.astype(np.float32), flow) > 0.0] = 0.0
    return confidence


def confidence_reference(
    structure: np.ndarray, residual: np.ndarray, noise: float, change: np.ndarray, strayed: np.ndarray | None
) -> np.ndarray:
    """(H, W) float64 as the formula says; `strayed` is e, or None."""
    n = noise + _LEAST_NOISE
    s = structure + _LEAST_STRUCTURE
    odds = s / (s + _ENOUGH * n**2) * (n / (residual + _LEAST_NOISE)) ** 1.5
    odds = odds * (change + _LEAST_CHANGE) ** -0.5
    odds *= _SCALE if strayed is None else _SCALE_RETURN * (1.0 + (2.0 * strayed) ** 2) ** -0.5
    return odds / (1.0 + odds)


def smaller_eigenvalue(gray: np.ndarray) -> np.ndarray:
    """Smaller eigenvalue of the structure tensor: how well the motion of each place can be told.

    Parameters
    ----------
    gray : (H, W) float32

    Returns
    -------
    (H, W) float32
        In squared units of `gray` per pixel: of the mean over 7 x 7 pixels of the products of Sobel's derivatives.
    """
    cv2 = require("cv2")
    # OpenCV's derivatives are twice too large, and the tensor is squared in them
    found = cv2.cornerMinEigenVal(gray, _STRUCTURE_WINDOW, ksize=3, borderType=cv2.BORDER_REPLICATE)
    return np.maximum(found, 0.0) * np.float32(0.25)


@njit(parallel=True, error_model="numpy")
def _changes(flow, change):
    """Larger of the differences to the next pixel in the row and in the column, |du| + |dv|."""
    height, width, _ = flow.shape
    for y in numba.prange(height):
        below = min(y + 1, height - 1)
        for x in range(width):
            after = min(x + 1, width - 1)
            u, v = flow[y, x, 0], flow[y, x, 1]
            across = abs(flow[y, after, 0] - u) + abs(flow[y, after, 1] - v)
            down = abs(flow[below, x, 0] - u) + abs(flow[below, x, 1] - v)
            change[y, x] = max(across, down)


@njit(parallel=True, error_model="numpy")
def _confidence(structure, residual, noise, change, strayed, hidden, out):
    height, width = structure.shape
    one = np.float32(1.0)
    n = noise + _LEAST_NOISE
    with_return = strayed.shape == structure.shape
    for y in numba.prange(height):
        for x in range(width):
            s = structure[y, x] + _LEAST_STRUCTURE
            q = n / (residual[y, x] + _LEAST_NOISE)
            odds = s / (s + _ENOUGH * n * n) * q * np.sqrt(q / (change[y, x] + _LEAST_CHANGE))
            if with_return:
                e = strayed[y, x] + strayed[y, x]
                odds *= _SCALE_RETURN / np.sqrt(one + e * e)
            else:
                odds *= _SCALE
            sure = odds / (one + odds)
            out[y, x] = sure if sure == sure and not hidden[y, x] else np.float32(0.0)
