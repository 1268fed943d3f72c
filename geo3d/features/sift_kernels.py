"""Kernels of SIFT on one octave of a Gaussian scale space (Lowe 2004): extrema, orientations, descriptors.

An octave is `levels`, flat float32, grey values 0 to 255 blurred to `SIGMA * 2^(k / STEPS)` in its own pixels: pixel
(x, y) of level k is `levels[(k * height + y) * stride + x]` (`scale_space`). D_k is level k + 1 less level k. A
candidate is an extremum of D among its 26 neighbours; its place is where the quadratic through them has its extremum.
Pixel centres are at integers. Angles are turns from x towards y.

Row by row, in vector instructions; what is scalar happens only where a candidate or a bin of a histogram falls.
"""

import math

import numpy as np

from geo3d.features.scale_space import LEVELS, SIGMA, STEPS
from geo3d.features.sift_vectors import CELLS, LANES, ORIENTATIONS, gradients, spatial_bins, spread
from geo3d.util.jit import njit

BORDER = 5  # pixels without candidates, as the quadratic may move
_BINS = 36  # of the histogram of orientations
_MOVES = 5  # steps of the quadratic from pixel to pixel
_PEAK = 0.8  # of the highest: other peaks above make keypoints of their own
_ORIENTATION_SIGMA, _ORIENTATION_RADIUS = 1.5, 4.5  # times the scale
_CELL = 3.0  # width of a cell of a descriptor, times the scale
_REACH = 2.5  # cells from the middle of a descriptor, of which its samples are
_CLIP = 0.2  # largest share of a descriptor's length that one bin may have
_ROOM = 128  # more than a window has pixels across: 2 * 39 + 1 for the largest scale, 1.6 * 2^(3.5 / 3)


@njit(nogil=True)
def find_extrema(
    levels: np.ndarray,  # flat float32
    height: int,
    width: int,
    stride: int,
    contrast: float,  # least |D| / 255
    edge: float,  # largest ratio of principal curvatures
    found: np.ndarray,  # (capacity, 7) float64, out: level, row, column (integers), x, y, scale, |D| / 255
) -> int:
    """Extrema of one octave, each of them perhaps more than once; their number, which may exceed the capacity."""
    plane, differences = height * stride, LEVELS - 1
    ring = np.empty((3, differences, width), np.float32)  # rows y - 1, y, y + 1 of every D
    top, bottom = np.empty((differences, width), np.float32), np.empty((differences, width), np.float32)
    hits = np.empty((differences, width), np.uint8)
    upper, lower = np.empty(width, np.float32), np.empty(width, np.float32)
    # What is far below the threshold is not lifted over it by the fraction of a pixel that is still to come.
    first = np.float32(0.5 * contrast * 255)
    count = 0
    for y in range(BORDER - 1, height - BORDER + 1):
        for k in range(differences):
            at = k * plane + y * stride
            a, b = levels[at : at + width], levels[at + plane : at + plane + width]
            row = ring[y % 3, k]
            for x in range(width):
                row[x] = b[x] - a[x]
        if y < BORDER + 1:
            continue
        for k in range(differences):
            p, q, r, high, low = ring[0, k], ring[1, k], ring[2, k], top[k], bottom[k]
            for x in range(width):
                high[x] = max(max(p[x], q[x]), r[x])
                low[x] = min(min(p[x], q[x]), r[x])
        for k in range(1, STEPS + 1):
            _mark(
                ring[(y - 1) % 3, k], top[k - 1 : k + 2], bottom[k - 1 : k + 2], first, upper, lower, hits[k]
            )
        for k in range(1, STEPS + 1):
            hit = hits[k]
            for x in range(BORDER, width - BORDER):
                if hit[x]:
                    row = found[min(count, len(found) - 1)]
                    count += _refine(levels, height, width, stride, k, y - 1, x, contrast, edge, row)
    return count


@njit(nogil=True)
def _mark(
    row: np.ndarray,  # (W,) of D
    highest: np.ndarray,  # (3, W), of three rows, of the D before, of this and of the next
    lowest: np.ndarray,
    first: np.float32,
    upper: np.ndarray,  # (W,), scratch
    lower: np.ndarray,
    hit: np.ndarray,  # (W,) uint8, out: where the row is at least (at most) all around
) -> None:
    a, b, c, d, e, f = highest[0], highest[1], highest[2], lowest[0], lowest[1], lowest[2]
    for x in range(len(row)):
        upper[x] = max(max(a[x], b[x]), c[x])
        lower[x] = min(min(d[x], e[x]), f[x])
    # Slices: an index that might be negative would keep the loop from becoming vector instructions.
    inside, mark = row[1:-1], hit[1:-1]
    u0, u1, u2, v0, v1, v2 = upper[:-2], upper[1:-1], upper[2:], lower[:-2], lower[1:-1], lower[2:]
    for x in range(len(inside)):
        v = inside[x]
        above = (v >= u0[x]) & (v >= u1[x]) & (v >= u2[x]) & (v > first)
        below = (v <= v0[x]) & (v <= v1[x]) & (v <= v2[x]) & (v < -first)
        mark[x] = above | below


@njit(nogil=True, error_model="numpy")
def _refine(
    levels: np.ndarray,
    height: int,
    width: int,
    stride: int,
    k: int,
    y: int,
    x: int,
    contrast: float,
    edge: float,
    row: np.ndarray,
) -> int:
    """Move to the extremum of the quadratic; 1 and the row of `find_extrema`, or 0 if it is none, weak, or an edge."""
    D = np.empty((3, 3, 3))
    plane = height * stride
    for _ in range(_MOVES):
        at = k * plane + y * stride + x
        for c in range(3):
            for b in range(3):
                for a in range(3):
                    place = at + (c - 1) * plane + (b - 1) * stride + a - 1
                    D[c, b, a] = np.float64(levels[place + plane]) - levels[place]
        gx, gy, gk = D[1, 1, 2] - D[1, 1, 0], D[1, 2, 1] - D[1, 0, 1], D[2, 1, 1] - D[0, 1, 1]
        gx, gy, gk = 0.5 * gx, 0.5 * gy, 0.5 * gk
        twice = 2 * D[1, 1, 1]
        xx, yy, kk = D[1, 1, 2] + D[1, 1, 0], D[1, 2, 1] + D[1, 0, 1], D[2, 1, 1] + D[0, 1, 1]
        xx, yy, kk = xx - twice, yy - twice, kk - twice
        xy = 0.25 * (D[1, 2, 2] - D[1, 2, 0] - D[1, 0, 2] + D[1, 0, 0])
        xk = 0.25 * (D[2, 1, 2] - D[2, 1, 0] - D[0, 1, 2] + D[0, 1, 0])
        yk = 0.25 * (D[2, 2, 1] - D[2, 0, 1] - D[0, 2, 1] + D[0, 0, 1])
        # The step -H^-1 g, by cofactors.
        aa, ab, ac = yy * kk - yk * yk, xk * yk - xy * kk, xy * yk - xk * yy
        bb, bc, cc = xx * kk - xk * xk, xy * xk - xx * yk, xx * yy - xy * xy
        determinant = xx * aa + xy * ab + xk * ac
        if determinant == 0.0:
            return 0
        sx = -(aa * gx + ab * gy + ac * gk) / determinant
        sy = -(ab * gx + bb * gy + bc * gk) / determinant
        sk = -(ac * gx + bc * gy + cc * gk) / determinant
        if abs(sx) < 0.5 and abs(sy) < 0.5 and abs(sk) < 0.5:
            value = abs(D[1, 1, 1] + 0.5 * (gx * sx + gy * sy + gk * sk)) / 255
            if value < contrast or (xx + yy) ** 2 * edge >= (edge + 1) ** 2 * cc:
                return 0
            row[0], row[1], row[2], row[3], row[4] = k, y, x, x + sx, y + sy
            row[5], row[6] = SIGMA * 2 ** ((k + sk) / STEPS), value
            return 1
        if not (abs(sx) < width and abs(sy) < height and abs(sk) < LEVELS):
            return 0
        x, y, k = x + int(np.rint(sx)), y + int(np.rint(sy)), k + int(np.rint(sk))
        if not (1 <= k <= STEPS and BORDER <= x < width - BORDER and BORDER <= y < height - BORDER):
            return 0
    return 0


@njit(nogil=True)
def orient(
    levels: np.ndarray,  # flat float32
    height: int,
    width: int,
    stride: int,
    places: np.ndarray,  # (N, 3) int64: level, row, column
    scales: np.ndarray,  # (N,) float64
    owner: np.ndarray,  # (M,) int64, out: the keypoint of each
    angles: np.ndarray,  # (M,) float32, out: turns, [0, 1)
) -> int:
    """Directions of the strongest gradients around each keypoint, one or a few; their number, at most M."""
    across, down = np.zeros(_ROOM, np.float32), np.zeros(_ROOM, np.float32)
    turn, magnitude = np.empty(_ROOM, np.float32), np.empty(_ROOM, np.float32)
    histogram, smooth = np.empty(_BINS, np.float32), np.empty(_BINS, np.float32)
    count = 0
    for n in range(len(places)):
        k, row, column = places[n, 0], places[n, 1], places[n, 2]
        radius = int(np.rint(_ORIENTATION_RADIUS * scales[n]))
        _gaussian(across, radius, 0.0, _ORIENTATION_SIGMA * scales[n])
        _gaussian(down, radius, 0.0, _ORIENTATION_SIGMA * scales[n])
        histogram[:] = 0
        first, last = max(-radius, 1 - column), min(radius, width - 2 - column)
        number = last - first + 1
        for y in range(max(-radius, 1 - row), min(radius, height - 2 - row) + 1):
            at = (k * height + row + y) * stride + column + first
            gradients(levels, at, stride, across, radius + first, down[radius + y], number, turn, magnitude)
            for j in range(number):
                b = int(turn[j] * np.float32(_BINS) + np.float32(0.5))
                histogram[b if b < _BINS else 0] += magnitude[j]
        highest = np.float32(0)
        for b in range(_BINS):
            smooth[b] = (
                (histogram[b - 2] + histogram[(b + 2) % _BINS]) / 16
                + (histogram[b - 1] + histogram[(b + 1) % _BINS]) / 4
                + histogram[b] * np.float32(0.375)
            )
            highest = max(highest, smooth[b])
        for b in range(_BINS):
            before, here, after = smooth[b - 1], smooth[b], smooth[(b + 1) % _BINS]
            if here > before and here > after and here >= np.float32(_PEAK) * highest and count < len(owner):
                peak = b + 0.5 * (before - after) / (before - 2 * here + after)
                owner[count], angles[count] = n, (peak / _BINS) % 1.0
                count += 1
    return count


@njit(nogil=True)
def describe(
    levels: np.ndarray,  # flat float32
    height: int,
    width: int,
    stride: int,
    level: np.ndarray,  # (N,) int64
    keypoints: np.ndarray,  # (N, 3) float64: x, y, scale
    angles: np.ndarray,  # (N,) float32, turns
    out: np.ndarray,  # (N, 128) float32
) -> None:
    """Histograms of gradients in 4 x 4 cells x 8 orientations, turned with the keypoint.

    Cells are `3 scale` wide, samples weigh by a Gaussian of two cells and fall into cells and orientations trilinearly
    (Lowe 2004, section 6). Rows are clipped to 0.2 of their length. Bin order: row, column, orientation from y towards
    x, as OpenCV has it.
    """
    across, down = np.zeros(_ROOM, np.float32), np.zeros(_ROOM, np.float32)
    turn, magnitude = np.empty(_ROOM, np.float32), np.empty(_ROOM, np.float32)
    cell, parts = np.empty(_ROOM, np.int32), np.empty(3 * _ROOM, np.float32)
    histogram = np.empty(CELLS * CELLS * ORIENTATIONS, np.float32)
    for n in range(len(out)):
        x, y, size = keypoints[n, 0], keypoints[n, 1], _CELL * keypoints[n, 2]
        column, row = int(np.rint(x)), int(np.rint(y))
        right, below = column - x, row - y  # of the middle of the window from the keypoint
        radius = int(size * math.sqrt(2) * _REACH) + 1
        _gaussian(across, radius, right, 2 * size)
        _gaussian(down, radius, below, 2 * size)
        angle = 2 * math.pi * angles[n]
        cosine, sine = math.cos(angle) / size, math.sin(angle) / size
        histogram[:] = 0
        for j in range(max(-radius, 1 - row), min(radius, height - 2 - row) + 1):
            # Of the row, what is less than two and a half cells from the middle, seen in the turned grid.
            v = j + below
            first, last = max(-radius, 1 - column), min(radius, width - 2 - column)
            first, last = _within(cosine, right * cosine + v * sine, first, last)
            first, last = _within(-sine, v * cosine - right * sine, first, last)
            number = last - first + 1
            if number <= 0:
                continue
            u = first + right
            at = (level[n] * height + row + j) * stride + column + first
            gradients(levels, at, stride, across, radius + first, down[radius + j], number, turn, magnitude)
            spatial_bins(
                np.float32(v * cosine - u * sine + _REACH),
                np.float32(-sine),
                np.float32(u * cosine + v * sine + _REACH),
                np.float32(cosine),
                angles[n],
                number,
                turn,
                magnitude,
                cell,
                parts,
            )
            spread(histogram, cell, parts, magnitude, number)
        _clipped(histogram, out[n])


@njit(nogil=True)
def _gaussian(window: np.ndarray, radius: int, offset: float, sigma: float) -> None:
    """exp(-(x + offset)^2 / (2 sigma^2)) for x from -radius to radius, each from the one before; zeros after that."""
    value = math.exp(-((offset - radius) ** 2) / (2 * sigma**2))
    ratio = math.exp((2 * (radius - offset) - 1) / (2 * sigma**2))
    step = math.exp(-1 / sigma**2)
    for i in range(2 * radius + 1):
        window[i] = value
        value, ratio = value * ratio, ratio * step
    window[2 * radius + 1 : 2 * radius + 1 + LANES] = 0


@njit(nogil=True, error_model="numpy")
def _within(slope: float, offset: float, first: int, last: int) -> tuple[int, int]:
    """Those whole x from `first` to `last` for which `|slope x + offset|` is less than the reach, or a few more."""
    if abs(slope) < 1e-6:
        return (first, last) if abs(offset) < _REACH + 1e-3 else (1, 0)
    a, b = (-_REACH - offset) / slope, (_REACH - offset) / slope
    return max(first, math.ceil(min(a, b))), min(last, math.floor(max(a, b)))


@njit(nogil=True)
def _clipped(histogram: np.ndarray, out: np.ndarray) -> None:
    """The inner 4 x 4 cells, clipped to 0.2 of their length."""
    square, n = np.float32(0), 0
    for r in range(1, CELLS - 1):
        for c in range(1, CELLS - 1):
            for k in range(ORIENTATIONS):
                out[n] = histogram[(r * CELLS + c) * ORIENTATIONS + k]
                square += out[n] * out[n]
                n += 1
    limit = np.float32(_CLIP) * np.sqrt(square)
    for n in range(len(out)):
        out[n] = min(out[n], limit)
