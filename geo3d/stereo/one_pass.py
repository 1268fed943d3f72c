"""Semi-global matching in one pass over the rows, without a volume: what `fast` is.

    S(p, d) = sum over r of L_r(p, d),   r: from the left, the right, above, and both sides above

with costs C and paths L_r as in `geo3d.stereo.costs` and `geo3d.stereo.semi_global` (Hirschmueller 2008, equation
13), and the smallest of S for the left and for the right image, as in `geo3d.stereo.winner`. The paths from below are
left out: then a row needs only the one above it, and costs and paths of a row stay in the processor's cache (OpenCV's
SGBM does so too).

Paths are bytes: L_r(p, d) is at most the largest cost + P2, which must not exceed 255. So all is exact. Bands of rows
are matched at the same time, each from a few rows above it on: a path forgets quickly.
"""

import numba
import numpy as np

from geo3d.stereo.byte_lanes import (
    LANES,
    add_capped,
    apart,
    first_equal,
    lane_after,
    lane_before,
    lane_numbers,
    load,
    minimum,
    narrow,
    ones,
    smallest,
    spread,
    spread_wide,
    store,
    where_at_most,
    widen,
)
from geo3d.stereo.costs import to_gray
from geo3d.stereo.options import SemiGlobalOptions
from geo3d.stereo.semi_global import edges_of, penalties
from geo3d.stereo.winner import Winners, offset_of
from geo3d.util.jit import njit
from geo3d.util.require import require

_BAND = 256  # rows, about
_AHEAD = 24  # rows above a band from which its paths start
_BEND = np.float32(0.0)  # of the curve through three sums: fractions are even with it as they are, unsmoothed


def match_in_one_pass(
    left: np.ndarray, right: np.ndarray, low: int, count: int, options: SemiGlobalOptions
) -> Winners:
    """Smallest sums of the left and the right image.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
        Rectified, of one size.
    low, count : int
        The disparities are low, low + 1, ..., low + count - 1.
    options : SemiGlobalOptions
        Of which `paths` is 5.
    """
    height, width = left.shape[:2]
    one, two = (_planes(image, options.census_radius) for image in (left, right))
    found = Winners(*(np.empty((height, width), np.float32) for _ in range(3)))
    weights = np.array([options.census_weight, options.difference_weight, options.difference_limit], np.int64)
    jumps = _jumps(edges_of(left), penalties(options.p1, options.p2, options.edge_levels))
    bands = max(2, round(height / _BAND))
    _bands(
        one,
        two,
        jumps,
        low,
        count,
        weights,
        options.p1,
        bands,
        found.left,
        found.right,
        found.margin,
    )
    return found


def _planes(image: np.ndarray, census_radius: tuple[int, int]) -> np.ndarray:
    """(6, H, W) uint8: 24 bits of census and three colours."""
    cv2 = require("cv2")
    rows, columns = census_radius
    gray = cv2.copyMakeBorder(to_gray(image), rows, rows, columns, columns, cv2.BORDER_REPLICATE)
    planes = np.empty((6, *image.shape[:2]), np.uint8)
    _census_bytes(gray, rows, columns, planes)
    for c in range(3):
        cv2.extractChannel(image, c, planes[3 + c])
    return planes


def _jumps(gray: np.ndarray, large: np.ndarray) -> np.ndarray:
    """P2 towards the pixel to the left, above, and above to the left and right, (4, H, W) uint8."""
    cv2 = require("cv2")
    padded = cv2.copyMakeBorder(gray, 1, 0, 1, 1, cv2.BORDER_REPLICATE)
    table = large.astype(np.uint8)
    neighbours = padded[1:, :-2], padded[:-1, 1:-1], padded[:-1, :-2], padded[:-1, 2:]
    return np.stack([cv2.LUT(cv2.absdiff(gray, other), table) for other in neighbours])


@njit(parallel=True, nogil=True, boundscheck=False, error_model="numpy")
def _census_bytes(padded, radius_y, radius_x, out):
    """Into out[0], out[1] and out[2]: the bits of `census`, of which there are at most 24."""
    height, width = out.shape[1:]
    for y in numba.prange(height):
        center = padded[y + radius_y, radius_x : radius_x + width]
        out[0, y, :], out[1, y, :], out[2, y, :] = 0, 0, 0
        number = 0
        for dy in range(2 * radius_y + 1):
            for dx in range(2 * radius_x + 1):
                if dy == radius_y and dx == radius_x:
                    continue
                other = padded[y + dy, dx : dx + width]
                row, bit = out[number >> 3, y], np.uint8(1 << (number & 7))
                number += 1
                for x in range(width):
                    row[x] |= bit if other[x] < center[x] else np.uint8(0)


@njit(parallel=True, nogil=True, boundscheck=False, error_model="numpy")
def _bands(left, right, jumps, low, count, weights, p1, bands, out_left, out_right, out_margin):
    height, width = out_left.shape
    for band in numba.prange(bands):
        start, stop = band * height // bands, (band + 1) * height // bands
        lanes = -(-count // LANES) * LANES
        row = np.empty(7 * (width + lanes), np.uint8)
        beyond = np.where(np.arange(lanes) < count, np.uint8(0), np.uint8(255))
        costs = np.empty(width * lanes, np.uint8)
        # L_r(p, :) and their smallest, with a cell of zeros at both ends for what has no predecessor.
        above = np.zeros((2, 3 * (width + 2) * lanes), np.uint8)
        above_low = np.zeros((2, 3 * (width + 2)), np.uint8)
        beside = np.zeros(2 * (width + 1) * lanes, np.uint8)
        sums, leasts = np.empty(width * lanes, np.uint16), np.empty(width, np.uint16)
        right_sums, right_numbers = np.empty(lanes, np.uint16), np.empty(lanes, np.uint16)
        for y in range(max(start - _AHEAD, 0), stop):
            now, other = y & 1, 1 - (y & 1)
            _row_of_right(right, y, low, lanes, row)
            _costs(left, y, row, beyond, weights, costs)
            _above(costs, p1, jumps, y, lanes, above[other], above_low[other], above[now], above_low[now])
            if y < start:
                continue
            _beside(costs, p1, jumps[0, y], lanes, beside)
            right_sums[:], right_numbers[:], out_right[y] = 0xFFFF, 0xFFFF, np.nan
            outside = row[6 * (width + lanes) :]
            _sums(
                above[now],
                beside,
                outside,
                low,
                count,
                lanes,
                sums,
                leasts,
                right_sums,
                right_numbers,
                out_right[y],
            )
            _between(sums, leasts, low, count, lanes, out_left[y], out_margin[y])


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _row_of_right(right, y, low, lanes, row):
    """Into `row`: the planes of a row, reversed, so that growing disparities lie in growing order; and what is outside.

    Place i is that of x - d for i = d - x + width - 1, d counted from `low`. Beyond the image its ends are repeated.
    """
    width = right.shape[2]
    stride = width + lanes
    first = width - 1 - low  # column of place 0
    inside, end = min(max(first - width + 1, 0), stride), max(min(first + 1, stride), 0)
    for p in range(6):
        source, target = right[p, y], row[p * stride : (p + 1) * stride]
        target[:inside] = source[width - 1]
        for i in range(inside, end):
            target[i] = source[first - i]
        target[max(end, inside) :] = source[0]
    outside = row[6 * stride :]
    outside[:] = 255
    outside[inside:end] = 0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _step(cost, previous, here, following, penalty, jump, low):
    """L(p, d) of one direction, 64 disparities, from those of the predecessor before, of, and after these."""
    near = add_capped(minimum(lane_before(previous, here), lane_after(here, following)), penalty)
    return add_capped(cost, minimum(minimum(here, near), jump) - low)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _costs(left, y, row, beyond, weights, costs):
    """C(p, d) of a row."""
    width, lanes = left.shape[2], len(beyond)
    stride = width + lanes
    limit = spread(weights[2])
    for x in range(width):
        bits_0, bits_1, bits_2 = spread(left[0, y, x]), spread(left[1, y, x]), spread(left[2, y, x])
        color_0, color_1, color_2 = spread(left[3, y, x]), spread(left[4, y, x]), spread(left[5, y, x])
        for k in range(0, lanes, LANES):
            at = width - 1 - x + k
            bits = ones(bits_0 ^ load(row, at)) + ones(bits_1 ^ load(row, at + stride))
            bits += ones(bits_2 ^ load(row, at + 2 * stride))
            difference = apart(color_0, load(row, at + 3 * stride))
            difference = add_capped(difference, apart(color_1, load(row, at + 4 * stride)))
            difference = add_capped(difference, apart(color_2, load(row, at + 5 * stride)))
            difference = widen(minimum(difference, limit)) * weights[1] >> 4
            cost = narrow(widen(bits) * weights[0] + difference)
            store(costs, x * lanes + k, cost | load(beyond, k))


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _above(costs, p1, jumps, y, lanes, before, before_low, after, after_low):
    """The paths of a row that come from above: straight, from the left, from the right."""
    width = len(costs) // lanes
    size = (width + 2) * lanes
    penalty, high = spread(p1), spread(255)
    for r in range(3):
        shift = (0, -1, 1)[r]
        for x in range(width):
            source = r * size + (x + 1 + shift) * lanes
            target = r * size + (x + 1) * lanes
            low = before_low[r * (width + 2) + x + 1 + shift]
            jump, low_lanes = spread(low + jumps[1 + r, y, x]), spread(low)
            lowest, previous, here = high, high, load(before, source)
            for k in range(0, lanes, LANES):
                following = high
                if k + LANES < lanes:
                    following = load(before, source + k + LANES)
                cost = load(costs, x * lanes + k)
                value = _step(cost, previous, here, following, penalty, jump, low_lanes)
                store(after, target + k, value)
                lowest = minimum(lowest, value)
                previous, here = here, following
            after_low[r * (width + 2) + x + 1] = smallest(lowest)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _beside(costs, p1, jumps, lanes, paths):
    """The paths from the left and from the right, together: each waits for its own pixel before."""
    width = len(costs) // lanes
    size = (width + 1) * lanes
    penalty, high = spread(p1), spread(255)
    left_low, right_low = 0, 0
    for j in range(width):
        x, other = j, width - 1 - j
        left_jump = spread(left_low + jumps[x])
        right_jump = spread(right_low + jumps[min(other + 1, width - 1)])
        left_lanes, right_lanes = spread(left_low), spread(right_low)
        left_lowest, right_lowest, left_previous, right_previous = high, high, high, high
        left_from, right_from = x * lanes, size + (other + 1) * lanes
        left_here, right_here = load(paths, left_from), load(paths, right_from)
        for k in range(0, lanes, LANES):
            left_following, right_following = high, high
            if k + LANES < lanes:
                left_following = load(paths, left_from + k + LANES)
                right_following = load(paths, right_from + k + LANES)
            value = _step(
                load(costs, x * lanes + k),
                left_previous,
                left_here,
                left_following,
                penalty,
                left_jump,
                left_lanes,
            )
            store(paths, left_from + lanes + k, value)
            left_lowest = minimum(left_lowest, value)
            value = _step(
                load(costs, other * lanes + k),
                right_previous,
                right_here,
                right_following,
                penalty,
                right_jump,
                right_lanes,
            )
            store(paths, right_from - lanes + k, value)
            right_lowest = minimum(right_lowest, value)
            left_previous, left_here = left_here, left_following
            right_previous, right_here = right_here, right_following
        left_low, right_low = smallest(left_lowest), smallest(right_lowest)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _sums(above, beside, outside, low, count, lanes, sums, leasts, right_sums, right_numbers, out_right):
    """S of a row, its smallest for each pixel of the left image, and the disparities of the right image."""
    width = len(out_right)
    size, other_size = (width + 2) * lanes, (width + 1) * lanes
    none = spread_wide(0xFFFF)
    for x in range(width):
        cell = x * lanes
        cut = x - low - (lanes - 1) < 0 or x - low > width - 1
        lowest, sums_before, numbers_before = none, none, none
        for k in range(0, lanes, LANES):
            place = cell + lanes + k
            total = widen(load(above, place)) + widen(load(above, size + place))
            total += widen(load(above, 2 * size + place)) + widen(load(beside, place))
            total += widen(load(beside, other_size + cell + k))
            if cut:  # some have no pixel in the right image
                total = total | widen(load(outside, width - 1 - x + k)) << 8
            store(sums, cell + k, total)
            lowest = minimum(lowest, total)
            # Lane d is of the pixel x - low - d: from pixel to pixel all move by one lane.
            sums_here, numbers_here = load(right_sums, k), load(right_numbers, k)
            shifted, numbers = lane_before(sums_before, sums_here), lane_before(numbers_before, numbers_here)
            store(right_sums, k, minimum(shifted, total))
            store(right_numbers, k, where_at_most(shifted, total, numbers, lane_numbers(k)))
            sums_before, numbers_before = sums_here, numbers_here
        leasts[x] = smallest(lowest)
        at = x - low - (lanes - 1)
        if 0 <= at < width and right_numbers[lanes - 1] < count:
            out_right[at] = low + right_numbers[lanes - 1]
    for d in range(lanes - 1):
        at = width - 1 - low - d
        if 0 <= at < width and right_numbers[d] < count:
            out_right[at] = low + right_numbers[d]


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _between(sums, leasts, low, count, lanes, out_left, out_margin):
    """Where the smallest sum of each pixel of a row lies, between the whole numbers, and its margin over the next."""
    two, none = spread_wide(2), spread_wide(0xFFFF)
    for x in range(len(out_left)):
        cell, least = x * lanes, leasts[x]
        if least >= 0xFF00:  # no disparity has its pixel in the right image
            out_left[x], out_margin[x] = low if x < low else low + count - 1, 0.0
            continue
        best, k = LANES, -LANES
        while best == LANES:
            k += LANES
            best = first_equal(load(sums, cell + k), least)
        best += k
        lowest = none
        for k in range(0, lanes, LANES):
            near = lane_numbers(k - best + 1)  # 0, 1, 2 around the best
            lowest = minimum(lowest, where_at_most(near, two, none, load(sums, cell + k)))
        here, second = np.float32(least), np.float32(smallest(lowest))
        value = np.float32(low + best)
        if 0 < best < count - 1:
            before, after = sums[cell + best - 1], sums[cell + best + 1]
            if max(before, after) < 0xFF00:
                value += offset_of(np.float32(before), here, np.float32(after), _BEND)
        out_left[x] = value
        out_margin[x] = np.float32(1.0) - here / max(second, np.float32(1.0))
