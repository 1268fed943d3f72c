"""Who lands where: for each pixel of image 1 the pixel of image 0 that lands on it, or beside it, at least cost."""

import numba
import numpy as np

from geo3d.flow.splat import row_spans
from geo3d.util.jit import njit

_BAND_ROWS = 32
_FAR = np.float32(1e6)


def claim_targets(flow: np.ndarray, cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The flow that ends at each pixel.

    Parameters
    ----------
    flow : (H, W, 2) float32
        From image 0 to image 1.
    cost : (H, W) float32
        Of those that end less than one pixel from a pixel, in x and in y, that of the least cost takes it, the
        nearest one of equals. Infinite: takes none.

    Returns
    -------
    landed : (H, W, 2) float32
        NaN where none ends.
    least : (H, W) float32
        Its cost, infinite where none ends.
    """
    landed, least = np.full(flow.shape, np.nan, np.float32), np.full(cost.shape, np.inf, np.float32)
    _claim(flow, cost, row_spans(flow), landed, least)
    return landed, least


@njit(parallel=True, error_model="numpy")
def _claim(flow, cost, spans, landed, least):
    height, width = cost.shape
    for band in numba.prange((height + _BAND_ROWS - 1) // _BAND_ROWS):
        first, end = band * _BAND_ROWS, min((band + 1) * _BAND_ROWS, height)
        nearest = np.empty((end - first, width), np.float32)
        for y in range(height):
            if spans[y, 1] < first or spans[y, 0] >= end:
                continue
            for x in range(width):
                u, v = flow[y, x, 0], flow[y, x, 1]
                price = cost[y, x]
                if not (abs(u) < _FAR and abs(v) < _FAR and price < np.inf):
                    continue
                at_x, at_y = np.float32(x) + u, np.float32(y) + v
                left, top = np.int64(np.floor(at_x)), np.int64(np.floor(at_y))
                for row in range(max(top, first), min(top + 2, end)):
                    for column in range(max(left, 0), min(left + 2, width)):
                        away = max(abs(at_x - np.float32(column)), abs(at_y - np.float32(row)))
                        if away >= np.float32(1.0) or price > least[row, column]:
                            continue
                        if price < least[row, column] or away < nearest[row - first, column]:
                            least[row, column], nearest[row - first, column] = price, away
                            landed[row, column, 0], landed[row, column, 1] = u, v
