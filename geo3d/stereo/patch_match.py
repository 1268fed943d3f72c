"""PatchMatch stereo: a slanted plane d(u, v) = c + a (u - x) + b (v - y) for each pixel (x, y).

    E(x, y; a, b, c) = sum_q w(q) rho(q, q - d(q)) / sum_q w(q) + pull * min(|c - c_0(x, y)|, 3)
    w(q)   = exp(-|colour(q) - colour(x, y)| / (3 * 10 levels)),  q in every second row and column of a window of 17
    rho    = 0.15 min(|colour difference| / 3, 10) + 0.85 min(|difference of horizontal gradients|, 3)

c_0 is the disparity of the semi-global matcher, from which the planes start, too: it decides where the window alone can
not, in plain areas. Each round tries, for the pixels of one colour of a chessboard and then for the others, the planes
of eight neighbours, that of the pixel it looks at in the other image, and three random changes that become smaller.
Bleyer, Rhemann and Rother, "PatchMatch stereo: stereo matching with slanted support windows", BMVC 2011; the start and
the pull are ours. A pixel writes its own plane only, and its random numbers are a hash of its place: the result does
not depend on threads.
"""

import numba
import numpy as np

from geo3d.stereo.costs import to_gray
from geo3d.util.jit import njit
from geo3d.util.require import require

_RADIUS, _STRIDE, _ROUNDS = 8, 2, 2
_COLOR_LEVELS = 10.0
_SHARE, _MOST_COLOR, _MOST_GRADIENT = np.float32(0.85), np.float32(10.0), np.float32(3.0)
_PULL, _MOST_PULL_PX = np.float32(0.6), np.float32(3.0)
_STEEPEST_X, _STEEPEST_Y = 0.8, 1.5
_WORST = np.float32(1e9)
# dy, dx of the neighbours: all of the other colour of the chessboard
_NEIGHBOURS = np.array([(0, -1), (0, 1), (-1, 0), (1, 0), (0, -5), (0, 5), (-5, 0), (5, 0)])
_CHANGES_PX = np.array([1.0, 0.25, 0.075], np.float32) * np.float32(2.0)
_SLOPE_A_PIXEL = np.float32(0.06)


def refine_planes(
    left: np.ndarray, right: np.ndarray, start: tuple[np.ndarray, np.ndarray], low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """Disparities of both images by PatchMatch.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
        Rectified.
    start : (H, W) float32, (H, W) float32
        Disparities of the left and of the right image without holes.
    low, high : int
        Lowest and highest disparity.

    Returns
    -------
    left, right : (H, W) float32
    """
    images = left, right
    gradients = [_gradient(image) for image in images]
    planes = [_planes(disparity) for disparity in start]
    table = np.exp(-np.arange(766) / (3.0 * _COLOR_LEVELS)).astype(np.float32) + np.float32(1e-6)
    ends = np.float32(low), np.float32(high)
    views = []
    for i, sign in ((0, np.float32(1.0)), (1, np.float32(-1.0))):
        weights, costs = (np.empty(left.shape[:2], np.float32) for _ in range(2))
        view = (images[i], gradients[i], images[1 - i], gradients[1 - i], table, sign, *ends)
        _begin(view, planes[i], start[i], weights, costs)
        views.append((view, weights, costs))
    for turn in range(_ROUNDS):
        for i, (view, weights, costs) in enumerate(views):
            for color in (0, 1):
                _sweep(view, planes[i], planes[1 - i], start[i], weights, costs, turn, color)
    return planes[0][..., 2].copy(), planes[1][..., 2].copy()


def patch_cost_reference(
    left: np.ndarray, right: np.ndarray, place: tuple[int, int], plane: tuple[float, float, float]
) -> float:
    """The sum of E at the row and column `place` of the left image, without the pull, as the formula says."""
    y, x = place
    a, b, c = plane
    gradients = _gradient(left), _gradient(right)
    height, width = left.shape[:2]
    total = weights = 0.0
    for v in range(y - _RADIUS, y + _RADIUS + 1, _STRIDE):
        for u in range(x - _RADIUS, x + _RADIUS + 1, _STRIDE):
            if not (0 <= v < height and 0 <= u < width):
                continue
            apart = np.abs(left[v, u].astype(float) - left[y, x]).sum()
            weight = np.exp(-apart / (3.0 * _COLOR_LEVELS)) + 1e-6
            at = u - (c + a * (u - x) + b * (v - y))
            color, slope = float(_MOST_COLOR), float(_MOST_GRADIENT)
            if 0.0 <= at <= width - 2:
                i = int(at)
                seen = (1.0 - at + i) * right[v, i] + (at - i) * right[v, i + 1].astype(float)
                seen_slope = (1.0 - at + i) * gradients[1][v, i] + (at - i) * gradients[1][v, i + 1]
                color = min(np.abs(left[v, u] - seen).sum() / 3.0, color)
                slope = min(abs(gradients[0][v, u] - seen_slope), slope)
            total += weight * ((1.0 - _SHARE) * color + _SHARE * slope)
            weights += weight
    return float(total / weights)


def _gradient(image: np.ndarray) -> np.ndarray:
    """(H, W) float32, of the grey levels along the row, twice per pixel."""
    cv2 = require("cv2")
    return cv2.Sobel(to_gray(image).astype(np.float32), cv2.CV_32F, 1, 0, ksize=3, scale=1 / 4)


def _planes(disparity: np.ndarray) -> np.ndarray:
    """(H, W, 3) a, b, c of a disparity map, the slopes of what is smooth in it."""
    cv2 = require("cv2")
    smooth = cv2.blur(cv2.medianBlur(np.ascontiguousarray(disparity), 5), (5, 5))
    slopes = [cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0)]
    return np.stack([np.clip(slopes[0], -0.5, 0.5), np.clip(slopes[1], -0.8, 0.8), disparity], axis=-1)


@njit(nogil=True, error_model="numpy", fastmath=True)
def patch_cost(view, y, x, a, b, c, limit):
    """Sum over the window of w rho; what is certain to exceed `limit` is 1e9. view: see `refine_planes`."""
    image, slopes, other, other_slopes, table, sign, low, high = view
    height, width = slopes.shape
    red, green, blue = np.int32(image[y, x, 0]), np.int32(image[y, x, 1]), np.int32(image[y, x, 2])
    worst = (np.float32(1.0) - _SHARE) * _MOST_COLOR + _SHARE * _MOST_GRADIENT
    total = np.float32(0.0)
    for v in range(y - _RADIUS, min(y + _RADIUS + 1, height), _STRIDE):
        if v < 0:
            continue
        for u in range(x - _RADIUS, min(x + _RADIUS + 1, width), _STRIDE):
            if u < 0:
                continue
            r, g, s = np.float32(image[v, u, 0]), np.float32(image[v, u, 1]), np.float32(image[v, u, 2])
            weight = table[np.int32(abs(red - r) + abs(green - g) + abs(blue - s))]
            d = a * np.float32(u - x) + b * np.float32(v - y) + c
            at = np.float32(u) - sign * d
            cost = worst
            if d < low - np.float32(1.0) or d > high + np.float32(1.0):
                cost = np.float32(1.5) * worst
            elif at >= np.float32(0.0) and at <= np.float32(width - 2):
                i = np.int64(at)
                f = at - np.float32(i)
                e = np.float32(1.0) - f
                color = abs(r - (e * other[v, i, 0] + f * other[v, i + 1, 0]))
                color += abs(g - (e * other[v, i, 1] + f * other[v, i + 1, 1]))
                color += abs(s - (e * other[v, i, 2] + f * other[v, i + 1, 2]))
                slope = abs(slopes[v, u] - (e * other_slopes[v, i] + f * other_slopes[v, i + 1]))
                color = min(color / np.float32(3.0), _MOST_COLOR)
                cost = (np.float32(1.0) - _SHARE) * color + _SHARE * min(slope, _MOST_GRADIENT)
            total += weight * cost
        if total > limit:
            return _WORST
    return total


@njit(nogil=True, error_model="numpy")
def window_weight(view, y, x):
    """Sum of w over the window."""
    image, table = view[0], view[4]
    height, width = image.shape[:2]
    total = np.float32(0.0)
    for v in range(max(y - _RADIUS, (y - _RADIUS) % _STRIDE), min(y + _RADIUS + 1, height), _STRIDE):
        for u in range(max(x - _RADIUS, (x - _RADIUS) % _STRIDE), min(x + _RADIUS + 1, width), _STRIDE):
            apart = 0
            for k in range(3):
                apart += abs(np.int32(image[v, u, k]) - np.int32(image[y, x, k]))
            total += table[apart]
    return total


@njit(parallel=True, nogil=True, error_model="numpy")
def _begin(view, planes, start, weights, costs):
    height, width = costs.shape
    for y in numba.prange(height):
        for x in range(width):
            a, b, c = planes[y, x, 0], planes[y, x, 1], planes[y, x, 2]
            weights[y, x] = window_weight(view, y, x)
            pull = _PULL * min(abs(c - start[y, x]), _MOST_PULL_PX)
            costs[y, x] = patch_cost(view, y, x, a, b, c, _WORST) / weights[y, x] + pull


@njit(nogil=True, error_model="numpy")
def _random(y, x, k):
    """From -1 to 1: a hash of the place and the number of the draw."""
    bits = np.uint32(y * 73856093) ^ np.uint32(x * 19349663) ^ np.uint32(k * 83492791)
    bits ^= bits >> np.uint32(16)
    bits = np.uint32(bits * np.uint32(0x7FEB352D))
    bits ^= bits >> np.uint32(15)
    bits = np.uint32(bits * np.uint32(0x846CA68B))
    bits ^= bits >> np.uint32(16)
    return np.float32(bits) / np.float32(2147483648.0) - np.float32(1.0)


@njit(nogil=True, error_model="numpy")
def _candidate(planes, others, y, x, k, turn, sign):
    """Plane number k to try at a pixel: of a neighbour, of the other image, or a change; (9, 9, c) if there is none."""
    height, width = planes.shape[:2]
    none = np.float32(9.0)
    a, b, c = planes[y, x, 0], planes[y, x, 1], planes[y, x, 2]
    if k < len(_NEIGHBOURS):
        dy, dx = _NEIGHBOURS[k]
        v, u = y + dy, x + dx
        if v < 0 or v >= height or u < 0 or u >= width:
            return none, none, c
        a, b = planes[v, u, 0], planes[v, u, 1]
        return a, b, planes[v, u, 2] - a * np.float32(dx) - b * np.float32(dy)
    if k == len(_NEIGHBOURS):
        u = np.int64(np.floor(np.float32(x) - sign * c + np.float32(0.5)))
        if u < 0 or u >= width:
            return none, none, c
        steep = np.float32(1.0) + sign * others[y, u, 0]
        c = (others[y, u, 0] * np.float32(x - u) + others[y, u, 2]) / steep
        return others[y, u, 0] / steep, others[y, u, 1] / steep, c
    draw = 48 * turn + 3 * k
    size = _CHANGES_PX[k - len(_NEIGHBOURS) - 1] * np.float32(0.5) ** turn * np.float32(0.5)
    a += _SLOPE_A_PIXEL * size * _random(y, x, draw)
    b += _SLOPE_A_PIXEL * size * _random(y, x, draw + 1)
    return a, b, c + size * _random(y, x, draw + 2)


@njit(parallel=True, nogil=True, error_model="numpy")
def _sweep(view, planes, others, start, weights, costs, turn, color):
    height, width = costs.shape
    sign, low, high = view[5], view[6], view[7]
    for y in numba.prange(height):
        for x in range((y + color) % 2, width, 2):
            for k in range(len(_NEIGHBOURS) + 1 + len(_CHANGES_PX)):
                a, b, c = _candidate(planes, others, y, x, k, turn, sign)
                if not (low <= c <= high and abs(a) < _STEEPEST_X and abs(b) < _STEEPEST_Y):
                    continue
                pull = _PULL * min(abs(c - start[y, x]), _MOST_PULL_PX)
                limit = (costs[y, x] - pull) * weights[y, x]
                cost = patch_cost(view, y, x, a, b, c, limit) / weights[y, x] + pull
                if cost < costs[y, x]:
                    costs[y, x] = cost
                    planes[y, x, 0], planes[y, x, 1], planes[y, x, 2] = a, b, c
