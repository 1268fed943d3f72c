"""Kernels of SIFT on one octave of a Gaussian scale space (Lowe 2004): extrema, orientations, descriptors.

An octave is `levels` (L + 3, H, W) float32, grey values 0 to 255 blurred to `sigma * 2^(i / L)` in its own pixels, L
layers being searched. D_i = levels[i + 1] - levels[i]. A candidate is an extremum of D among its 26 neighbours; its
place is where the quadratic through them has its extremum. Pixel centres are at integers.

Row by row, in loops without branches that the compiler turns into vector instructions; what is scalar happens only
where a candidate or a sample falls.
"""

import numpy as np

from geo3d.util.jit import njit

BINS = 36  # of the histogram of orientations
_BORDER = 5  # pixels without candidates, as the quadratic may move
_MOVES = 5  # steps of the quadratic from pixel to pixel
_PEAK = 0.8  # of the highest: other peaks above make keypoints of their own
_CLIP = 0.2  # largest share of a descriptor's length that one bin may have
_CELLS, _ANGLES = 4, 8  # of a descriptor: cells a side, orientations a cell
_SIDE, _TURN = _CELLS + 2, _ANGLES + 1  # with a margin of cells, and the first orientation once more
_ONE, _RIGHT, _DOWN = np.uint64(1), np.uint64(_TURN), np.uint64(_SIDE * _TURN)


@njit(nogil=True)
def atan2_turns(y, x):
    """Angle of (x, y) in turns, [0, 1); the error is below 2e-6 turns. Polynomial of atan on [0, 1], odd, degree 11."""
    ax, ay = abs(x), abs(y)
    low, high = min(ax, ay), max(ax, ay)
    q = low / max(high, np.float32(1e-30))
    s = q * q
    a = np.float32(-0.0018580), np.float32(0.0083702), np.float32(-0.0185303)
    b = np.float32(0.0308148), np.float32(-0.0529493), np.float32(0.1591530)
    t = q * (b[2] + s * (b[1] + s * (b[0] + s * (a[2] + s * (a[1] + s * a[0])))))
    t = np.float32(0.25) - t if ay > ax else t
    t = np.float32(0.5) - t if x < np.float32(0) else t
    t = np.float32(1) - t if y < np.float32(0) else t
    return t if t < np.float32(1) else np.float32(0)


@njit(nogil=True)
def find_extrema(levels, contrast, edge, found):
    """Extrema of one octave into rows of `found` (capacity, 5); returns their number, which may exceed the capacity.

    A row is x, y (pixels of the octave), layer (integer), layer (refined), |D| / 255 at the extremum.
    `contrast` is the least |D| / 255, `edge` the largest ratio of principal curvatures.
    """
    layers, height, width = levels.shape[0] - 3, levels.shape[1], levels.shape[2]
    dogs = layers + 2
    ring = np.empty((3, dogs, width), np.float32)  # rows y - 1, y, y + 1 of every D
    top, bottom = np.empty((dogs, width), np.float32), np.empty((dogs, width), np.float32)
    hits = np.empty((layers, width), np.uint8)
    upper, lower = np.empty(width, np.float32), np.empty(width, np.float32)
    first = np.float32(0.5 * contrast * 255)
    count = 0
    for y in range(_BORDER - 1, height - _BORDER + 1):
        now = y % 3
        for i in range(dogs):
            a, b, row = levels[i, y], levels[i + 1, y], ring[now, i]
            for x in range(width):
                row[x] = b[x] - a[x]
        if y < _BORDER + 1:
            continue
        middle = (y - 1) % 3
        for i in range(dogs):
            p, q, r, hi, lo = ring[0, i], ring[1, i], ring[2, i], top[i], bottom[i]
            for x in range(width):
                m = p[x] if p[x] > q[x] else q[x]
                n = p[x] if p[x] < q[x] else q[x]
                hi[x] = m if m > r[x] else r[x]
                lo[x] = n if n < r[x] else r[x]
        for i in range(layers):
            _peaks(ring[middle, i + 1], top[i], top[i + 1], top[i + 2], bottom[i], bottom[i + 1], bottom[i + 2],
                   first, upper, lower, hits[i])  # fmt: skip
        for i in range(layers):
            hit = hits[i]
            for x in range(_BORDER, width - _BORDER):
                if hit[x]:
                    at = count if count < len(found) else len(found) - 1
                    count += _refine(levels, i + 1, y - 1, x, contrast, edge, found[at])
    return count


@njit(nogil=True)
def _peaks(row, h0, h1, h2, l0, l1, l2, first, upper, lower, hit):
    """Where a row of D is at least (at most) the greatest (least) of its columns of three rows and three layers."""
    for x in range(len(row)):
        h = h0[x] if h0[x] > h1[x] else h1[x]
        low = l0[x] if l0[x] < l1[x] else l1[x]
        upper[x] = h if h > h2[x] else h2[x]
        lower[x] = low if low < l2[x] else l2[x]
    # Slices: an index that might be negative would keep the loop from becoming vector instructions.
    inside, mark = row[1:-1], hit[1:-1]
    u0, u1, u2, v0, v1, v2 = upper[:-2], upper[1:-1], upper[2:], lower[:-2], lower[1:-1], lower[2:]
    for x in range(len(inside)):
        v = inside[x]
        above = (v >= u0[x]) & (v >= u1[x]) & (v >= u2[x]) & (v > first)
        below = (v <= v0[x]) & (v <= v1[x]) & (v <= v2[x]) & (v < -first)
        mark[x] = above | below


@njit(nogil=True, error_model="numpy")
def _refine(levels, layer, y, x, contrast, edge, row):
    """Move to the extremum of the quadratic; 1 and the row of `find_extrema`, or 0 if it is none, weak, or an edge."""
    layers, height, width = levels.shape[0] - 3, levels.shape[1], levels.shape[2]
    D = np.empty((3, 3, 3))
    sx = sy = sl = 0.0
    for move in range(_MOVES):
        for k in range(3):
            for j in range(3):
                for i in range(3):
                    D[k, j, i] = (
                        levels[layer + k, y + j - 1, x + i - 1] - levels[layer + k - 1, y + j - 1, x + i - 1]
                    )
        gx, gy, gl = (
            0.5 * (D[1, 1, 2] - D[1, 1, 0]),
            0.5 * (D[1, 2, 1] - D[1, 0, 1]),
            0.5 * (D[2, 1, 1] - D[0, 1, 1]),
        )
        c = 2 * D[1, 1, 1]
        xx, yy, ll = D[1, 1, 2] + D[1, 1, 0] - c, D[1, 2, 1] + D[1, 0, 1] - c, D[2, 1, 1] + D[0, 1, 1] - c
        xy = 0.25 * (D[1, 2, 2] - D[1, 2, 0] - D[1, 0, 2] + D[1, 0, 0])
        xl = 0.25 * (D[2, 1, 2] - D[2, 1, 0] - D[0, 1, 2] + D[0, 1, 0])
        yl = 0.25 * (D[2, 2, 1] - D[2, 0, 1] - D[0, 2, 1] + D[0, 0, 1])
        a, b, d = yy * ll - yl * yl, xl * yl - xy * ll, xy * yl - xl * yy
        determinant = xx * a + xy * b + xl * d
        if determinant == 0.0:
            return 0
        e, f, h = xx * ll - xl * xl, xy * xl - xx * yl, xx * yy - xy * xy
        sx = -(a * gx + b * gy + d * gl) / determinant
        sy = -(b * gx + e * gy + f * gl) / determinant
        sl = -(d * gx + f * gy + h * gl) / determinant
        if abs(sx) < 0.5 and abs(sy) < 0.5 and abs(sl) < 0.5:
            value = D[1, 1, 1] + 0.5 * (gx * sx + gy * sy + gl * sl)
            trace, curvature = xx + yy, xx * yy - xy * xy
            if abs(value) < 255 * contrast or trace * trace * edge >= (edge + 1) ** 2 * curvature:
                return 0
            row[0], row[1], row[2], row[3], row[4] = x + sx, y + sy, layer, layer + sl, abs(value) / 255
            return 1
        if move == _MOVES - 1 or not (abs(sx) < width and abs(sy) < height and abs(sl) < layers):
            return 0
        x, y, layer = x + int(np.rint(sx)), y + int(np.rint(sy)), layer + int(np.rint(sl))
        if not (1 <= layer <= layers and _BORDER <= x < width - _BORDER and _BORDER <= y < height - _BORDER):
            return 0
    return 0


@njit(nogil=True)
def orient(levels, extrema, sigma, limit, out):
    """Keypoints of the extrema, in their order: one for each dominant orientation.

    `extrema` as from `find_extrema`. Rows of `out` (capacity, 3): the extremum's row, its blur in pixels of the octave,
    the angle in turns from x towards y. Stops once `limit` are found; returns their number.
    """
    layers = levels.shape[0] - 3
    histogram, smooth = np.empty(BINS, np.float32), np.empty(BINS, np.float32)
    angle, magnitude = np.empty(levels.shape[2], np.float32), np.empty(levels.shape[2], np.float32)
    count = 0
    for n in range(len(extrema)):
        scale = sigma * 2 ** (extrema[n, 3] / layers)
        x, y = int(np.rint(extrema[n, 0])), int(np.rint(extrema[n, 1]))
        level = levels[int(extrema[n, 2])]
        radius = int(np.rint(4.5 * scale))
        histogram[:] = 0
        left, right = max(x - radius, 1), min(x + radius, level.shape[1] - 2)
        factor = np.float32(-0.5 / (1.5 * scale) ** 2)
        for j in range(max(y - radius, 1), min(y + radius, level.shape[0] - 2) + 1):
            _gradients(level, j, left, right + 1, angle, magnitude)
            down = np.float32((j - y) * (j - y))
            for i in range(left, right + 1):
                across = np.float32((i - x) * (i - x))
                turn = int(angle[i - left] * np.float32(BINS) + np.float32(0.5))
                histogram[turn if turn < BINS else 0] += magnitude[i - left] * np.exp(
                    (across + down) * factor
                )
        highest = np.float32(0)
        for b in range(BINS):
            smooth[b] = (
                (histogram[b - 2] + histogram[(b + 2) % BINS]) / 16
                + (histogram[b - 1] + histogram[(b + 1) % BINS]) / 4
                + histogram[b] * np.float32(0.375)
            )
            highest = max(highest, smooth[b])
        for b in range(BINS):
            before, here, after = smooth[b - 1], smooth[b], smooth[(b + 1) % BINS]
            if here > before and here > after and here >= np.float32(_PEAK) * highest and count < len(out):
                peak = b + 0.5 * (before - after) / (before - 2 * here + after)
                out[count, 0], out[count, 1], out[count, 2] = n, scale, (peak / BINS) % 1.0
                count += 1
        if count >= limit:
            break
    return count


@njit(nogil=True)
def _gradients(level, y, first, last, angle, magnitude):
    """Direction in turns (x towards y) and length of the gradient at (first..last-1, y)."""
    left, right = level[y, first - 1 : last - 1], level[y, first + 1 : last + 1]
    above, below = level[y - 1, first:last], level[y + 1, first:last]
    for i in range(last - first):
        dx, dy = right[i] - left[i], below[i] - above[i]
        magnitude[i] = np.sqrt(dx * dx + dy * dy)
        angle[i] = atan2_turns(dy, dx)


@njit(nogil=True)
def describe(levels, x, y, layer, scale, turns, out):
    """Histograms (N, 128) float32 of gradients in 4 x 4 cells x 8 orientations, turned with the keypoint.

    Cells are `3 scale` wide, samples weigh by a Gaussian of two cells and fall into cells and orientations
    trilinearly (Lowe 2004, section 6). Rows are clipped to 0.2 of their length. Bin order: row, column, orientation
    from y towards x, as OpenCV has it.
    """
    size = levels.shape[2]
    angle, magnitude = np.empty(size, np.float32), np.empty(size, np.float32)
    rows, columns = np.empty(size, np.float32), np.empty(size, np.float32)
    cells = np.empty(_SIDE * _SIDE * _TURN, np.float32)
    half = np.float32(_CELLS / 2 + 0.5)
    for n in range(len(x)):
        level = levels[layer[n]]
        cells[:] = 0
        width = 3 * scale[n]
        radius = width * (_CELLS + 1) * np.sqrt(0.5)
        cosine = np.float32(np.cos(2 * np.pi * turns[n]) / width)
        sine = np.float32(np.sin(2 * np.pi * turns[n]) / width)
        turn = np.float32(turns[n])
        for j in range(max(int(np.ceil(y[n] - radius)), 1), min(int(y[n] + radius), level.shape[0] - 2) + 1):
            # The row's samples inside the square: |c| < 2.5 cells and |r| < 2.5 cells, both linear in i.
            v = np.float32(j - y[n])
            low, high = np.float32(-radius), np.float32(radius)
            low, high = _clip(low, high, cosine, v * sine, half)
            low, high = _clip(low, high, -sine, v * cosine, half)
            first = max(int(np.ceil(x[n] + low)), 1)
            last = min(int(np.floor(x[n] + high)), level.shape[1] - 2) + 1
            if last <= first:
                continue
            _gradients(level, j, first, last, angle, magnitude)
            begin = np.float32(first - x[n])
            for i in range(last - first):
                u = begin + np.float32(i)
                c, r = u * cosine + v * sine, v * cosine - u * sine
                magnitude[i] *= _gaussian(np.float32(0.125) * (c * c + r * r))
                columns[i], rows[i] = c + half, r + half
                t = turn - angle[i]
                angle[i] = np.float32(_ANGLES) * (t + np.float32(1) if t < np.float32(0) else t)
            for i in range(last - first):
                c, r, t = columns[i], rows[i], angle[i]
                if c < 0 or r < 0 or c >= _CELLS + 1 or r >= _CELLS + 1:
                    continue
                ci, ri, ti = int(c), int(r), min(int(t), _ANGLES - 1)
                fc, fr, ft = c - np.float32(ci), r - np.float32(ri), t - np.float32(ti)
                m1 = magnitude[i] * fr
                m0 = magnitude[i] - m1
                m01, m11 = m0 * fc, m1 * fc
                m00, m10 = m0 - m01, m1 - m11
                at = np.uint64((ri * _SIDE + ci) * _TURN + ti)  # unsigned: no look at the sign at each use
                cells[at] += m00 - m00 * ft
                cells[at + _ONE] += m00 * ft
                cells[at + _RIGHT] += m01 - m01 * ft
                cells[at + _RIGHT + _ONE] += m01 * ft
                cells[at + _DOWN] += m10 - m10 * ft
                cells[at + _DOWN + _ONE] += m10 * ft
                cells[at + _DOWN + _RIGHT] += m11 - m11 * ft
                cells[at + _DOWN + _RIGHT + _ONE] += m11 * ft
        total = np.float32(0)
        for r in range(_CELLS):
            for c in range(_CELLS):
                at = ((r + 1) * _SIDE + c + 1) * _TURN
                cell = cells[at : at + _TURN]
                cell[0] += cell[_ANGLES]
                for t in range(_ANGLES):
                    out[n, (r * _CELLS + c) * _ANGLES + t] = cell[t]
                    total += cell[t] * cell[t]
        limit = np.float32(_CLIP) * np.sqrt(total)
        for k in range(out.shape[1]):
            out[n, k] = min(out[n, k], limit)


@njit(nogil=True)
def _clip(low, high, slope, offset, half):
    """The part of low..high where |slope * i + offset| < half."""
    if abs(slope) < np.float32(1e-9):
        return (low, high) if abs(offset) < half else (high, low)
    a, b = (-half - offset) / slope, (half - offset) / slope
    return max(low, min(a, b)), min(high, max(a, b))


@njit(nogil=True)
def _gaussian(x):
    """exp(-x) for x in [0, 2]: (1 - x/16 + x^2/512 - ...)^16 by a cubic, relative error below 3e-5."""
    s = x * np.float32(0.0625)
    p = np.float32(1) - s * (
        np.float32(1) - s * (np.float32(0.5) - s * (np.float32(1 / 6) - s * np.float32(1 / 24)))
    )
    p *= p
    p *= p
    p *= p
    return p * p
