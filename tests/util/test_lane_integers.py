"""Sixteen integers, gathers and points of the kernels against NumPy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geo3d.util.jit import njit
from geo3d.util.lane_integers import add_pairs, integers, load_pairs, load_points, reals, store_points
from geo3d.util.lanes import load, store

f4 = np.float32
WHOLE = arrays(np.float32, 16, elements=st.integers(0, 1 << 20).map(float))


@njit(error_model="numpy")
def arithmetic(a, b, s, out):
    i, j = integers(load(a, 0)), integers(load(b, 0))
    found = i + j, i * j, i ^ j, i & j, i + s, i * s, (i ^ s) & 1048575
    for k in range(7):
        store(out, 16 * k, reals(found[k] & 8388607))


@given(WHOLE, WHOLE, st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_arithmetic_is_modulo_32_bits(a, b, s):
    out = np.zeros((7, 16), f4)
    arithmetic(a, b, s, out.ravel())
    i, j = a.astype(np.int64), b.astype(np.int64)
    expected = [i + j, i * j, i ^ j, i & j, i + s, i * s, (i ^ s) & 1048575]
    np.testing.assert_array_equal(out, np.array(expected) & 8388607)


@njit(error_model="numpy")
def pairs(table, index, start, out):
    a, b = load_pairs(table, start, integers(load(index, 0)))
    store(out, 0, a)
    store(out, 16, b)
    add_pairs(table, start, integers(load(index, 0)), a, b)


def test_pairs_are_gathered_and_added_one_after_another():
    rng = np.random.default_rng(0)
    for start in (0, 10):
        table = rng.integers(-9, 9, (30, 2)).astype(f4)
        index = rng.integers(0, 20, 16)
        index[:5] = index[5]  # all of these count
        expected, out = table.copy(), np.zeros((2, 16), f4)
        rows = index + start // 2
        np.add.at(expected, rows, table[rows])
        read = table[rows].T.copy()
        pairs(table.ravel(), index.astype(f4), start, out.ravel())
        np.testing.assert_array_equal(out, read)
        np.testing.assert_array_equal(table, expected)


@njit(error_model="numpy")
def points(a, out, axes):
    x, y, z = load_points(a, 3)
    store(axes, 0, x)
    store(axes, 16, y)
    store(axes, 32, z)
    store_points(out, 6, x, y, z)


def test_points_are_taken_apart_and_put_together():
    a, out, axes = np.arange(60, dtype=f4), np.zeros(60, f4), np.zeros((3, 16), f4)
    points(a, out, axes.ravel())
    np.testing.assert_array_equal(axes, a[3:51].reshape(16, 3).T)
    np.testing.assert_array_equal(out[6:54], a[3:51])
    assert not out[:6].any() and not out[54:].any()


@njit(error_model="numpy")
def towards_zero(a, out):
    store(out, 0, reals(integers(load(a, 0))))


def test_integers_are_towards_zero():
    a = np.linspace(-8.75, 8.75, 16).astype(f4)
    out = np.zeros(16, f4)
    towards_zero(a, out)
    np.testing.assert_array_equal(out, np.trunc(a))
