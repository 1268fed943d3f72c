"""Kernels of the search for motions that the coarse levels have lost.

    cost(p, w) = sum_q a_pq min(|f0(q) - f1(q + w)|_1, TRUNCATION) / sum_q a_pq
    a_pq = exp(-|color_p - color_q|_1 / FALLOFF)

over the 7 x 7 pixels q around p: colours like that of p count most, so that a thin thing is compared by itself and
not with what is behind it (Yoon, Kweon 2006). Features (H, W, 5) float32: three of colour, two derivatives; those
of image 1 are fetched bilinearly, and are as far as TRUNCATION beyond its border.

Propagation is PatchMatch's (Barnes et al. 2009): each pixel tries the motions of its neighbours and small random
changes of its own. All look at the field as it was before, and random numbers are hashed from the place, so that the
result is the same on any number of cores. The plain form of the cost is `cost_reference`.
"""

import numba
import numpy as np

from geo3d.util.jit import njit

FEATURES = 5
TRUNCATION = np.float32(20.0)
FALLOFF = np.float32(5.0)
SIDE = 3
_WINDOW = (2 * SIDE + 1) ** 2
_LEAST = np.float32(0.002)  # weights below this are not worth a look
_SAME_PX = np.float32(0.05)
_NARROWING = np.float32(0.4)  # of the random changes, from one to the next


def cost_reference(first: np.ndarray, second: np.ndarray, y: int, x: int, motion: np.ndarray) -> float:
    """Cost of a motion (x, y) of the pixel (x, y), as the formula says."""
    height, width, _ = first.shape
    total = weights = 0.0
    for row in range(max(y - SIDE, 0), min(y + SIDE + 1, height)):
        for column in range(max(x - SIDE, 0), min(x + SIDE + 1, width)):
            weight = np.exp(-np.abs(first[row, column, :3] - first[y, x, :3]).sum() / FALLOFF)
            to_x, to_y = column + motion[0], row + motion[1]
            distance = float(TRUNCATION)
            if 0 <= to_x <= width - 1 and 0 <= to_y <= height - 1:
                i, j = min(int(to_x), width - 2), min(int(to_y), height - 2)
                s, t = to_x - i, to_y - j
                above = (1 - s) * second[j, i] + s * second[j, i + 1]
                below = (1 - s) * second[j + 1, i] + s * second[j + 1, i + 1]
                distance = min(np.abs(first[row, column] - (1 - t) * above - t * below).sum(), distance)
            total += weight * distance
            weights += weight
    return total / weights


@njit(error_model="numpy", fastmath=True)
def _support(first, y, x, weights):
    """Weights of the window of a pixel, their sum 1; 0 outside of the image."""
    height, width, _ = first.shape
    total = np.float32(0.0)
    n = 0
    for row in range(y - SIDE, y + SIDE + 1):
        for column in range(x - SIDE, x + SIDE + 1):
            weights[n] = 0.0
            if 0 <= row < height and 0 <= column < width:
                unlike = np.float32(0.0)
                for k in range(3):
                    unlike += abs(first[row, column, k] - first[y, x, k])
                weights[n] = np.exp(-unlike / FALLOFF)
            total += weights[n]
            n += 1
    for n in range(_WINDOW):
        weights[n] /= total


@njit(error_model="numpy", fastmath=True)
def _distance(first, second, y, x, u, v):
    """Truncated difference of the features of a pixel and of what lies at its motion."""
    height, width, _ = second.shape
    px, py = np.float32(x) + u, np.float32(y) + v
    if not (px >= 0 and py >= 0 and px <= width - 1 and py <= height - 1):
        return TRUNCATION
    i, j = min(np.int64(px), width - 2), min(np.int64(py), height - 2)
    s, t = px - np.float32(i), py - np.float32(j)
    a, b, c, d = (1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t
    total = np.float32(0.0)
    for k in range(FEATURES):
        total += abs(
            first[y, x, k]
            - a * second[j, i, k]
            - b * second[j, i + 1, k]
            - c * second[j + 1, i, k]
            - d * second[j + 1, i + 1, k]
        )
    return min(total, TRUNCATION)


@njit(error_model="numpy", fastmath=True)
def _whole_distance(first, second, y, x, dy, dx):
    """The same for whole pixels."""
    height, width, _ = second.shape
    row, column = y + dy, x + dx
    if not (0 <= row < height and 0 <= column < width):
        return TRUNCATION
    total = np.float32(0.0)
    for k in range(FEATURES):
        total += abs(first[y, x, k] - second[row, column, k])
    return min(total, TRUNCATION)


@njit(error_model="numpy", fastmath=True)
def _cost(first, second, y, x, u, v, weights, limit):
    """Cost of a motion of a pixel, or something at least `limit` if it comes to that."""
    total = np.float32(0.0)
    n = 0
    for row in range(y - SIDE, y + SIDE + 1):
        for column in range(x - SIDE, x + SIDE + 1):
            if weights[n] > _LEAST:
                total += weights[n] * _distance(first, second, row, column, u, v)
            n += 1
        if total >= limit:
            break
    return total


@njit(error_model="numpy", fastmath=True)
def _whole_cost(first, second, y, x, dy, dx, weights, limit):
    """The same for a motion of whole pixels."""
    total = np.float32(0.0)
    n = 0
    for row in range(y - SIDE, y + SIDE + 1):
        for column in range(x - SIDE, x + SIDE + 1):
            if weights[n] > _LEAST:
                total += weights[n] * _whole_distance(first, second, row, column, dy, dx)
            n += 1
        if total >= limit:
            break
    return total


@njit(parallel=True, error_model="numpy", fastmath=True)
def motion_costs(first, second, flow, costs):
    """Cost of each pixel's motion, (H, W)."""
    height, width = costs.shape
    for y in numba.prange(height):
        weights = np.empty(_WINDOW, np.float32)
        for x in range(width):
            _support(first, y, x, weights)
            costs[y, x] = _cost(
                first, second, y, x, flow[0, y, x], flow[1, y, x], weights, np.float32(np.inf)
            )


@njit(parallel=True, error_model="numpy", fastmath=True)
def search_everywhere(first, second, where, reach, flow, costs):
    """Take the best whole-pixel motion within `reach` if it costs less, at every second pixel each way of `where`."""
    height, width = costs.shape
    for half in numba.prange((height + 1) // 2):
        y = 2 * half
        weights = np.empty(_WINDOW, np.float32)
        for x in range(0, width, 2):
            if where[y, x] == 0:
                continue
            _support(first, y, x, weights)
            for dy in range(max(-reach, -y), min(reach, height - 1 - y) + 1):
                for dx in range(max(-reach, -x), min(reach, width - 1 - x) + 1):
                    cost = _whole_cost(first, second, y, x, dy, dx, weights, costs[y, x])
                    if cost < costs[y, x]:
                        costs[y, x] = cost
                        flow[0, y, x], flow[1, y, x] = np.float32(dx), np.float32(dy)


@njit(error_model="numpy")
def _hashed(number):
    """A 32-bit number that looks random, from any (Wellons's lowbias32)."""
    number = np.uint32(number)
    number ^= number >> np.uint32(16)
    number *= np.uint32(0x7FEB352D)
    number ^= number >> np.uint32(15)
    number *= np.uint32(0x846CA68B)
    number ^= number >> np.uint32(16)
    return number


@njit(error_model="numpy")
def _signed(number):
    """From -1 to 1."""
    return np.float32(number) * np.float32(2.0**-31) - np.float32(1.0)


@njit(parallel=True, error_model="numpy", fastmath=True)
def propagate(first, second, where, flow, costs, apart, spread, samples, new_flow, new_costs):
    """One round in `where`: the motions of the neighbours at `apart` pixels, and random ones within `spread` px."""
    height, width = costs.shape
    for y in numba.prange(height):
        weights = np.empty(_WINDOW, np.float32)
        for x in range(width):
            u, v, best = flow[0, y, x], flow[1, y, x], costs[y, x]
            if where[y, x] != 0:
                _support(first, y, x, weights)
                for side in range(4):
                    row = y + (apart if side == 0 else -apart if side == 1 else 0)
                    column = x + (apart if side == 2 else -apart if side == 3 else 0)
                    if not (0 <= row < height and 0 <= column < width):
                        continue
                    a, b = flow[0, row, column], flow[1, row, column]
                    if abs(a - u) + abs(b - v) > _SAME_PX:
                        cost = _cost(first, second, y, x, a, b, weights, best)
                        if cost < best:
                            u, v, best = a, b, cost
                state = _hashed(np.uint32(y * width + x) ^ _hashed(np.uint32(apart)))
                radius = spread
                for _ in range(samples):
                    state = _hashed(state + np.uint32(1))
                    a = u + radius * _signed(state)
                    state = _hashed(state + np.uint32(1))
                    b = v + radius * _signed(state)
                    cost = _cost(first, second, y, x, a, b, weights, best)
                    if cost < best:
                        u, v, best = a, b, cost
                    radius *= _NARROWING
            new_flow[0, y, x], new_flow[1, y, x], new_costs[y, x] = u, v, best
