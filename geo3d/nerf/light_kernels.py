"""Samples behind which next to no light is left are cut off: they change no picture and learn nothing.

Of a ray the samples are kept up to and with the first before which T_i = exp(-sum_{j<i} sigma_j delta_j) < least.
"""

import numpy as np
from numba import prange

from geo3d.util.jit import njit

f4 = np.float32
_OPTIONS = {"error_model": "numpy", "_nrt": False}


@njit(parallel=True, **_OPTIONS)
def lit_counts(starts, ends, offsets, density, least, counts):
    """(R,) int64 `counts` of the samples of each ray that light reaches; at a density that is no number all are."""
    most = -np.log(np.float64(least))
    for ray in prange(len(counts)):
        thickness, i = 0.0, offsets[ray]
        while i < offsets[ray + 1] and not thickness > most:
            thickness += density[i] * (ends[i] - starts[i])
            i += 1
        counts[ray] = i - offsets[ray]


@njit(parallel=True, **_OPTIONS)
def keep_lit(offsets, kept, given, taken):
    """Copy the first samples of each ray: `offsets`, `kept` (R + 1,) of the rays before and after.

    `given` and `taken`: starts, ends, positions (S, 3), directions (S, 3), indices of the rays.
    """
    for ray in prange(len(offsets) - 1):
        at = offsets[ray]
        for i in range(kept[ray], kept[ray + 1]):
            taken[0][i], taken[1][i] = given[0][at], given[1][at]
            for axis in range(3):
                taken[2][i, axis] = given[2][at, axis]
                taken[3][i, axis] = given[3][at, axis]
            taken[4][i] = given[4][at]
            at += 1
