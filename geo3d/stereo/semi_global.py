"""Semi-global aggregation: S(p, d) = sum over directions r of L_r(p, d), exact, over whole scan lines.

L_r is the cheapest cost of any path of disparities along r that ends in d at p, less a constant (Hirschmueller,
"Stereo processing by semiglobal matching and mutual information", PAMI 2008, equation 13), with a penalty P1 for
steps of one disparity and P2 for larger ones; P2 falls where the left image has an edge between the two pixels.

The directions come in two halves, those from above (and the left) and those from below (and the right). One thread
takes the first half over the upper rows while another takes the second half over the lower rows; then each goes on
into the rows of the other, and adds. So S is read and written twice in all, no row waits for a thread, and the sums,
being of integers, do not depend on the order.
"""

import numba
import numpy as np

from geo3d.stereo.costs import to_gray
from geo3d.stereo.options import ONE_PASS
from geo3d.stereo.path_step import (
    HIGH,
    LANES,
    add_2,
    add_4,
    add_8,
    path_step_reference,
    write_2,
    write_4,
    write_8,
)
from geo3d.util.jit import njit
from geo3d.util.require import require

# (dy, dx) from the pixel before to this one, of the half that comes from above; the other half is the opposite.
DIRECTIONS = {
    4: ((0, 1), (1, 0)),
    8: ((0, 1), (1, 1), (1, 0), (1, -1)),
    16: ((0, 1), (1, 1), (1, 0), (1, -1), (1, 2), (1, -2), (2, 1), (2, -1)),
}
DOWNWARDS = ((0, 1), (0, -1), (1, 0), (1, 1), (1, -1))
"""The five of `geo3d.stereo.one_pass`."""


_TEXTURE_PX = 5


def edges_of(left: np.ndarray) -> np.ndarray:
    """(H, W) uint8 grey levels of the left image (H, W, 3) for P2: the edges of surfaces, without texture.

    A median keeps edges and takes away most of what is finer than half its window. With the texture left in, P2 would
    be low all over a pattern that repeats, and patches of other periods would appear. Two of 5 pixels do what one of 7
    does; OpenCV's of 5 takes a fortieth of the time of its 7.
    """
    cv2 = require("cv2")
    return cv2.medianBlur(cv2.medianBlur(to_gray(left), _TEXTURE_PX), _TEXTURE_PX)


def penalties(p1: int, p2: int, edge_levels: float) -> np.ndarray:
    """P2 for each difference of grey levels between neighbours, (256,) int64: p2 / (1 + difference / edge_levels).

    Never below 1.5 P1: a jump has to cost more than a step of one.
    """
    falling = p2 / (1.0 + np.arange(256) / edge_levels)
    return np.maximum(np.round(falling), np.ceil(1.5 * p1)).astype(np.int64)


def aggregate_reference(
    costs: np.ndarray, gray: np.ndarray, p1: int, p2: np.ndarray, paths: int
) -> np.ndarray:
    """S, (H, W, D) int64, from the costs (H, W, D) uint8; pixel by pixel, as the formula says."""
    height, width, _ = costs.shape
    total = np.zeros(costs.shape, np.int64)
    half = DIRECTIONS[paths] if paths != ONE_PASS else ()
    for dy, dx in [*half, *((-dy, -dx) for dy, dx in half)] or DOWNWARDS:
        path = np.zeros(costs.shape, np.int64)
        rows = range(height) if dy > 0 or (dy == 0 and dx > 0) else range(height - 1, -1, -1)
        for y in rows:
            for x in range(width) if dy > 0 or (dy == 0 and dx > 0) else range(width - 1, -1, -1):
                py, px = y - dy, x - dx
                if 0 <= py < height and 0 <= px < width:
                    large = int(p2[abs(int(gray[y, x]) - int(gray[py, px]))])
                    path[y, x] = path_step_reference(costs[y, x].astype(np.int64), path[py, px], p1, large)
                else:
                    path[y, x] = costs[y, x]
        total += path
    return total


def aggregate(costs: np.ndarray, gray: np.ndarray, p1: int, p2: np.ndarray, paths: int) -> np.ndarray:
    """S of all paths.

    Parameters
    ----------
    costs : (H, W, D) uint8
        C, D a multiple of 16.
    gray : (H, W) uint8
        Of the left image: `edges_of`.
    p1 : int
        Penalty of a step of one disparity.
    p2 : (256,) int64
        Of larger ones, by the difference of grey levels: `penalties`.
    paths : int
        4, 8 or 16.

    Returns
    -------
    (H, W, D) uint16
    """
    _, width, lanes = costs.shape
    directions = np.array(DIRECTIONS[paths], np.int64)
    count = len(directions)
    rows = 1 + int(directions[:, 0].max())
    sums = np.empty(costs.shape, np.uint16)
    stride = lanes + LANES
    # [thread][direction][row in turn][pixel][disparity], and one row of zeros for what has no predecessor
    line = np.full((2, count * rows * width + 1, stride), HIGH, np.uint16)
    line[:, -1, :lanes] = 0
    before = np.full((2, 1, LANES), HIGH, np.uint16)
    buffers = np.concatenate([before.reshape(2, -1), line.reshape(2, -1)], axis=1)
    lows = np.zeros((2, count * rows * width + 1), np.int64)
    _aggregate(costs.reshape(-1), sums.reshape(-1), gray, int(p1), p2, directions, buffers, lows, lanes)
    return sums


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _sweep(costs, sums, gray, p1, p2, directions, buffer, lows, lanes, first, last, backward, add):
    """Rows first <= i < last of the half of directions, counted from the bottom right if backward."""
    height, width = gray.shape
    count = directions.shape[0]
    rows = directions[:, 0].max() + 1
    stride = lanes + LANES
    nothing = count * rows * width
    state = np.empty(4 * count, np.int64)
    own_rows, rows_before = np.empty(count, np.int64), np.empty(count, np.int64)
    for i in range(first, last):
        y = height - 1 - i if backward else i
        for k in range(count):
            own_rows[k] = (k * rows + i % rows) * width
            rows_before[k] = (k * rows + (i - directions[k, 0]) % rows) * width
        for j in range(width):
            x = width - 1 - j if backward else j
            level = np.int64(gray[y, x])
            for k in range(count):
                dy, dx = directions[k, 0], directions[k, 1]
                before = nothing
                jump = 0
                pj = j - dx
                if i >= dy and pj >= 0 and pj < width:
                    before = rows_before[k] + pj
                    py = y + dy if backward else y - dy
                    px = x + dx if backward else x - dx
                    jump = p2[abs(level - np.int64(gray[py, px]))]
                state[k] = LANES + before * stride
                state[count + k] = LANES + (own_rows[k] + j) * stride
                state[2 * count + k] = lows[before]
                state[3 * count + k] = jump
            cell = (y * width + x) * lanes
            if add:
                if count == 2:
                    add_2(costs, cell, buffer, state, p1, sums, lanes)
                elif count == 4:
                    add_4(costs, cell, buffer, state, p1, sums, lanes)
                else:
                    add_8(costs, cell, buffer, state, p1, sums, lanes)
            else:
                if count == 2:
                    write_2(costs, cell, buffer, state, p1, sums, lanes)
                elif count == 4:
                    write_4(costs, cell, buffer, state, p1, sums, lanes)
                else:
                    write_8(costs, cell, buffer, state, p1, sums, lanes)
            for k in range(count):
                lows[own_rows[k] + j] = state[2 * count + k]


@njit(parallel=True, nogil=True, error_model="numpy")
def _aggregate(costs, sums, gray, p1, p2, directions, buffers, lows, lanes):
    height = gray.shape[0]
    middle = height // 2
    for half in numba.prange(2):
        stop = middle if half == 0 else height - middle
        _sweep(
            costs, sums, gray, p1, p2, directions, buffers[half], lows[half], lanes, 0, stop, half == 1, False
        )
    for half in numba.prange(2):
        start = middle if half == 0 else height - middle
        _sweep(
            costs,
            sums,
            gray,
            p1,
            p2,
            directions,
            buffers[half],
            lows[half],
            lanes,
            start,
            height,
            half == 1,
            True,
        )
