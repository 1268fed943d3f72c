"""Windows of correlation from features, compiled: the products at the cells of a window, and their bilinear means.

    v(p, x, y) = <first_p, second(y, x)>, zero outside;  found(p, i, j) = bilinear v at center_p + (i, j) - radius

All positions of a window have the same fractions, so that (2 radius + 2)^2 products give its (2 radius + 1)^2 values.
The plain form is `geo3d.flow.raft.on_demand.windows_by_products`.
"""

import math

import numpy as np
from numba import prange

from geo3d.util.jit import njit

_SLAB = 16  # channels of the second features whose gradient one thread sums


@njit()
def _corner(center: float, radius: int, size: int) -> tuple[int, float]:
    """First cell of a window along an axis, and the fraction; a center far outside is brought near: zero there too."""
    low, high = -radius - 2.0, size + radius + 1.0
    inside = center
    if not center > low:  # NaN too
        inside = low
    if center > high:
        inside = high
    whole = math.floor(inside)
    return int(whole) - radius, inside - whole


@njit(parallel=True, fastmath=True, nogil=True)
def look_up(
    first, second, centers, radius, found
):  # (P, C), (H, W, C), (P, 2), -> (P, (2 radius + 1)^2), all float32
    """Fill `found` with the windows."""
    height, width, channels = second.shape
    side = 2 * radius + 2
    for p in prange(len(first)):
        x0, fx = _corner(centers[p, 0], radius, width)
        y0, fy = _corner(centers[p, 1], radius, height)
        products = np.zeros((side, side), np.float32)  # [x, y]
        for i in range(max(0, -x0), min(side, width - x0)):
            for j in range(max(0, -y0), min(side, height - y0)):
                total = np.float32(0.0)
                for c in range(channels):
                    total += first[p, c] * second[y0 + j, x0 + i, c]
                products[i, j] = total
        for i in range(side - 1):
            for j in range(side - 1):
                left = (1.0 - fy) * products[i, j] + fy * products[i, j + 1]
                right = (1.0 - fy) * products[i + 1, j] + fy * products[i + 1, j + 1]
                found[p, i * (side - 1) + j] = (1.0 - fx) * left + fx * right


@njit(parallel=True, fastmath=True, nogil=True)
def look_up_gradients(first, second, centers, gradients, radius, to_first, to_second):
    """Add the gradients of `look_up` by its features to `to_first` (P, C) and `to_second` (H, W, C).

    `gradients` (P, (2 radius + 1)^2) is by what was found.
    """
    height, width, channels = second.shape
    side = 2 * radius + 2
    weights = np.zeros((len(first), side, side), np.float32)  # gradient by each product
    for p in prange(len(first)):
        x0, fx = _corner(centers[p, 0], radius, width)
        y0, fy = _corner(centers[p, 1], radius, height)
        for i in range(side - 1):
            for j in range(side - 1):
                g = gradients[p, i * (side - 1) + j]
                weights[p, i, j] += (1.0 - fx) * (1.0 - fy) * g
                weights[p, i, j + 1] += (1.0 - fx) * fy * g
                weights[p, i + 1, j] += fx * (1.0 - fy) * g
                weights[p, i + 1, j + 1] += fx * fy * g
        for i in range(max(0, -x0), min(side, width - x0)):
            for j in range(max(0, -y0), min(side, height - y0)):
                w = weights[p, i, j]
                for c in range(channels):
                    to_first[p, c] += w * second[y0 + j, x0 + i, c]
    for slab in prange(
        (channels + _SLAB - 1) // _SLAB
    ):  # threads share no channel: no order of sums to depend on
        start, stop = slab * _SLAB, min(channels, slab * _SLAB + _SLAB)
        for p in range(len(first)):
            x0, _ = _corner(centers[p, 0], radius, width)
            y0, _ = _corner(centers[p, 1], radius, height)
            for i in range(max(0, -x0), min(side, width - x0)):
                for j in range(max(0, -y0), min(side, height - y0)):
                    w = weights[p, i, j]
                    for c in range(start, stop):
                        to_second[y0 + j, x0 + i, c] += w * first[p, c]
