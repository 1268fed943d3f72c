"""Each fast kernel beside its plain reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.stereo.cleaning import fill_holes, left_right_check, smooth_surfaces, weighted_median
from geo3d.stereo.costs import census, census_reference, cost_volume, cost_volume_reference
from geo3d.stereo.options import SemiGlobalOptions
from geo3d.stereo.semi_global import aggregate, aggregate_reference, edges_of, penalties
from geo3d.stereo.winner import winners, winners_reference

seeds = st.integers(0, 2**31)


@given(seeds, st.integers(0, 3), st.integers(1, 4))
def test_census_is_the_reference(seed, rows, columns):
    gray = np.random.default_rng(seed).integers(0, 256, (9, 23), np.uint8)
    np.testing.assert_array_equal(census(gray, rows, columns), census_reference(gray, rows, columns))


@given(seeds, st.integers(-45, 45), st.integers(4, 40), st.integers(20, 50), st.integers(20, 50))
def test_costs_are_the_formula(seed, low, count, left_width, right_width):
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 256, (3, left_width, 3), np.uint8)
    right = rng.integers(0, 256, (3, right_width, 3), np.uint8)
    options = SemiGlobalOptions(census_weight=5)  # high enough to meet the limit of a byte
    found = cost_volume(left, right, low, count, options)
    np.testing.assert_array_equal(found[..., :count], cost_volume_reference(left, right, low, count, options))
    assert (found[..., count:] == 255).all()


@pytest.mark.parametrize("paths", [4, 8, 16])
@pytest.mark.parametrize("shape", [(7, 9, 16), (6, 5, 48), (3, 1, 16), (2, 8, 32)])
def test_sums_over_paths_are_the_recursion(paths, shape):
    rng = np.random.default_rng(paths)
    costs = rng.integers(0, 256, shape, np.uint8)
    gray = rng.integers(0, 256, shape[:2], np.uint8)
    large = penalties(7, 90, 12.0)
    found = aggregate(costs, gray, 7, large, paths)
    np.testing.assert_array_equal(found, aggregate_reference(costs, gray, 7, large, paths))


def test_edges_are_those_of_surfaces_not_of_texture():
    texture = np.random.default_rng(0).integers(0, 60, (40, 80), np.uint8)
    texture[:, 40:] += 150  # another surface
    edges = edges_of(np.repeat(texture[..., None], 3, axis=2)).astype(int)
    steps = np.abs(np.diff(edges, axis=1))
    assert steps[:, 38:41].max(axis=1).min() > 80
    steps[:, 38:41] = 0
    assert steps[:, 5:-5].mean() < 0.3 * np.abs(np.diff(texture.astype(int), axis=1))[:, 5:-5].mean()


def test_sums_do_not_overflow_at_the_largest_penalties():
    costs = np.full((4, 5, 16), 255, np.uint8)
    costs[..., 3] = 0
    gray = np.zeros((4, 5), np.uint8)
    large = penalties(2000, 2000, 1e9)
    found = aggregate(costs, gray, 2000, large, 16)
    np.testing.assert_array_equal(found, aggregate_reference(costs, gray, 2000, large, 16))


@given(seeds, st.integers(-70, 70), st.integers(1, 30), st.integers(10, 40), st.integers(10, 40))
def test_winners_are_the_smallest(seed, low, count, left_width, right_width):
    sums = np.random.default_rng(seed).integers(0, 300, (3, left_width, 32)).astype(np.uint16)
    sums[..., count:] = 4000
    left, right = winners_reference(sums, low, count, right_width)
    found = winners(sums, low, count, right_width)
    assert (np.abs(found.left - left) <= 0.5).all()
    np.testing.assert_array_equal(found.right, right)
    assert ((found.margin >= 0.0) & (found.margin <= 1.0)).all()


def test_check_keeps_what_the_right_image_says_too():
    left = np.array([[np.nan, 1.0, 1.2, 2.0, 3.0, 9.0]], np.float32)
    right = np.array([[1.0, 1.0, 0.0, np.nan, 0.0, 0.0]], np.float32)
    out = np.empty_like(left)
    left_right_check(left, right, np.float32(1.0), out)
    np.testing.assert_array_equal(out[0], np.array([np.nan, 1.0, 1.2, 2.0, np.nan, np.nan], np.float32))


def test_holes_take_the_background():
    nan = np.nan
    holes = np.array([[nan, 5.0, nan, 2.0, nan], [nan] * 5, [nan] * 5, [7.0, nan, nan, 8.0, 8.0]], np.float32)
    expected = [[5.0, 5.0, 2.0, 2.0, 2.0]] * 2 + [[7.0, 7.0, 7.0, 8.0, 8.0]] * 2
    np.testing.assert_array_equal(fill_holes(holes), np.array(expected, np.float32))
    assert np.isnan(fill_holes(np.full((3, 4), np.nan, np.float32))).all()


@given(seeds)
def test_median_follows_the_colours(seed):
    rng = np.random.default_rng(seed)
    guide = np.zeros((20, 30, 3), np.uint8)
    guide[:, 15:] = 200
    truth = np.where(guide[..., 0] > 0, np.float32(30.0), np.float32(10.0))
    wrong = truth.copy()
    wrong[:, 15:17] = 10.0  # the edge lies two pixels off
    found = weighted_median(wrong, guide, np.ones(truth.shape, bool), True, 6, 5.0)
    np.testing.assert_allclose(found, truth, atol=1e-4)
    noise = (truth + rng.uniform(-0.2, 0.2, truth.shape)).astype(np.float32)
    np.testing.assert_array_equal(
        weighted_median(noise, guide, np.ones(truth.shape, bool), True, 4, 5.0), noise
    )


# A window reaches 3 pixels: with these slopes less than the step of 1, so all of it counts.
@given(seeds, st.floats(-0.16, 0.16), st.floats(-0.16, 0.16))
def test_smoothing_leaves_planes_and_steps(seed, across, down):
    guide = np.random.default_rng(seed).integers(0, 3, (15, 24, 3)).astype(np.uint8)
    guide[:] = guide[:1, :1]
    y, x = np.mgrid[:15, :24]
    plane = (20.0 + across * x + down * y).astype(np.float32)
    np.testing.assert_allclose(smooth_surfaces(plane, guide, 3, 10.0), plane, atol=2e-5)
    step = np.where(x < 12, np.float32(5.0), np.float32(9.0))
    np.testing.assert_array_equal(smooth_surfaces(step, guide, 3, 10.0), step)
