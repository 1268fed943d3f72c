"""Flows one after the other and back: the group they form, where they are smooth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.flow import compose_flows, invert_flow, leaves_image
from geo3d.synthetic import FlowPairOptions, make_flow_scene

SMOOTH = FlowPairOptions(width=96, height=72, layers=0, thin=0, rotation_deg=8.0, zoom=0.1, max_motion_px=6.0)


def inner(flow, margin=2):
    """Pixels whose way begins and ends away from the border, where interpolation is not exact."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]]
    x, y = x + flow[..., 0], y + flow[..., 1]
    stays = (x > margin) & (x < flow.shape[1] - 1 - margin) & (y > margin) & (y < flow.shape[0] - 1 - margin)
    stays[:margin], stays[-margin:], stays[:, :margin], stays[:, -margin:] = False, False, False, False
    return stays


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_a_flow_and_its_inverse_lead_home(seed):
    flow = make_flow_scene(SMOOTH, seed).truth(0.0, 1.0).flow
    back = invert_flow(flow)
    assert np.abs(compose_flows(flow, back)[inner(flow)]).max() < 0.01
    there = inner(np.where(np.isnan(back), 1e6, back))
    assert np.abs(compose_flows(back, flow)[there]).max() < 0.01


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_inverse_and_composition_are_the_true_flows(seed):
    scene = make_flow_scene(SMOOTH, seed)
    flow01, flow12 = scene.truth(0.0, 1.0).flow, scene.truth(1.0, 2.0).flow
    both = compose_flows(flow01, flow12)
    known = inner(flow01)
    np.testing.assert_allclose(both[known], scene.truth(0.0, 2.0).flow[known], atol=0.02)
    np.testing.assert_array_equal(np.isnan(both[..., 0]), leaves_image(flow01))
    back, truth = invert_flow(flow01), scene.truth(1.0, 0.0)
    known = inner(truth.flow)
    np.testing.assert_allclose(back[known], truth.flow[known], atol=0.02)


def test_the_visible_surface_wins():
    scene = make_flow_scene(FlowPairOptions(width=320, height=240, layers=6, thin=0), 4)
    there, back = scene.truth(0.0, 1.0), scene.truth(1.0, 0.0)
    found = invert_flow(there.flow, ~there.occlusion)
    error = np.hypot(*np.moveaxis(found - back.flow, 2, 0))
    seen = ~back.occlusion
    assert np.isfinite(error[seen]).mean() > 0.999
    assert np.nanpercentile(error[seen], 98) < 0.05
    assert np.isnan(found[back.occlusion]).any()


def test_no_motion_is_its_own_inverse():
    still = np.zeros((5, 6, 2), np.float32)
    np.testing.assert_array_equal(invert_flow(still), still)
    np.testing.assert_array_equal(compose_flows(still, still), still)


def test_unknown_stays_unknown():
    flow = np.zeros((6, 8, 2), np.float32)
    flow[2, 3] = np.nan
    assert np.isnan(compose_flows(flow, np.zeros_like(flow))[2, 3]).all()
    assert np.isnan(compose_flows(np.zeros_like(flow), flow)[2, 3]).all()
    assert np.isnan(invert_flow(flow)[2, 3]).all()
    assert np.isnan(invert_flow(np.zeros_like(flow), np.zeros((6, 8)))).all()


def test_sizes_have_to_fit():
    with pytest.raises(ValueError, match="one size"):
        compose_flows(np.zeros((4, 4, 2)), np.zeros((4, 5, 2)))
    with pytest.raises(ValueError, match="one size"):
        invert_flow(np.zeros((4, 4, 2)), np.ones((4, 5)))
    with pytest.raises(ValueError, match="flow12"):
        compose_flows(np.zeros((4, 4, 2)), np.zeros((4, 4)))
