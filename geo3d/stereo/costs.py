"""How unlike two pixels are: census and absolute differences, as a volume of bytes.

    C(y, x, d) = min(255, census_weight * hamming(census_l(y, x), census_r(y, x - d))
                          + difference_weight / 16 * min(sum_c |l_c(y, x) - r_c(y, x - d)|, difference_limit))

The census of a pixel has a bit for each neighbour that is darker than it (Zabih and Woodfill 1994): it does not
change with exposure or gain. The absolute difference of colours keeps edges sharper and tells apart what has the same
census. Left and right are rectified; disparity d = min_disparity + index, x_right = x_left - d.

Where x - d lies outside of the right image, the cost of the nearest disparity that does not is repeated.
"""

import numba
import numpy as np

from geo3d.stereo.cost_row import cost_row
from geo3d.stereo.options import SemiGlobalOptions
from geo3d.stereo.path_step import LANES
from geo3d.util.jit import njit
from geo3d.util.require import require


def to_gray(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8, Rec. 601 luma of (H, W, 3) RGB."""
    cv2 = require("cv2")
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def census_reference(gray: np.ndarray, radius_y: int, radius_x: int) -> np.ndarray:
    """(H, W) uint64, bits in the order of the rows of the window; the border's pixels are repeated outside."""
    padded = np.pad(gray, ((radius_y, radius_y), (radius_x, radius_x)), mode="edge")
    height, width = gray.shape
    result = np.zeros(gray.shape, np.uint64)
    for dy in range(2 * radius_y + 1):
        for dx in range(2 * radius_x + 1):
            if (dy, dx) != (radius_y, radius_x):
                darker = padded[dy : dy + height, dx : dx + width] < gray
                result = (result << np.uint64(1)) | darker.astype(np.uint64)
    return result


@njit(parallel=True, nogil=True, error_model="numpy")
def _census(padded, radius_y, radius_x, out):
    height, width = out.shape
    for y in numba.prange(height):
        row = out[y]
        center = padded[y + radius_y, radius_x : radius_x + width]
        row[:] = 0
        for dy in range(2 * radius_y + 1):
            for dx in range(2 * radius_x + 1):
                if dy == radius_y and dx == radius_x:
                    continue
                other = padded[y + dy, dx : dx + width]
                for x in range(width):
                    row[x] = (row[x] << np.uint64(1)) | np.uint64(other[x] < center[x])


def census(gray: np.ndarray, radius_y: int = 3, radius_x: int = 4) -> np.ndarray:
    """Census of each pixel.

    Parameters
    ----------
    gray : (H, W) uint8
    radius_y, radius_x : int
        Of the window, pixels; its pixels less one are the bits, at most 64.

    Returns
    -------
    (H, W) uint64
    """
    padded = np.pad(gray, ((radius_y, radius_y), (radius_x, radius_x)), mode="edge")
    out = np.empty(gray.shape, np.uint64)
    _census(padded, radius_y, radius_x, out)
    return out


def cost_volume(
    left: np.ndarray, right: np.ndarray, low: int, count: int, options: SemiGlobalOptions
) -> np.ndarray:
    """C of a pair.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
        The widths may differ.
    low, count : int
        The disparities are low, low + 1, ..., low + count - 1.
    options : SemiGlobalOptions

    Returns
    -------
    (H, W, D) uint8
        D is `count` or the next multiple of 16; what is beyond `count` is 255.
    """
    left_bits, right_bits = (census(to_gray(image), *options.census_radius) for image in (left, right))
    lanes = -(-count // LANES) * LANES
    out = np.empty((*left.shape[:2], lanes), np.uint8)
    weights = options.census_weight | options.difference_weight << 16 | options.difference_limit << 32
    _volume(left_bits, right_bits, left, right, low, count, weights, out)
    return out


def cost_volume_reference(
    left: np.ndarray, right: np.ndarray, low: int, count: int, options: SemiGlobalOptions
) -> np.ndarray:
    """(H, W, count) as the formula says, pixel by pixel."""
    bits = [census_reference(to_gray(image), *options.census_radius) for image in (left, right)]
    height, width = left.shape[:2]
    out = np.empty((height, width, count), np.int64)
    for x in range(width):
        for d in range(count):
            # the nearest disparity whose pixel is in the right image; of the range, or its end
            at = x - low - d
            inside = [x - low - e for e in range(count) if 0 <= x - low - e < right.shape[1]]
            at = min(inside, key=lambda place: abs(place - at)) if inside else at
            at = min(max(at, 0), right.shape[1] - 1)
            ones = np.bitwise_count(bits[0][:, x] ^ bits[1][:, at]).astype(np.int64)
            difference = np.abs(left[:, x].astype(np.int64) - right[:, at]).sum(axis=1)
            difference = np.minimum(difference, options.difference_limit) * options.difference_weight >> 4
            out[:, x, d] = np.minimum(ones * options.census_weight + difference, 255)
    return out


@njit(parallel=True, nogil=True, error_model="numpy")
def _volume(left_bits, right_bits, left, right, low, count, weights, out):
    height, width, lanes = out.shape
    right_width = right.shape[1]
    flat = out.reshape(-1)
    stride = right_width + 2 * lanes
    for y in numba.prange(height):
        # The right row, reversed: what belongs to growing disparities lies in growing order; room at both ends.
        bits, colors = np.zeros(stride, np.uint64), np.zeros(3 * stride, np.uint8)
        for x in range(right_width):
            at = lanes + right_width - 1 - x
            bits[at] = right_bits[y, x]
            for c in range(3):
                colors[c * stride + at] = right[y, x, c]
        for x in range(width):
            # first <= d < last have their pixel in the right image; where none has, the image's end stands for it
            first = min(max(x - low - (right_width - 1), 0), count - 1)
            last = max(min(x - low + 1, count), first + 1)
            start = min(max(right_width - 1 - x + low + first, 0), right_width - 1) - first
            color = np.int64(left[y, x, 0]) | np.int64(left[y, x, 1]) << 8 | np.int64(left[y, x, 2]) << 16
            cell = (y * width + x) * lanes
            cost_row(left_bits[y, x], color, bits, colors, lanes + start, stride, weights, flat, cell, lanes)
            flat[cell : cell + first] = flat[cell + first]
            flat[cell + last : cell + count] = flat[cell + last - 1]
            flat[cell + count : cell + lanes] = 255
