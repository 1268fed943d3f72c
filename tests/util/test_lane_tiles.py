"""Products in tiles and transposition against NumPy."""

import numpy as np
import pytest

from geo3d.util.jit import njit
from geo3d.util.lane_tiles import (
    ADD,
    GATE,
    NARROW,
    OUTER,
    OUTER_NARROW,
    RELU,
    SET,
    WIDE,
    products,
    transpose,
)

f4 = np.float32


def product_kernel(tile, end):
    @njit(error_model="numpy")
    def kernel(a, a_start, a_row, a_step, b, b_start, b_step, c, c_start, c_row, count):
        products(a, a_start, a_row, a_step, b, b_start, b_step, c, c_start, c_row, count, tile, end)

    return kernel


@pytest.mark.parametrize("tile", sorted({WIDE, NARROW, OUTER, OUTER_NARROW}))
@pytest.mark.parametrize("end", [SET, RELU, ADD, GATE])
def test_a_tile_of_a_product(tile, end):
    rows, columns = tile // 256, tile % 256 * 16
    rng = np.random.default_rng(tile + end)
    for count in (0, 1, 5, 64):
        a, b = (
            rng.normal(size=(rows + 1, count + 2)).astype(f4),
            rng.normal(size=(count + 1, columns + 3)).astype(f4),
        )
        before = rng.normal(size=(rows, columns + 5)).astype(f4)
        left, right = a[:rows, :count].astype(float), b[:count, :columns].astype(float)
        c = before.copy()
        kernel = product_kernel(tile, end)
        kernel(a.ravel(), 0, a.shape[1], 1, b.ravel(), 0, b.shape[1], c.ravel(), 0, c.shape[1], count)
        inside = before[:, :columns]
        expected = {
            SET: left @ right,
            RELU: np.maximum(left @ right, 0),
            ADD: inside + left @ right,
            GATE: np.where(inside > 0, left @ right, 0),
        }[end]
        np.testing.assert_allclose(c[:, :columns], expected, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(
            c[:, columns:], before[:, columns:]
        )  # nothing beyond the tile is touched
        # The same product from the left matrix's transpose, as gradients by weights are taken.
        c, other = before.copy(), np.ascontiguousarray(a.T)
        kernel(other.ravel(), 0, 1, rows + 1, b.ravel(), 0, b.shape[1], c.ravel(), 0, c.shape[1], count)
        np.testing.assert_allclose(c[:, :columns], expected, rtol=0, atol=1e-5)


@njit(error_model="numpy")
def turn(a, a_step, c, c_step):
    transpose(a, 2, a_step, c, 3, c_step)


def test_transposition():
    a = np.arange(400, dtype=f4)
    c = np.full(500, -1, f4)
    turn(a, 20, c, 24)
    square = np.lib.stride_tricks.as_strided(a[2:], (16, 16), (80, 4))
    found = np.lib.stride_tricks.as_strided(c[3:], (16, 16), (96, 4))
    np.testing.assert_array_equal(found, square.T)
    assert (c == -1).sum() == 500 - 256
