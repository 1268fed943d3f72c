"""Forward splatting: each pixel is put down where its flow leads, and shared among the four pixels around.

    weight(q) = sum_p w(p) k(q - p - flow(p)),    k(d) = max(1 - |d_x|, 0) max(1 - |d_y|, 0)
    values(q) = sum_p w(p) k(q - p - flow(p)) v(p) / weight(q)

The target is divided into bands of rows, one of which no two threads share; each sums what lands in it in the
order of the source, so that the result does not depend on the number of threads.
"""

from dataclasses import dataclass

import numba
import numpy as np

from geo3d.flow.checks import as_flow, same_size
from geo3d.util.jit import njit

_BAND_ROWS = 32
_FAR = np.float32(1e6)


@dataclass(frozen=True, eq=False)
class Splatted:
    """What landed on each pixel.

    Attributes
    ----------
    values : (H, W) or (H, W, C) float32
        The weighted mean; NaN where nothing landed.
    weight : (H, W) float32
        Sum of the weights: 0 in holes; above 1 where the flow converges, where weights are 1.
    """

    values: np.ndarray
    weight: np.ndarray


def splat_forward(values: np.ndarray, flow: np.ndarray, weights: np.ndarray | None = None) -> Splatted:
    """Push values along a flow: image0 splatted by the flow from image0 to image1 looks like image1.

    Parameters
    ----------
    values : (H, W) or (H, W, C)
    flow : (H, W, 2)
        x and y, pixels. What is NaN lands nowhere, nor does what leaves the image.
    weights : (H, W), optional
        How much each pixel counts where several land: 1 where left out. Negative and NaN count as 0.

    Returns
    -------
    Splatted

    Raises
    ------
    ValueError
        If the sizes differ.

    Examples
    --------
    >>> import numpy as np
    >>> row = np.array([[1, 2, 3]], np.float32)
    >>> splat_forward(row, np.full((1, 3, 2), [1.0, 0.0])).values.tolist()
    [[nan, 1.0, 2.0]]
    """
    values, flow = np.asarray(values), as_flow(flow)
    if values.ndim not in (2, 3):
        raise ValueError(f"values: expected (H, W) or (H, W, C), got shape {values.shape}")
    if weights is None:
        weights = np.ones(flow.shape[:2], np.float32)
    weights = np.ascontiguousarray(weights, np.float32)
    same_size(values=values, flow=flow, weights=weights)
    shape = values.shape
    flat = np.ascontiguousarray(values, np.float32).reshape(shape[0], shape[1], -1)
    out, weight = np.zeros(flat.shape, np.float32), np.zeros(shape[:2], np.float32)
    _splat(flat, flow, weights, row_spans(flow), out, weight)
    return Splatted(out.reshape(shape), weight)


def splat_forward_reference(
    values: np.ndarray, flow: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means (H, W, C) and weights (H, W), float64, pixel by pixel as the formulas say."""
    height, width, channels = values.shape
    total, weight = np.zeros((height, width, channels)), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            at = np.array([x, y]) + flow[y, x].astype(np.float64)
            w = weights[y, x]
            if not (np.isfinite(at).all() and w > 0):
                continue
            for j in (0, 1):
                for i in (0, 1):
                    qx, qy = int(np.floor(at[0])) + i, int(np.floor(at[1])) + j
                    if 0 <= qx < width and 0 <= qy < height:
                        k = w * max(1 - abs(qx - at[0]), 0) * max(1 - abs(qy - at[1]), 0)
                        weight[qy, qx] += k
                        total[qy, qx] += k * values[y, x]
    with np.errstate(invalid="ignore"):
        return total / weight[..., None], weight


@njit(parallel=True, error_model="numpy")
def row_spans(flow):
    """(H, 2) int64: the first and last row on which the pixels of each row land; last < first where none does."""
    height, width = flow.shape[0], flow.shape[1]
    spans = np.empty((height, 2), np.int64)
    for y in numba.prange(height):
        low, high = _FAR, -_FAR
        for x in range(width):
            v = flow[y, x, 1]
            low, high = (min(low, v) if v > -_FAR else low), (max(high, v) if v < _FAR else high)
        spans[y, 0] = np.int64(np.floor(np.float32(y) + low))
        spans[y, 1] = np.int64(np.floor(np.float32(y) + high)) + 1
    return spans


@njit(parallel=True, error_model="numpy")
def _splat(values, flow, weights, spans, out, weight):
    height, width, channels = values.shape
    for band in numba.prange((height + _BAND_ROWS - 1) // _BAND_ROWS):
        first, end = band * _BAND_ROWS, min((band + 1) * _BAND_ROWS, height)
        for y in range(height):
            if spans[y, 1] < first or spans[y, 0] >= end:
                continue
            for x in range(width):
                at_x, at_y = np.float32(x) + flow[y, x, 0], np.float32(y) + flow[y, x, 1]
                w = weights[y, x]
                if not (abs(at_x) < _FAR and abs(at_y) < _FAR and w > np.float32(0.0)):
                    continue
                left, top = np.int64(np.floor(at_x)), np.int64(np.floor(at_y))
                fx, fy = at_x - np.float32(left), at_y - np.float32(top)
                for j in range(2):
                    row = top + j
                    if row < first or row >= end:
                        continue
                    wy = w * (fy if j else np.float32(1.0) - fy)
                    for i in range(2):
                        column = left + i
                        k = wy * (fx if i else np.float32(1.0) - fx)
                        if 0 <= column < width and k > np.float32(0.0):
                            weight[row, column] += k
                            for c in range(channels):
                                out[row, column, c] += k * values[y, x, c]
        for y in range(first, end):
            for x in range(width):
                for c in range(channels):
                    out[y, x, c] /= weight[y, x]
