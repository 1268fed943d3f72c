"""Weighted median of a flow: each pixel takes the flow of what looks like it and is seen in both images.

    w_p = argmin_w sum_q a_pq |w_q - w|,   each component by itself, q over the window around p,
    a_pq = seen_q exp(-|p - q|^2 / 2 sigma_space^2 - |I_p - I_q|^2 / 2 sigma_color^2)

(Sun, Roth, Black, "Secrets of optical flow estimation and their principles", 2010, equations 13 to 15.) It is the
smoothness over a neighbourhood that sharpens motion boundaries and fills what is hidden, and needed only near these.
The median is found by halving the range of its window, to 1/2^STEPS of it; exp(-z) is (1 - z/32)^32.
"""

import numba
import numpy as np

from geo3d.util.jit import njit

RADIUS, COLUMNS = 7, 16
STEPS = 12
_SPAN, _ROOM = np.uintp(COLUMNS), (2 * RADIUS + 1) * COLUMNS
_ONE, _HALF = np.float32(1.0), np.float32(0.5)


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
        weight = (seen[rows, columns] * np.maximum(1.0 - z / 32.0, 0.0) ** 32).ravel()
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
            out[0, y, x] = _halve(u, weight, m)
            out[1, y, x] = _halve(v, weight, m)


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
        weight[m + i] = q * q * seen[start + i]


@njit(error_model="numpy", fastmath=True)
def _halve(value, weight, count):
    """Weighted median of the first `count` values."""
    low, high, total = np.float32(np.inf), np.float32(-np.inf), np.float32(0.0)
    for i in range(count):
        low, high = min(low, value[i]), max(high, value[i])
        total += weight[i]
    for _ in range(STEPS):
        middle = _HALF * (low + high)
        below = np.float32(0.0)
        for i in range(count):
            below += weight[i] if value[i] < middle else np.float32(0.0)
        if below > _HALF * total:
            high = middle
        else:
            low = middle
    return _HALF * (low + high)


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
