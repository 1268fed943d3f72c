"""Values and slopes of an image between and at its pixels, as the kernels of flow call them; borders are repeated."""

import numpy as np

from geo3d.util.jit import njit

_HALF, _ONE, _TWO, _THREE, _FOUR, _FIVE = (np.float32(value) for value in (0.5, 1, 2, 3, 4, 5))


@njit(error_model="numpy")
def held(index, size):
    """The index of the nearest pixel of `size` ones."""
    return min(max(index, 0), size - 1)


@njit(error_model="numpy")
def keys_weights(t):
    """Weights of the pixels at -1, 0, 1, 2 for a place `t` after the one at 0: Keys 1981, a = -1/2."""
    return (
        _HALF * t * (t * (_TWO - t) - _ONE),
        _HALF * (t * t * (_THREE * t - _FIVE) + _TWO),
        _HALF * t * (t * (_FOUR - _THREE * t) + _ONE),
        _HALF * t * t * (t - _ONE),
    )


@njit(error_model="numpy")
def slope(before2, before, after, after2):
    """Derivative in the middle of neighbours at -2, -1, 1, 2: exact for polynomials of degree 4."""
    return np.float32(1.0 / 12.0) * (before2 - after2 + np.float32(8.0) * (after - before))


@njit(error_model="numpy")
def slope_along(row, out):
    """Derivatives of a row (W,) into out (W,)."""
    width = row.shape[0]
    for x in range(2, width - 2):
        out[x] = slope(row[x - 2], row[x - 1], row[x + 1], row[x + 2])
    for k in range(4):
        x = held(k if k < 2 else width - 4 + k, width)
        out[x] = slope(
            row[held(x - 2, width)], row[held(x - 1, width)], row[held(x + 1, width)], row[held(x + 2, width)]
        )
