"""Kernels of guided matching: the costs of all places on the epipolar lines, their semi-global sum, the refinement.

Image 1 has been warped by the homography of a plane, so that what lies on it is at the same pixel p in both, and the
rest at

    p(d) = (p + d e_xy) / (1 + d e_z),      d = low + k step,  k = 0 ... D - 1

The cost C(p, k) is the Hamming distance of census transforms of 9 x 7 pixels (Zabih and Woodfill 1994) of p and of the
pixel nearest to p(d). The sum S is that of eight paths (Hirschmueller 2008, equation 13):

    L(p, k) = C(p, k) + min(L(q, k), L(q, k - 1) + P1, L(q, k + 1) + P1, min L(q) + P2) - min L(q),    q = p - r

All numbers are whole, so that sums in float32 are exact and the result does not depend on threads.
"""

import numba
import numpy as np

from geo3d.util.jit import njit

CENSUS_X, CENSUS_Y = 4, 3
OUTSIDE = 31  # cost of a place outside of image 1: half of the bits
_FAR = np.float32(1e6)


@njit(parallel=True, error_model="numpy")
def census(gray):
    """(H, W) uint64: one bit for each neighbour that is darker than the pixel."""
    height, width = gray.shape
    out = np.zeros((height, width), np.uint64)
    for y in numba.prange(height):
        for x in range(width):
            bits = np.uint64(0)
            for dy in range(-CENSUS_Y, CENSUS_Y + 1):
                for dx in range(-CENSUS_X, CENSUS_X + 1):
                    if dy != 0 or dx != 0:
                        v = min(max(y + dy, 0), height - 1)
                        u = min(max(x + dx, 0), width - 1)
                        bits = (bits << np.uint64(1)) | np.uint64(gray[v, u] < gray[y, x])
            out[y, x] = bits
    return out


@njit(error_model="numpy")
def _ones(bits):
    """Number of bits that are set."""
    m1, m2, m4 = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    bits = bits - ((bits >> np.uint64(1)) & m1)
    bits = (bits & m2) + ((bits >> np.uint64(2)) & m2)
    bits = (bits + (bits >> np.uint64(4))) & m4
    return (bits * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(error_model="numpy")
def place(x, y, d, epipole):
    """p(d): pixel positions, the centre of the top-left pixel at (0.5, 0.5)."""
    w = np.float32(1.0) + d * epipole[2]
    if not w > np.float32(1e-3):
        return -_FAR, -_FAR
    return (x + d * epipole[0]) / w, (y + d * epipole[1]) / w


@njit(parallel=True, error_model="numpy")
def fill_costs(bits0, bits1, valid1, epipole, low, step, costs):
    """C into `costs` (H, W, D) uint8."""
    height, width, count = costs.shape
    for y in numba.prange(height):
        for x in range(width):
            for k in range(count):
                d = low + step * np.float32(k)
                u, v = place(np.float32(x) + np.float32(0.5), np.float32(y) + np.float32(0.5), d, epipole)
                cost = np.uint64(OUTSIDE)
                if u >= np.float32(0.0) and v >= np.float32(0.0):
                    column, row = np.int64(u), np.int64(v)
                    if column < width and row < height and valid1[row, column]:
                        cost = _ones(bits0[y, x] ^ bits1[row, column])
                costs[y, x, k] = cost


@njit(error_model="numpy", fastmath=True)
def _step(costs, before, p1, p2, now, total):
    """One pixel of one path: `before` and `now` are (D + 2,) float32, with high values at both ends."""
    count = len(costs)
    lowest = before[1]
    for k in range(1, count + 1):
        lowest = min(lowest, before[k])
    jump = lowest + p2
    for k in range(count):
        best = min(min(before[k + 1], jump), min(before[k], before[k + 2]) + p1)
        value = np.float32(costs[k]) + best - lowest
        now[k + 1] = value
        total[k] += np.uint16(value)


@njit(parallel=True, error_model="numpy")
def sum_along_rows(costs, jumps, p1, direction, total):
    """Add to `total` (H, W, D) uint16 the path along rows, to the right (1) or to the left (-1)."""
    height, width, count = costs.shape
    for y in numba.prange(height):
        rows = np.full((2, count + 2), _FAR, np.float32)
        rows[0, 1 : count + 1] = np.float32(0.0)
        for i in range(width):
            x = i if direction > 0 else width - 1 - i
            p2 = jumps[y, x, 0] if direction > 0 else jumps[y, min(x + 1, width - 1), 0]
            _step(costs[y, x], rows[i % 2], p1, p2, rows[(i + 1) % 2], total[y, x])


@njit(parallel=True, error_model="numpy")
def sum_across_rows(costs, jumps, p1, down, shift, total):
    """Add the path that comes from the row above (`down` 1) or below (-1), `shift` columns to the left of a pixel."""
    height, width, count = costs.shape
    paths = np.full((2, width + 2, count + 2), _FAR, np.float32)
    paths[:, :, 1 : count + 1] = np.float32(0.0)
    for i in range(height):
        y = i if down > 0 else height - 1 - i
        before, now = paths[i % 2], paths[(i + 1) % 2]
        for x in numba.prange(width):
            p2 = jumps[y, x, 1] if down > 0 else jumps[min(y + 1, height - 1), x, 1]
            _step(costs[y, x], before[x + 1 - shift], p1, p2, now[x + 1], total[y, x])


@njit(parallel=True, error_model="numpy")
def pick(total, best):
    """The cheapest k of each pixel."""
    height, width, count = total.shape
    for y in numba.prange(height):
        for x in range(width):
            low, at = total[y, x, 0], 0
            for k in range(1, count):
                if total[y, x, k] < low:
                    low, at = total[y, x, k], k
            best[y, x] = at


@njit(error_model="numpy")
def correlation(gray0, gray1, x, y, d, slope_x, slope_y, epipole, radius):
    """Zero-mean normalised correlation of windows, d changing over them by the slopes; -1 where it leaves the image."""
    height, width = gray0.shape
    half, one = np.float32(0.5), np.float32(1.0)
    n = np.float32(0.0)
    s0, s1, s00, s11, s01 = n, n, n, n, n
    for j in range(-radius, radius + 1):
        for i in range(-radius, radius + 1):
            v, u = y + j, x + i
            if not (0 <= v < height and 0 <= u < width):
                continue
            local = d + slope_x * np.float32(i) + slope_y * np.float32(j)
            at_x, at_y = place(np.float32(u) + half, np.float32(v) + half, local, epipole)
            at_x, at_y = at_x - half, at_y - half
            if not (at_x >= 0 and at_y >= 0 and at_x < width - 1 and at_y < height - 1):
                return -one
            column, row = np.int64(at_x), np.int64(at_y)
            fx, fy = at_x - np.float32(column), at_y - np.float32(row)
            above = gray1[row, column] + fx * (gray1[row, column + 1] - gray1[row, column])
            below = gray1[row + 1, column] + fx * (gray1[row + 1, column + 1] - gray1[row + 1, column])
            a, b = gray0[v, u], above + fy * (below - above)
            n += one
            s0 += a
            s1 += b
            s00 += a * a
            s11 += b * b
            s01 += a * b
    spread = (s00 - s0 * s0 / n) * (s11 - s1 * s1 / n)
    if not spread > np.float32(1e-8):
        return np.float32(0.0)
    return (s01 - s0 * s1 / n) / np.sqrt(spread)


@njit(parallel=True, error_model="numpy")
def refine(gray0, gray1, epipole, slopes, step, radius, parallax, score):
    """Move each `parallax` (H, W) to the top of the parabola through the correlations at it and beside it."""
    height, width = gray0.shape
    for y in numba.prange(height):
        for x in range(width):
            d = parallax[y, x]
            sx, sy = slopes[y, x, 0], slopes[y, x, 1]
            middle = correlation(gray0, gray1, x, y, d, sx, sy, epipole, radius)
            size = step
            for _ in range(3):
                before = correlation(gray0, gray1, x, y, d - size, sx, sy, epipole, radius)
                after = correlation(gray0, gray1, x, y, d + size, sx, sy, epipole, radius)
                if before > middle or after > middle:
                    d, middle = (d - size, before) if before > after else (d + size, after)
                else:
                    bend = before + after - np.float32(2.0) * middle
                    if bend < np.float32(-1e-6):
                        moved = d + np.float32(0.5) * size * (before - after) / bend
                        found = correlation(gray0, gray1, x, y, moved, sx, sy, epipole, radius)
                        if found > middle:
                            d, middle = moved, found
                    size *= np.float32(0.4)
            parallax[y, x], score[y, x] = d, middle


def costs_reference(
    gray0: np.ndarray, gray1: np.ndarray, valid1: np.ndarray, epipole: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """C (H, W, D) of the parallaxes `places` (D,), pixel by pixel as the formulas say."""
    height, width = gray0.shape

    def bits(gray: np.ndarray, x: int, y: int) -> np.ndarray:
        rows = np.clip(np.arange(y - CENSUS_Y, y + CENSUS_Y + 1), 0, height - 1)
        columns = np.clip(np.arange(x - CENSUS_X, x + CENSUS_X + 1), 0, width - 1)
        return gray[np.ix_(rows, columns)] < gray[y, x]

    costs = np.full((height, width, len(places)), OUTSIDE, np.int64)
    for y in range(height):
        for x in range(width):
            for k, d in enumerate(places):
                u, v = (np.array([x, y]) + 0.5 + d * epipole[:2]) / (1.0 + d * epipole[2])
                column, row = int(np.floor(u)), int(np.floor(v))
                if 0 <= column < width and 0 <= row < height and valid1[row, column]:
                    costs[y, x, k] = np.sum(bits(gray0, x, y) != bits(gray1, column, row))
    return costs


def path_reference(costs: np.ndarray, jumps: np.ndarray, p1: float, down: int, right: int) -> np.ndarray:
    """L (H, W, D) of the path whose predecessor of (y, x) is (y - down, x - right)."""
    height, width = costs.shape[:2]
    paths = np.zeros(costs.shape)
    for y in range(height)[:: -1 if down < 0 else 1]:
        for x in range(width)[:: -1 if down == 0 and right < 0 else 1]:
            v, u = y - down, x - right
            if not (0 <= v < height and 0 <= u < width):
                paths[y, x] = costs[y, x]
                continue
            p2 = jumps[max(y, v), x, 1] if down else jumps[y, max(x, u), 0]
            before = np.concatenate([[np.inf], paths[v, u], [np.inf]])
            beside = np.minimum(before[:-2], before[2:]) + p1
            best = np.minimum(np.minimum(before[1:-1], beside), before.min() + p2)
            paths[y, x] = costs[y, x] + best - before.min()
    return paths


def correlation_reference(
    gray0: np.ndarray, gray1: np.ndarray, x: int, y: int, d: float, epipole: np.ndarray, radius: int
) -> float:
    """Zero-mean normalised correlation of windows within both images, of one parallax."""
    j, i = (o.ravel() for o in np.mgrid[-radius : radius + 1, -radius : radius + 1])
    at = (np.stack([x + i, y + j], axis=1) + 0.5 + d * epipole[:2]) / (1.0 + d * epipole[2]) - 0.5
    column, row = np.floor(at).astype(int).T
    fx, fy = (at - np.floor(at)).T
    above = (1 - fx) * gray1[row, column] + fx * gray1[row, column + 1]
    below = (1 - fx) * gray1[row + 1, column] + fx * gray1[row + 1, column + 1]
    return float(np.corrcoef(gray0[y + j, x + i], (1 - fy) * above + fy * below)[0, 1])
