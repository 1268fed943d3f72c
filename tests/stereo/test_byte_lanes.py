"""Vectors of sixty-four integers, each operation beside NumPy's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geo3d.stereo import byte_lanes as lanes
from geo3d.stereo.byte_lanes import (
    add_capped,
    apart,
    first_equal,
    lane_after,
    lane_before,
    lane_numbers,
    load,
    minimum,
    narrow,
    ones,
    smallest,
    spread,
    spread_wide,
    store,
    where_at_most,
    widen,
)
from geo3d.util.jit import njit


@njit()
def _bytes(a, b, out):
    x, y = load(a, 1), load(b, 0)
    results = (
        x ^ y, x | y, x + y, x - y, add_capped(x, y), apart(x, y), minimum(x, y), ones(x), lane_before(x, y),
        lane_after(x, y), where_at_most(x, y, spread(1), spread(2)), narrow(widen(x) * 3 >> 1),
    )  # fmt: skip
    for i in range(12):
        store(out[i], 0, results[i])
    return smallest(x), first_equal(x, a[40]), first_equal(spread(5), 6)


@njit()
def _shorts(a, b, out):
    x, y = load(a, 1), load(b, 0)
    results = (
        x + y, minimum(x, y), x << 8, x - 3, lane_before(x, y), where_at_most(x, y, x, spread_wide(7)), lane_numbers(-2)
    )  # fmt: skip
    for i in range(7):
        store(out[i], 0, results[i])
    return smallest(x), first_equal(x, a[40])


def _data(seed, kind):
    rng = np.random.default_rng(seed)
    most = int(rng.choice([3, np.iinfo(kind).max]))
    return [rng.integers(0, most, size, kind, endpoint=True) for size in (65, 64)]


@given(st.integers(0, 2**31))
def test_bytes(seed):
    a, b = _data(seed, np.uint8)
    x, wide = a[1:], a[1:].astype(np.int64)
    out = np.zeros((12, 64), np.uint8)
    found = _bytes(a, b, out)
    expected = [
        x ^ b, x | b, x + b, x - b, np.minimum(wide + b, 255), np.abs(wide - b), np.minimum(x, b), np.bitwise_count(x),
        np.r_[x[-1], b[:-1]], np.r_[x[1:], b[0]], np.where(x <= b, 1, 2), (wide * 3 >> 1) & 255,
    ]  # fmt: skip
    np.testing.assert_array_equal(out, np.array(expected, np.uint8))
    assert found == (x.min(), int(np.argmax(x == a[40])), lanes.LANES)


@given(st.integers(0, 2**31))
def test_16_bits(seed):
    a, b = _data(seed, np.uint16)
    x = a[1:]
    out = np.zeros((7, 64), np.uint16)
    found = _shorts(a, b, out)
    expected = [
        x + b, np.minimum(x, b), x << np.uint16(8), x - np.uint16(3), np.r_[x[-1], b[:-1]], np.where(x <= b, x, 7),
        np.arange(-2, 62) & 0xFFFF,
    ]  # fmt: skip
    np.testing.assert_array_equal(out, np.array(expected, np.uint16))
    assert found == (x.min(), int(np.argmax(x == a[40])))
