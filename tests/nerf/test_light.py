"""Samples that no light reaches are cut off."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.nerf.light_kernels import keep_lit, lit_counts


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-4, 0.5))
def test_what_is_kept_is_what_light_reaches(seed, least):
    rng = np.random.default_rng(seed)
    each = rng.integers(0, 9, 7)
    offsets = np.concatenate([[0], np.cumsum(each)])
    n = int(offsets[-1])
    starts = rng.random(n, np.float32)
    ends = starts + rng.random(n, np.float32)
    density = (rng.exponential(3.0, n) * (rng.random(n) < 0.7)).astype(np.float32)
    counts = np.empty(7, np.int64)
    lit_counts(starts, ends, offsets, density, least, counts)
    chosen = []
    for ray in range(7):
        own = slice(offsets[ray], offsets[ray + 1])
        thickness = np.cumsum(density[own].astype(np.float64) * (ends[own] - starts[own]))
        light = np.exp(-np.concatenate([[0.0], thickness[:-1]]))[: each[ray]]
        assert counts[ray] == np.count_nonzero(light >= least)
        chosen += list(range(offsets[ray], offsets[ray] + counts[ray]))
    kept = np.concatenate([[0], np.cumsum(counts)])
    given_arrays = (
        starts,
        ends,
        rng.random((n, 3), np.float32),
        rng.random((n, 3), np.float32),
        np.arange(n, dtype="i4"),
    )
    taken = tuple(np.empty((len(chosen), *a.shape[1:]), a.dtype) for a in given_arrays)
    keep_lit(offsets, kept, given_arrays, taken)
    for before, after in zip(given_arrays, taken):
        np.testing.assert_array_equal(before[chosen], after)


def test_a_density_that_is_no_number_is_kept_to_be_seen():
    counts = np.empty(1, np.int64)
    density = np.array([1.0, np.nan, 1e9], np.float32)
    lit_counts(np.float32([0, 1, 2]), np.float32([1, 2, 3]), np.array([0, 3]), density, 1e-4, counts)
    assert counts[0] == 3
