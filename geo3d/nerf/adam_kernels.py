"""Adam (Kingma and Ba 2015), sixteen numbers at a time.

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= size m / (sqrt(v) + epsilon)

`size` and `epsilon` hold the corrections of the bias. Numbers whose gradient is 0 stay as they are, with their moments,
where `sparse`: what no sample has reached costs no more than the look at its gradient.
"""

import math

import numpy as np

from geo3d.util.jit import njit
from geo3d.util.lanes import absolute, any_lane, load, next_item, select, square_root, store

f4 = np.float32

CHUNK = 1 << 14  # numbers that a thread takes at a time

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}


@njit(**_OPTIONS)
def move(counter, p, g, m, v, first, second, size, epsilon, sparse):
    """Move `p` (N,) against its gradient `g`, with the moments `m` and `v` and their decays `first` and `second`."""
    n, one = p.shape[0], f4(1)
    chunk = next_item(counter)
    while chunk * CHUNK < n:
        end = min((chunk + 1) * CHUNK, n)
        whole = end - (end - chunk * CHUNK) % 16
        for i in range(chunk * CHUNK, whole, 16):
            slope = load(g, i)
            moved = absolute(slope) > f4(0)
            if sparse and not any_lane(moved):
                continue
            before_m, before_v, before_p = load(m, i), load(v, i), load(p, i)
            now_m = before_m * first + slope * (one - first)
            now_v = before_v * second + slope * slope * (one - second)
            now_p = before_p - now_m * size / (square_root(now_v) + epsilon)
            if sparse:
                now_m, now_v = select(moved, now_m, before_m), select(moved, now_v, before_v)
                now_p = select(moved, now_p, before_p)
            store(m, i, now_m)
            store(v, i, now_v)
            store(p, i, now_p)
        for i in range(whole, end):
            if not sparse or abs(g[i]) > f4(0):
                m[i] = m[i] * first + g[i] * (one - first)
                v[i] = v[i] * second + g[i] * g[i] * (one - second)
                p[i] -= m[i] * size / (math.sqrt(v[i]) + epsilon)
        chunk = next_item(counter)
