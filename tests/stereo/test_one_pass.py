"""Matching in one pass is the recursion with the paths from the sides and from above."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.stereo.costs import cost_volume_reference
from geo3d.stereo.one_pass import match_in_one_pass
from geo3d.stereo.options import ONE_PASS, QUALITIES, SemiGlobalOptions
from geo3d.stereo.semi_global import aggregate_reference, edges_of, penalties
from geo3d.stereo.winner import winners, winners_reference

FAST = QUALITIES["fast"]


@settings(max_examples=12)
@given(
    st.integers(0, 2**31), st.integers(-40, 40), st.integers(4, 140), st.integers(1, 20), st.integers(20, 50)
)
def test_sums_are_those_of_the_recursion(seed, low, count, height, width):
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    costs = cost_volume_reference(left, right, low, count, FAST)
    large = penalties(FAST.p1, FAST.p2, FAST.edge_levels)
    sums = aggregate_reference(costs, edges_of(left), FAST.p1, large, ONE_PASS)
    found = match_in_one_pass(left, right, low, count, FAST)
    whole, other = winners_reference(sums, low, count, width)
    assert (np.abs(found.left - whole) <= 0.5).all()
    np.testing.assert_array_equal(found.right, other)
    expected = winners(sums.astype(np.uint16), low, count, width)
    x = np.arange(width)
    inside = (x - low >= 0) & (x - low - (count - 1) < width)  # those that have a pixel in the right image
    # the fraction is read off another curve, at most (t - t^2) / 4 away
    np.testing.assert_allclose(found.left, expected.left, atol=0.0626)
    np.testing.assert_allclose(found.margin[:, inside], expected.margin[:, inside], atol=1e-3)
    assert (found.margin[:, ~inside] == 0.0).all()


def test_paths_forget_what_is_above_a_band():
    rng = np.random.default_rng(0)
    left = rng.integers(0, 256, (900, 60, 3), np.uint8)
    right = np.roll(left, -7, axis=1)
    right[rng.random(right.shape) < 0.5] = 0
    whole = match_in_one_pass(left, right, 0, 20, FAST)
    for start in range(0, 900, 300):  # other bands than those of the whole image
        part = match_in_one_pass(left[start:], right[start:], 0, 20, FAST)
        assert (np.abs(part.left - whole.left[start:])[30:] < 0.01).mean() > 0.995


@pytest.mark.parametrize(
    "wrong",
    [{"census_radius": (3, 3), "census_weight": 1}, {"p2": 200}, {"census_weight": 9}],
)
def test_what_does_not_fit_in_a_byte_is_refused(wrong):
    with pytest.raises(ValueError, match="255"):
        SemiGlobalOptions(**{"census_radius": (2, 2), "p2": 100, "paths": ONE_PASS, **wrong})
