"""Weighted median of the flow against sorting, and what it does at a motion boundary."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.flow import weighted_median as medians

F = np.float32


def run(flow, guide, seen, where=None, sigma_space=7.0, sigma_color=7.0):
    out = np.empty_like(flow)
    where = np.ones(seen.shape, np.uint8) if where is None else where
    medians.weighted_median(
        flow, np.zeros_like(flow), guide, seen, where, F(sigma_space), F(sigma_color), out
    )
    return out


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(16, 30), st.integers(16, 30))
def test_as_by_sorting(seed, height, width):
    rng = np.random.default_rng(seed)
    flow = rng.standard_normal((2, height, width)).astype(F)
    guide = (8.0 * rng.standard_normal((3, height, width))).astype(F)
    seen = rng.random((height, width)).astype(F)
    found = run(flow, guide, seen)
    low, high = medians.weighted_median_reference(flow, guide, seen, 7.0, 7.0)
    margin = 2.1 * float(medians.TOLERANCE_PX)
    assert np.all((found > low - margin) & (found < high + margin))


def test_takes_the_flow_of_its_own_colour_and_of_what_is_seen():
    flow, guide = np.zeros((2, 24, 32), F), np.zeros((3, 24, 32), F)
    guide[:, :, 16:] = 60.0
    flow[0, :, 16:] = 5.0
    flow[0, :, 14:18] = 2.0  # blurred across the edge
    found = run(flow, guide, np.ones((24, 32), F))
    assert np.abs(found[0, :, :16]).max() < 0.01
    assert np.abs(found[0, :, 16:] - 5.0).max() < 0.01
    flow[:] = 0.0
    flow[:, 10:14, 10:14] = 9.0
    seen = np.ones((24, 32), F)
    seen[10:14, 10:14] = 0.0
    assert np.abs(run(flow, np.zeros((3, 24, 32), F), seen)).max() < 0.01


def test_elsewhere_the_plain_flow_stays():
    rng = np.random.default_rng(0)
    flow, where = rng.standard_normal((2, 20, 20)).astype(F), np.zeros((20, 20), np.uint8)
    where[5, 6] = 1
    found = run(flow, np.zeros((3, 20, 20), F), np.ones((20, 20), F), where)
    assert np.all(found[:, where == 0] == 0.0)


def test_all_hidden_gives_a_number():
    flow = np.random.default_rng(0).standard_normal((2, 20, 20)).astype(F)
    found = run(flow, np.zeros((3, 20, 20), F), np.zeros((20, 20), F))
    assert np.isfinite(found).all()
    assert found.min() >= flow.min() - 1e-3
    assert found.max() <= flow.max() + 1e-3


def test_boundaries_and_visibility():
    flow = np.zeros((2, 16, 20), F)
    flow[0, :, 10:] = -2.0  # the right half runs over the left
    near = np.empty((16, 20), np.uint8)
    medians.motion_boundaries(flow, flow, F(0.5), near)
    assert np.array_equal(np.flatnonzero(near.any(axis=0)), [9])
    lone = flow.copy()
    lone[1, 3, 3] = 1.0
    medians.motion_boundaries(lone, flow, F(0.5), near)
    assert near[3, 3] == 1
    image, inside, seen = np.zeros((3, 16, 20), F), np.ones((16, 20), F), np.empty((16, 20), F)
    inside[:, 0] = 0.0
    warped = image.copy()
    warped[:, 5, 5] = 40.0
    medians.visibility(image, warped, inside, flow, F(0.3), F(20.0), seen)
    assert np.all(seen[:, 0] == 0)
    assert np.allclose(seen[:, 9:11], np.exp(-1.0 / 0.18), atol=1e-3)
    assert np.isclose(seen[5, 5], np.exp(-2.0), atol=1e-3)
    assert seen[8, 15] == 1.0
