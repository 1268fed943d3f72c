"""What of image0 is hidden in image1, without a flow back: who else lands there, and explains it better.

Of the pixels of image0 that land on one pixel of image1 from farther apart than `_SAME_SURFACE_PX`, at most those of
one surface are seen (mapping uniqueness; Xu et al., "Motion detail preserving optical flow estimation", 2012): the
one whose neighbourhood differs least from what it lands on. The others are hidden, and so is what leaves the image.
"""

import numba
import numpy as np

from geo3d.flow.images import FlowImages
from geo3d.flow.splat import row_spans
from geo3d.flow.warp import leaves_image, warp_backward
from geo3d.util.jit import njit
from geo3d.util.require import require

_SAME_SURFACE_PX = np.float32(1.5)
_BAND_ROWS = 32
_FAR = np.float32(1e6)


def estimate_occlusion(images: FlowImages, flow: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """(H, W) bool: which pixels of image0 are hidden in image1 or leave it.

    Parameters
    ----------
    images : FlowImages
    flow : (H, W, 2) float32
        From image0 to image1, finite.
    residual : (H, W) float32
        How badly each pixel fits where it lands, of `warp_residual`.
    """
    cost = np.full(flow.shape[:2], np.inf, np.float32)
    claimed = np.zeros(flow.shape, np.float32)
    hidden = np.zeros(flow.shape[:2], np.bool_)
    _claim(flow, residual, row_spans(flow), cost, claimed)
    _lose(flow, residual, cost, claimed, hidden)
    return hidden | leaves_image(flow)


def warp_residual(images: FlowImages, flow: np.ndarray) -> np.ndarray:
    """(H, W) float32: mean difference over 5 x 5 pixels of the colours of image0 and of image1 along `flow`."""
    cv2 = require("cv2")
    difference = np.abs(images.image0 - warp_backward(images.image1, flow)).mean(axis=2)
    return cv2.blur(difference, (5, 5), borderType=cv2.BORDER_REPLICATE)


@njit(parallel=True, error_model="numpy")
def _claim(flow, residual, spans, cost, claimed):
    """For each pixel of image1 the smallest residual of those that land on it, and the flow of that one."""
    height, width = residual.shape
    for band in numba.prange((height + _BAND_ROWS - 1) // _BAND_ROWS):
        first, end = band * _BAND_ROWS, min((band + 1) * _BAND_ROWS, height)
        for y in range(height):
            if spans[y, 1] < first or spans[y, 0] >= end:
                continue
            for x in range(width):
                u, v = flow[y, x, 0], flow[y, x, 1]
                if not (abs(u) < _FAR and abs(v) < _FAR):
                    continue
                row = np.int64(np.floor(np.float32(y) + v + np.float32(0.5)))
                column = np.int64(np.floor(np.float32(x) + u + np.float32(0.5)))
                if first <= row < end and 0 <= column < width and residual[y, x] < cost[row, column]:
                    cost[row, column] = residual[y, x]
                    claimed[row, column, 0] = u
                    claimed[row, column, 1] = v


@njit(parallel=True, error_model="numpy")
def _lose(flow, residual, cost, claimed, hidden):
    """Which pixels land where one of another surface fits better."""
    height, width = residual.shape
    for y in numba.prange(height):
        for x in range(width):
            u, v = flow[y, x, 0], flow[y, x, 1]
            if not (abs(u) < _FAR and abs(v) < _FAR):
                continue
            row = np.int64(np.floor(np.float32(y) + v + np.float32(0.5)))
            column = np.int64(np.floor(np.float32(x) + u + np.float32(0.5)))
            if 0 <= row < height and 0 <= column < width and cost[row, column] < residual[y, x]:
                away = np.hypot(claimed[row, column, 0] - u, claimed[row, column, 1] - v)
                hidden[y, x] = away > _SAME_SURFACE_PX
