"""Kernels of PatchMatch correspondence fields: the cost of a match, and a sweep of propagation and random search.

A field holds for each pixel p of an image the place t in the other one (indices of pixels, x and y), the base-2
logarithm of a scale, and an angle in radians: the patch around p is seen there as

    p + o  ->  t + 2^s R(angle) o

The cost is 1 - c with c the correlation of both patches of 7 x 7 pixels, each channel less its mean, all channels
together; 1 where either is plain, 2 where the match leaves the image. A pixel writes its own match only, and sweeps
take the pixels of one colour of a chessboard at a time; random numbers are a hash of the place: the result does not
depend on threads.
"""

import numba
import numpy as np

from geo3d.util.jit import njit

RADIUS = 3
WORST = np.float32(2.0)
MOST_LOG_SCALE = np.float32(1.25)
# dy, dx of the neighbours: all of the other colour of the chessboard
_NEIGHBOURS = np.array([(0, -1), (0, 1), (-1, 0), (1, 0), (0, -5), (0, 5), (-5, 0), (5, 0)])
_LEAST_SPREAD = np.float32(1e-3)
_NARROWER = np.float32(0.4)
_PI = np.float32(np.pi)


@njit(error_model="numpy")
def patch_cost(image, other, x, y, match):
    """1 - correlation of the patch at the pixel (x, y) of `image` and its `match` (4,) in `other`."""
    height, width = image.shape[:2]
    far, deep = other.shape[1], other.shape[0]
    zero, one, half = np.float32(0.0), np.float32(1.0), np.float32(0.5)
    reach = np.float32(-0.5)
    if not (reach <= match[0] <= far + reach and reach <= match[1] <= deep + reach):
        return WORST
    scale = np.float32(2.0) ** match[2]
    c, s = scale * np.cos(match[3]), scale * np.sin(match[3])
    n = a0 = a1 = a2 = b0 = b1 = b2 = aa = bb = ab = zero
    for j in range(-RADIUS, RADIUS + 1):
        v = y + j
        if v < 0 or v >= height:
            continue
        for i in range(-RADIUS, RADIUS + 1):
            u = x + i
            if u < 0 or u >= width:
                continue
            di, dj = np.float32(i), np.float32(j)
            at_x, at_y = match[0] + c * di - s * dj, match[1] + s * di + c * dj
            if not (reach <= at_x <= far + reach and reach <= at_y <= deep + reach):
                continue
            at_x = min(max(at_x, zero), np.float32(far) - np.float32(1.001))
            at_y = min(max(at_y, zero), np.float32(deep) - np.float32(1.001))
            column, row = np.int64(at_x), np.int64(at_y)
            fx, fy = at_x - np.float32(column), at_y - np.float32(row)
            w11 = fx * fy
            w01, w10 = fx - w11, fy - w11
            w00 = one - fx - w10
            r0, g0, s0 = image[v, u, 0], image[v, u, 1], image[v, u, 2]
            p, q = other[row, column], other[row, column + 1]
            k, m = other[row + 1, column], other[row + 1, column + 1]
            r1 = w00 * p[0] + w01 * q[0] + w10 * k[0] + w11 * m[0]
            g1 = w00 * p[1] + w01 * q[1] + w10 * k[1] + w11 * m[1]
            s1 = w00 * p[2] + w01 * q[2] + w10 * k[2] + w11 * m[2]
            n += one
            a0, a1, a2 = a0 + r0, a1 + g0, a2 + s0
            b0, b1, b2 = b0 + r1, b1 + g1, b2 + s1
            aa += r0 * r0 + g0 * g0 + s0 * s0
            bb += r1 * r1 + g1 * g1 + s1 * s1
            ab += r0 * r1 + g0 * g1 + s0 * s1
    if n < half * np.float32((2 * RADIUS + 1) ** 2):
        return WORST
    aa -= (a0 * a0 + a1 * a1 + a2 * a2) / n
    bb -= (b0 * b0 + b1 * b1 + b2 * b2) / n
    ab -= (a0 * b0 + a1 * b1 + a2 * b2) / n
    if not min(aa, bb) > _LEAST_SPREAD:
        return one
    return one - ab / np.sqrt(aa * bb)


@njit(error_model="numpy")
def _random(y, x, k):
    """From -1 to 1: a hash of the place and the number of the draw."""
    bits = np.uint32(y * 73856093) ^ np.uint32(x * 19349663) ^ np.uint32(k * 83492791)
    bits ^= bits >> np.uint32(16)
    bits = np.uint32(bits * np.uint32(0x7FEB352D))
    bits ^= bits >> np.uint32(15)
    bits = np.uint32(bits * np.uint32(0x846CA68B))
    bits ^= bits >> np.uint32(16)
    return np.float32(bits) / np.float32(2147483648.0) - np.float32(1.0)


@njit(error_model="numpy")
def _shift(match, dx, dy, out):
    """The match of the pixel at (dx, dy) from one whose match is `match`, on the same surface."""
    scale = np.float32(2.0) ** match[2]
    c, s = scale * np.cos(match[3]), scale * np.sin(match[3])
    out[0], out[1] = match[0] + c * dx - s * dy, match[1] + s * dx + c * dy
    out[2], out[3] = match[2], match[3]


@njit(error_model="numpy")
def _invert(match, at_x, at_y, x, y, out):
    """The match of (x, y) from the `match` of a pixel (at_x, at_y) of the other image that leads to near (x, y)."""
    scale = np.float32(2.0) ** -match[2]
    c, s = scale * np.cos(match[3]), scale * np.sin(match[3])
    dx, dy = x - match[0], y - match[1]
    out[0], out[1] = at_x + c * dx + s * dy, at_y - s * dx + c * dy
    out[2], out[3] = -match[2], -match[3]


@njit(parallel=True, error_model="numpy")
def evaluate(image, other, field, costs):
    """`costs` (H, W) of a field."""
    height, width = costs.shape
    for y in numba.prange(height):
        for x in range(width):
            costs[y, x] = patch_cost(image, other, x, y, field[y, x])


@njit(parallel=True, error_model="numpy")
def begin(image, other, field, costs, tries, seed):
    """The best of random matches anywhere."""
    height, width = costs.shape
    half = np.float32(0.5)
    for y in numba.prange(height):
        match = np.empty(4, np.float32)
        for x in range(width):
            costs[y, x] = np.float32(9.0)
            for k in range(tries):
                draw = seed + 4 * k
                match[0] = (half + half * _random(y, x, draw)) * np.float32(other.shape[1] - 1)
                match[1] = (half + half * _random(y, x, draw + 1)) * np.float32(other.shape[0] - 1)
                match[2] = MOST_LOG_SCALE * _random(y, x, draw + 2)
                match[3] = _PI * _random(y, x, draw + 3)
                cost = patch_cost(image, other, x, y, match)
                if cost < costs[y, x]:
                    costs[y, x] = cost
                    field[y, x] = match


@njit(parallel=True, error_model="numpy")
def sweep(image, other, field, back, costs, radius, least, color, seed):
    """Try at each pixel of a colour the matches of its neighbours, that of the field `back`, and random changes from
    `radius` pixels down to `least`."""
    height, width = costs.shape
    half = np.float32(0.5)
    for y in numba.prange(height):
        match = np.empty(4, np.float32)
        for x in range((y + color) % 2, width, 2):
            for k in range(len(_NEIGHBOURS) + 1):
                if k < len(_NEIGHBOURS):
                    dy, dx = _NEIGHBOURS[k]
                    v, u = y + dy, x + dx
                    if v < 0 or v >= height or u < 0 or u >= width:
                        continue
                    _shift(field[v, u], np.float32(-dx), np.float32(-dy), match)
                else:
                    u, v = (
                        np.int64(np.floor(field[y, x, 0] + half)),
                        np.int64(np.floor(field[y, x, 1] + half)),
                    )
                    if v < 0 or v >= back.shape[0] or u < 0 or u >= back.shape[1]:
                        continue
                    _invert(back[v, u], np.float32(u), np.float32(v), np.float32(x), np.float32(y), match)
                if abs(match[0] - field[y, x, 0]) + abs(match[1] - field[y, x, 1]) < least:
                    continue  # its own, nearly
                cost = patch_cost(image, other, x, y, match)
                if cost < costs[y, x]:
                    costs[y, x] = cost
                    field[y, x] = match
            size, draw = radius, seed
            while size >= least:
                turn = min(size * np.float32(0.15), np.float32(1.0))
                match[0] = field[y, x, 0] + size * _random(y, x, draw)
                match[1] = field[y, x, 1] + size * _random(y, x, draw + 1)
                match[2] = field[y, x, 2] + turn * _random(y, x, draw + 2)
                match[2] = min(max(match[2], -MOST_LOG_SCALE), MOST_LOG_SCALE)
                match[3] = field[y, x, 3] + turn * _PI * _random(y, x, draw + 3)
                cost = patch_cost(image, other, x, y, match)
                if cost < costs[y, x]:
                    costs[y, x] = cost
                    field[y, x] = match
                size *= _NARROWER
                draw += 4
