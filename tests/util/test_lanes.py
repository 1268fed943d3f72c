"""The vector type of the kernels against NumPy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geo3d.util.buffers import aligned
from geo3d.util.crew import Crew
from geo3d.util.jit import njit
from geo3d.util.lanes import (
    absolute,
    any_lane,
    exp2,
    join,
    load,
    minimum,
    minus_absolute,
    multiply_add,
    next_item,
    prefetch,
    select,
    spread,
    store,
    total,
    totals,
)

f4 = np.float32
SIXTEEN = arrays(np.float32, 16, elements=st.floats(-100, 100, width=32))


@njit(error_model="numpy")
def arithmetic(a, b, s, out):
    x, y = load(a, 0), load(b, 0)
    prefetch(a, 3)
    rows = x + y, x - y, x * y, x / y, x + s, s - x, x * s, minimum(x, y), absolute(x), minus_absolute(x)
    for k in range(10):
        store(out, 16 * k, rows[k])
    store(out, 160, select(x < y, x, y))
    store(out, 176, select((x <= y) & (x >= s), spread(s), f4(0)))
    store(out, 208, multiply_add(x, s, y))
    x += y
    store(out, 192, join(x, y))
    return any_lane(x > s), any_lane(x < s)


@given(SIXTEEN, SIXTEEN, st.floats(-100, 100, width=32))
@settings(deadline=None)
def test_arithmetic_lane_by_lane(a, b, s):
    out, s = np.zeros((14, 16), f4), f4(s)
    found = arithmetic(a, b, s, out.ravel())
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        expected = [a + b, a - b, a * b, a / b, a + s, s - a, a * s, np.minimum(a, b), abs(a), -abs(a)]
    expected += [np.where(a < b, a, b), np.where((a <= b) & (a >= s), s, 0), np.r_[(a + b)[:8], b[:8]]]
    expected.append((a.astype(float) * s + b).astype(f4))
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    assert found == (bool((a + b > s).any()), bool((a + b < s).any()))


@njit(error_model="numpy")
def power_of_two(values, out):
    for k in range(0, len(values), 16):
        store(out, k, exp2(load(values, k)))


def test_powers_of_two():
    values = np.linspace(-125.9, 126.9, 16 * 100_000).astype(f4)
    out = np.zeros_like(values)
    power_of_two(values, out)
    np.testing.assert_allclose(out, 2.0 ** values.astype(float), rtol=3e-7)


@njit(error_model="numpy")
def sums(rows, out):
    store(
        out, 0, totals(
            load(rows, 0), load(rows, 16), load(rows, 32), load(rows, 48), load(rows, 64), load(rows, 80),
            load(rows, 96), load(rows, 112),
        ),
    )  # fmt: skip
    return total(load(rows, 16))


def test_sums_over_the_lanes():
    rows = np.random.default_rng(0).normal(size=(8, 16)).astype(f4)
    out = np.zeros(16, f4)
    one = sums(rows.ravel(), out)
    np.testing.assert_allclose(out, np.tile(rows.sum(1), 2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one, rows[1].sum(), rtol=1e-5)


@njit(nogil=True)
def take(counter, taken):
    item = next_item(counter)
    while item < len(taken):
        taken[item] += 1
        item = next_item(counter)


def test_a_crew_takes_each_piece_once():
    taken = np.zeros(100_000, np.int64)
    crew = Crew(4)
    crew.run(lambda counter, _: take(counter, taken))
    crew.run(lambda counter, _: take(counter, taken))
    assert (taken == 2).all()


def test_aligned_memory_starts_at_a_cache_line():
    for count in (1, 17, 1000):
        for dtype in (np.float32, np.int64, np.bool_):
            array = aligned(count, dtype)
            assert array.shape == (count,) and array.dtype == dtype and array.ctypes.data % 64 == 0
