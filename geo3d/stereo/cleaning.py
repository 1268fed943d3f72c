"""After the matching: what contradicts the right image, speckles, holes, and edges that follow the picture's.

check     d_left(x) is kept where |d_right(round(x - d_left(x))) - d_left(x)| <= tolerance
speckles  small islands that nothing joins to their surroundings are dropped
fill      a hole has the smaller of the disparities at its ends in the row: what is hidden is behind
median    of a window, each pixel with the weight exp(-|colour difference| / s_c - distance / s_d)
          (Ma, He, Wei, Sun and Wu, "Constant time weighted median filtering for stereo matching", ICCV 2013)
"""

import numba
import numpy as np

from geo3d.util.jit import njit
from geo3d.util.require import require

_BINS_A_PIXEL = 2


@njit(parallel=True, nogil=True, error_model="numpy")
def left_right_check(left, right, tolerance, out):
    """Into `out`: `left` (H, W) where `right` agrees within the `tolerance`, NaN elsewhere."""
    height, width = left.shape
    for y in numba.prange(height):
        for x in range(width):
            d = left[y, x]
            out[y, x] = np.nan
            at = np.int64(np.floor(np.float32(x) - d + np.float32(0.5))) if d == d else -1
            if 0 <= at < right.shape[1] and abs(right[y, at] - d) <= tolerance:
                out[y, x] = d


@njit(parallel=True, nogil=True, error_model="numpy")
def _to_sixteenths(disparity, low, out):
    for y in numba.prange(disparity.shape[0]):
        for x in range(disparity.shape[1]):
            d = disparity[y, x]
            out[y, x] = (
                min(np.float32(16.0) * (d - low) + np.float32(0.5), np.float32(32_000.0)) if d == d else -16
            )


@njit(parallel=True, nogil=True, error_model="numpy")
def _drop(scaled, disparity):
    for y in numba.prange(disparity.shape[0]):
        for x in range(disparity.shape[1]):
            if scaled[y, x] < 0:
                disparity[y, x] = np.nan


def remove_speckles(disparity: np.ndarray, size: int, step: float) -> None:
    """Set to NaN, in place, what is joined to fewer than `size` pixels.

    Parameters
    ----------
    disparity : (H, W) float32
    size : int
        Pixels.
    step : float
        Neighbours whose disparities differ by at most this are joined, px.
    """
    cv2 = require("cv2")
    if size < 2 or np.isnan(disparity).all():
        return
    low = np.float32(np.fmin.reduce(disparity, axis=None))
    scaled = np.empty(disparity.shape, np.int16)
    _to_sixteenths(disparity, low, scaled)
    cv2.filterSpeckles(scaled, -16, size, round(16 * step))
    _drop(scaled, disparity)


@njit(parallel=True, nogil=True, error_model="numpy")
def fill_rows(disparity, out):
    """Into `out`: `disparity` (H, W), its holes filled by the smaller of the two ends in the row; NaN in empty rows."""
    height, width = disparity.shape
    for y in numba.prange(height):
        last = np.float32(np.nan)
        for x in range(width):
            if disparity[y, x] == disparity[y, x]:
                last = disparity[y, x]
            out[y, x] = last
        last = np.float32(np.nan)
        for x in range(width - 1, -1, -1):
            d = disparity[y, x]
            if d == d:
                last = d
            elif out[y, x] != out[y, x] or last < out[y, x]:
                out[y, x] = last


def fill_holes(disparity: np.ndarray) -> np.ndarray:
    """All pixels known: holes by row, and rows that have nothing by the nearest that has; NaN only if all is unknown.

    Parameters
    ----------
    disparity : (H, W) float32
        NaN in holes.
    """
    filled = np.empty_like(disparity)
    fill_rows(disparity, filled)
    empty = np.isnan(filled[:, 0])
    if empty.any() and not empty.all():
        there = np.flatnonzero(~empty)
        rows = np.arange(len(filled))
        after = np.clip(np.searchsorted(there, rows), 0, len(there) - 1)
        before = np.maximum(after - 1, 0)
        nearer = np.where(rows - there[before] <= np.abs(there[after] - rows), before, after)
        filled[empty] = filled[there[nearer[empty]]]
    return filled


@njit(parallel=True, nogil=True, error_model="numpy")
def _weighted_median(disparity, guide, todo, radius, color_weight, space_weight, low, bins, out):
    height, width = disparity.shape
    for y in numba.prange(height):
        weights, sums = np.zeros(bins, np.float32), np.zeros(bins, np.float32)
        for x in range(width):
            out[y, x] = disparity[y, x]
            if not todo[y, x]:
                continue
            smallest, largest, total = bins, -1, np.float32(0.0)
            r, g, b = np.int32(guide[y, x, 0]), np.int32(guide[y, x, 1]), np.int32(guide[y, x, 2])
            for v in range(max(y - radius, 0), min(y + radius + 1, height)):
                for u in range(max(x - radius, 0), min(x + radius + 1, width)):
                    d = disparity[v, u]
                    difference = abs(r - guide[v, u, 0]) + abs(g - guide[v, u, 1]) + abs(b - guide[v, u, 2])
                    weight = color_weight[difference] * space_weight[abs(u - x) + abs(v - y)]
                    k = np.int64((d - low) * np.float32(_BINS_A_PIXEL))
                    weights[k] += weight
                    sums[k] += weight * d
                    smallest, largest = min(smallest, k), max(largest, k)
                    total += weight
            running, k = np.float32(0.0), smallest
            while k < largest and running + weights[k] < np.float32(0.5) * total:
                running += weights[k]
                k += 1
            first, last = max(k - 1, smallest), min(k + 1, largest)
            median = sums[first : last + 1].sum() / weights[first : last + 1].sum()
            # What differs by less is not an edge in the wrong place, and is finer than the bins.
            if todo[y, x] == 2 or abs(median - disparity[y, x]) > np.float32(1.0):
                out[y, x] = median
            weights[smallest : largest + 1] = 0.0
            sums[smallest : largest + 1] = 0.0


def weighted_median(
    disparity: np.ndarray, guide: np.ndarray, known: np.ndarray, every: bool, radius: int, sigma_levels: float
) -> np.ndarray:
    """Median of each pixel's surroundings, of which those of its own colour count most.

    Parameters
    ----------
    disparity : (H, W) float32
        Without holes.
    guide : (H, W, 3) uint8
        The left image.
    known : (H, W) bool
        Pixels that were matched: they change only where they are more than 1 px off. The others get the median.
    every : bool
        False: the others only.
    radius : int
        Of the window, pixels.
    sigma_levels : float
        Mean difference of a channel, grey levels, at which the weight has fallen to 1 / e.

    Returns
    -------
    (H, W) float32
        A mean over the values within a pixel of the median, so that fractions survive.
    """
    todo = np.where(known, np.uint8(1 if every else 0), np.uint8(2))
    low = float(np.floor(disparity.min()))
    bins = int(_BINS_A_PIXEL * (float(disparity.max()) - low)) + 2
    color_weight = np.exp(-np.arange(766) / (3.0 * sigma_levels)).astype(np.float32) + np.float32(1e-20)
    space_weight = np.exp(-np.arange(2 * radius + 1) / (2.0 * radius)).astype(np.float32)
    out = np.empty_like(disparity)
    _weighted_median(disparity, guide, todo, radius, color_weight, space_weight, np.float32(low), bins, out)
    return out


@njit(parallel=True, nogil=True, error_model="numpy")
def _smooth(disparity, guide, radius, color_weight, step, out):
    height, width = disparity.shape
    for y in numba.prange(height):
        for x in range(width):
            middle = disparity[y, x]
            # As far as the window reaches on both sides, so that it stays symmetric at the border.
            rows, columns = min(radius, y, height - 1 - y), min(radius, x, width - 1 - x)
            total, weights = np.float32(0.0), np.float32(0.0)
            r, g, b = np.int32(guide[y, x, 0]), np.int32(guide[y, x, 1]), np.int32(guide[y, x, 2])
            for v in range(y - rows, y + rows + 1):
                for u in range(x - columns, x + columns + 1):
                    offset = disparity[v, u] - middle
                    if abs(offset) < step:
                        difference = (
                            abs(r - guide[v, u, 0]) + abs(g - guide[v, u, 1]) + abs(b - guide[v, u, 2])
                        )
                        weight = color_weight[difference]
                        total += weight * offset
                        weights += weight
            out[y, x] = middle + total / weights


def smooth_surfaces(disparity: np.ndarray, guide: np.ndarray, radius: int, sigma_levels: float) -> np.ndarray:
    """Bilateral mean of the disparities of each surface.

    Parameters
    ----------
    disparity : (H, W) float32
        Without holes.
    guide : (H, W, 3) uint8
        The left image.
    radius : int
        Of the window, pixels.
    sigma_levels : float
        Mean difference of a channel, grey levels, at which the weight has fallen to 1 / e.

    Returns
    -------
    (H, W) float32
    """
    color_weight = np.exp(-np.arange(766) / (3.0 * sigma_levels)).astype(np.float32)
    out = np.empty_like(disparity)
    _smooth(disparity, guide, radius, color_weight, np.float32(1.0), out)
    return out
