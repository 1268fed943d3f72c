"""From sums of costs to a disparity: the smallest, between the whole numbers, and whether to believe it.

    left   argmin_d S(y, x, d),  over the d whose pixel x - d lies in the right image
    right  argmin_d S(y, x + d, d), the same for each pixel of the right image

and the place of the smallest between the whole numbers, from a curve through three sums.
"""

from dataclasses import dataclass

import numba
import numpy as np

from geo3d.util.jit import njit

_BEND = np.float32(0.5)  # fractions are even with it once surfaces are smoothed, which draws to whole numbers


@dataclass(frozen=True, eq=False)
class Winners:
    """The smallest sums of each pixel.

    Attributes
    ----------
    left : (H, W) float32
        Disparity of each pixel of the left image, px, with its fraction.
    right : (H, W) float32
        Of the right image, in whole numbers; NaN where no left pixel looks at it.
    margin : (H, W) float32
        1 - smallest / second, of which the second is the smallest sum farther than one disparity away; 0 to 1.
    """

    left: np.ndarray
    right: np.ndarray
    margin: np.ndarray


def winners(sums: np.ndarray, low: int, count: int, right_width: int) -> Winners:
    """Smallest sums of the left and the right image.

    Parameters
    ----------
    sums : (H, W, D) uint16
        S; of the last axis the first `count` are of the disparities `low`, `low` + 1, ... It is used up: what it holds
        afterwards means nothing.
    low, count : int
    right_width : int
        Of the right image, pixels.
    """
    height, width, _ = sums.shape
    widths = width, right_width, width
    found = Winners(*(np.empty((height, size), np.float32) for size in widths))
    _winners(sums, low, count, found.left, found.right, found.margin)
    return found


def winners_reference(
    sums: np.ndarray, low: int, count: int, right_width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Whole disparities of the left and the right image, float64, as the formulas say; the first of equal ones."""
    height, width, _ = sums.shape
    left, right = np.zeros((height, width)), np.full((height, right_width), np.nan)
    for x in range(width):
        inside = [d for d in range(count) if 0 <= x - low - d < right_width]
        inside = inside or [0 if x < low else count - 1]
        left[:, x] = low + inside[0] + sums[:, x, inside].argmin(axis=1)
    for x in range(right_width):
        inside = [d for d in range(count) if 0 <= x + low + d < width]
        if inside:
            column = np.stack([sums[:, x + low + d, d] for d in inside], axis=-1)
            right[:, x] = low + inside[0] + column.argmin(axis=1)
    return left, right


@njit(nogil=True, error_model="numpy")
def offset_of(before, here, after, bend):
    """Where the smallest lies, within (-0.5, 0.5), from the sums at -1, 0 and 1.

    With t, the smaller of the two rises over the larger: (1 - t) / 2 (1 + `bend` t), which is the V of an absolute
    difference where `bend` is 0, and (1 - t^2) / 2 where it is 1. The wrong one draws the results to whole or half
    numbers ("pixel locking"); for sums of census costs the truth lies between (Haller and Nedevschi, "Design of
    interpolation functions for subpixel-accuracy stereo-vision systems", 2012).
    """
    left, right = before - here, after - here
    larger = max(left, right)
    if larger <= 0.0:
        return np.float32(0.0)
    t = min(left, right) / larger
    size = np.float32(0.5) * (np.float32(1.0) - t) * (np.float32(1.0) + bend * t)
    return size if left > right else -size


@njit(parallel=True, nogil=True, error_model="numpy")
def _winners(sums, low, count, left, right, margin):
    height, width, _ = sums.shape
    right_width = right.shape[1]
    for y in numba.prange(height):
        # Keys have the sum above and the disparity below. The right image's row lies reversed, so
        # that its pixels x - d lie in growing order; after it is room for the left pixels that look past the image.
        keys = np.full(right_width + 1, np.uint32(0xFFFFFFFF), np.uint32)
        for x in range(width):
            first = min(max(x - low - (right_width - 1), 0), count - 1)
            last = max(min(x - low + 1, count), first + 1)
            cell = sums[y, x, first:last]
            start = right_width - 1 - x + low + first
            start = start if 0 <= start < right_width else right_width
            mine = keys[start : start + last - first]
            best = np.uint32(0xFFFFFFFF)
            for d in range(last - first):
                key = np.uint32((np.uint32(cell[d]) << np.uint32(16)) | np.uint32(d + first))
                best = min(best, key)
                mine[d] = min(mine[d], key)
            d = np.int64(best & np.uint32(0xFFFF)) - first
            here = np.float32(best >> np.uint32(16))
            value = np.float32(d + first + low)
            if 0 < d < last - first - 1:
                value += offset_of(np.float32(cell[d - 1]), here, np.float32(cell[d + 1]), _BEND)
            for e in range(max(d - 1, 0), min(d + 2, last - first)):
                cell[e] = 0xFFFF  # so that the loop over the others is one of plain minima
            second = np.uint16(0xFFFF)
            for e in range(last - first):
                second = min(second, cell[e])
            margin[y, x] = np.float32(1.0) - here / max(np.float32(second), np.float32(1.0))
            left[y, x] = value
        for x in range(right_width):
            key = keys[right_width - 1 - x]
            right[y, x] = np.nan
            if key != np.uint32(0xFFFFFFFF):
                right[y, x] = np.float32(np.int64(key & np.uint32(0xFFFF)) + low)
