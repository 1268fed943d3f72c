"""Weighted median of a flow: each pixel takes the flow of what looks like it and is seen in both images.

    w_p = argmin_w sum_q a_pq |w_q - w|,   each component by itself, q over the window around p,
    a_pq = seen_q exp(-|p - q|^2 / 2 sigma_space^2 - |I_p - I_q|^2 / 2 sigma_color^2)

(Sun, Roth, Black, "Secrets of optical flow estimation and their principles", 2010, equations 13 to 15.) It is the
smoothness over a neighbourhood that sharpens motion boundaries and fills what is hidden, and needed only near these.
The median is found by quartering the range of its window, to within TOLERANCE_PX; exp(-z) is (1 - z/32)^32.
"""

import numba
import numpy as np

from geo3d.util.jit import njit

RADIUS, COLUMNS = 7, 16
TOLERANCE_PX = np.float32(0.002)
_LEAST = np.float32(1e-6)  # visibility of what is hidden, so that there is a median where all is
_SPAN, _ROOM = np.uintp(COLUMNS), (2 * RADIUS + 1) * COLUMNS
_ONE, _HALF, _QUARTER, _TWO = np.float32(1.0), np.float32(0.5), np.float32(0.25), np.float32(2.0)


def weighted_median_reference(
    flow: np.ndarray, guide: np.ndarray, seen: np.ndarray, sigma_space: float, sigma_color: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two (2, H, W): between which the weighted medians lie, by sorting, for weights right to a thousandth."""
    height, width = seen.shape
    low, high = np.empty((2, height, width)), np.empty((2, height, width))
    for y, x in np.ndindex(height, width):
        rows = slice(max(y - RADIUS, 0), y + RADIUS + 1)
        columns = slice(max(x - RADIUS, 0), x + RADIUS + 1)
        j, i = np.mgrid[:height, :width][:, rows, columns]
        apart = ((i - x) ** 2 + (j - y) ** 2) / (2.0 * sigma_space**2)
        unlike = ((guide[:, rows, columns] - guide[:, y, x, None, None]) ** 2).sum(axis=0)
        z = apart + unlike / (2.0 * sigma_color**2)
        weight = ((seen[rows, columns] + _LEAST) * np.maximum(1.0 - z / 32.0, 0.0) ** 32).ravel()
        for c in range(2):
            value = flow[c, rows, columns].ravel()
            order = np.argsort(value)
            share = np.cumsum(weight[order]) / weight.sum()
            low[c, y, x] = value[order][np.searchsorted(share, 0.499)]
            high[c, y, x] = value[order][min(np.searchsorted(share, 0.501), len(value) - 1)]
    return low, high


@njit(parallel=True, error_model="numpy", fastmath=True)
def weighted_median(flow, plain, guide, seen, where, sigma_space, sigma_color, out):
    """Weighted medians of the flow where `where` is not 0, elsewhere `plain`; guide (3, H, W), seen and where (H, W).

    Sides of at least COLUMNS. The window has COLUMNS columns, of which those beyond RADIUS count nothing.
    """
    height, width = seen.shape
    near = _falling(sigma_space)
    guide, flow, seen = guide.ravel(), flow.ravel(), seen.ravel()
    size = np.uintp(height * width)
    scale = _ONE / (2 * sigma_color * sigma_color)
    for y in numba.prange(height):
        weight, u, v = np.empty(_ROOM, np.float32), np.empty(_ROOM, np.float32), np.empty(_ROOM, np.float32)
        first, end = max(y - RADIUS, 0), min(y + RADIUS + 1, height)
        for x in range(width):
            here = np.uintp(y * width + x)
            out[0, y, x] = plain[0, y, x]
            out[1, y, x] = plain[1, y, x]
            if where[y, x] == 0:
                continue
            left = min(max(x - RADIUS, 0), width - COLUMNS)
            m = np.uintp(0)
            for row in range(first, end):
                start = np.uintp(row * width + left)
                apart = np.uintp((row - y + RADIUS) * 2 * COLUMNS + left - x + COLUMNS)
                _weigh(guide, size, here, start, near, apart, seen, scale, weight, m)
                for i in range(_SPAN):
                    u[m + i] = flow[start + i]
                for i in range(_SPAN):
                    v[m + i] = flow[size + start + i]
                m += _SPAN
            out[0, y, x], out[1, y, x] = _medians(u, v, weight, m)


@njit(error_model="numpy")
def _falling(sigma):
    """(2 RADIUS + 1) x (2 COLUMNS): squared distance / 2 sigma^2, of offsets from -COLUMNS; much beyond RADIUS."""
    near = np.empty((2 * RADIUS + 1, 2 * COLUMNS), np.float32)
    for j in range(2 * RADIUS + 1):
        for i in range(2 * COLUMNS):
            dx, dy = i - COLUMNS, j - RADIUS
            near[j, i] = (dx * dx + dy * dy) / (2 * sigma * sigma) if abs(dx) <= RADIUS else 1e3
    return near.ravel()


@njit(error_model="numpy", fastmath=True)
def _weigh(guide, size, here, start, near, apart, seen, scale, weight, m):
    """Weights of a row of the window. Places are unsigned: they need no look at their sign, which ends vectors."""
    r0, g0, b0 = guide[here], guide[here + size], guide[here + size + size]
    for i in range(_SPAN):
        r, g, b = guide[start + i] - r0, guide[size + start + i] - g0, guide[size + size + start + i] - b0
        z = (r * r + g * g + b * b) * scale + near[apart + i]
        q = max(_ONE - z * np.float32(1.0 / 32.0), np.float32(0.0))
        q = q * q
        q = q * q
        q = q * q
        q = q * q
        weight[m + i] = q * q * (seen[start + i] + _LEAST)


@njit(error_model="numpy", fastmath=True)
def _medians(u, v, weight, count):
    """Weighted medians of the first `count` values of u and of v, which are searched side by side."""
    low_u, high_u, low_v, high_v, total = u[0], u[0], v[0], v[0], np.float32(0.0)
    for i in range(count):
        low_u, high_u = min(low_u, u[i]), max(high_u, u[i])
        low_v, high_v = min(low_v, v[i]), max(high_v, v[i])
        total += weight[i]
    half = _HALF * total
    quarter_u, quarter_v = _QUARTER * (high_u - low_u), _QUARTER * (high_v - low_v)
    while max(quarter_u, quarter_v) > TOLERANCE_PX:
        low_u, low_v = _narrow(u, v, weight, count, half, low_u, quarter_u, low_v, quarter_v)
        quarter_u, quarter_v = _QUARTER * quarter_u, _QUARTER * quarter_v
    return low_u + _TWO * quarter_u, low_v + _TWO * quarter_v


@njit(error_model="numpy", fastmath=True)
def _narrow(u, v, weight, count, half, low_u, quarter_u, low_v, quarter_v):
    """Which quarters of the ranges hold the medians: their lower ends."""
    zero = np.float32(0.0)
    u1, v1 = low_u + quarter_u, low_v + quarter_v
    u2, v2 = u1 + quarter_u, v1 + quarter_v
    u3, v3 = u2 + quarter_u, v2 + quarter_v
    a1, a2, a3, b1, b2, b3 = zero, zero, zero, zero, zero, zero  # weights below the limits
    for i in range(count):
        a, b, w = u[i], v[i], weight[i]
        a1 += w if a < u1 else zero
        a2 += w if a < u2 else zero
        a3 += w if a < u3 else zero
        b1 += w if b < v1 else zero
        b2 += w if b < v2 else zero
        b3 += w if b < v3 else zero
    steps_u = np.float32(a1 <= half) + np.float32(a2 <= half) + np.float32(a3 <= half)
    steps_v = np.float32(b1 <= half) + np.float32(b2 <= half) + np.float32(b3 <= half)
    return low_u + quarter_u * steps_u, low_v + quarter_v * steps_v


@njit(parallel=True, error_model="numpy")
def motion_boundaries(flow, plain, step_px, out):
    """1 where the median `plain` of the flow changes by more than `step_px` to a pixel beside, or changed the flow so.

    |du| + |dv|; flows (2, H, W), out (H, W) uint8, else 0.
    """
    height, width = out.shape
    for y in numba.prange(height):
        below = min(y + 1, height - 1)
        for x in range(width):
            right = min(x + 1, width - 1)
            u, v = plain[0, y, x], plain[1, y, x]
            across = abs(plain[0, y, right] - u) + abs(plain[1, y, right] - v)
            down = abs(plain[0, below, x] - u) + abs(plain[1, below, x] - v)
            change = abs(flow[0, y, x] - u) + abs(flow[1, y, x] - v)
            out[y, x] = 1 if max(across, down, change) > step_px else 0


@njit(parallel=True, error_model="numpy")
def visibility(first, warped, inside, flow, sigma_div, sigma_color, out):
    """exp(-d^2 / 2 sigma_div^2 - e^2 / 2 sigma_color^2), (H, W): d the flow's convergence, e the colour's change.

    What is hidden in image 1 is where the flow runs together and the colours do not fit (Sand, Teller 2008).
    """
    channels, height, width = first.shape
    from_div, from_color = -_HALF / (sigma_div * sigma_div), -_HALF / (sigma_color * sigma_color * channels)
    for y in numba.prange(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            divergence = _HALF * (
                flow[0, y, right] - flow[0, y, left] + flow[1, below, x] - flow[1, above, x]
            )
            together = min(divergence, np.float32(0.0))
            unlike = np.float32(0.0)
            for c in range(channels):
                unlike += (first[c, y, x] - warped[c, y, x]) ** 2
            out[y, x] = inside[y, x] * np.exp(from_div * together * together + from_color * unlike)
