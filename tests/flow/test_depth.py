"""Flow to depth: exact without noise, with the deviation that it states with noise, refused where it shows nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.flow import FlowDepthOptions, flow_to_depth
from geo3d.geometry import SE3
from geo3d.synthetic import MovingCameraOptions, make_moving_camera_pair

SIZE = {"width": 160, "height": 120}


@pytest.fixture(scope="module")
def pair():
    return make_moving_camera_pair(MovingCameraOptions(movers=1, **SIZE), seed=4)


def triangulated(pair, flow, sigma_px=None, **options):
    return flow_to_depth(
        flow, pair.camera, pair.camera, pair.cam1_from_cam0, sigma_px, FlowDepthOptions(**options)
    )


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["PINHOLE", "OPENCV_FISHEYE", "SIMPLE_RADIAL"]),
    st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6),
    st.integers(0, 99),
)
def test_depth_is_exact_for_any_camera(model, tangent, seed):
    camera0 = Camera.from_focal("PINHOLE", 30, 20, 25)
    camera1 = Camera.from_focal(model, 40, 30, 28)
    motion = SE3.exp(tangent)
    if np.linalg.norm(motion.translation) < 0.05:
        motion = SE3(motion.rotation, [0.3, 0.1, 0.0])
    depth = np.random.default_rng(seed).uniform(2.0, 9.0, (20, 30))
    pixels = np.stack(np.meshgrid(np.arange(30), np.arange(20)), axis=-1) + 0.5
    rays = camera0.unproject(pixels)
    there = camera1.project(motion.act(rays / rays[..., 2:] * depth[..., None]))
    found = flow_to_depth(there - pixels, camera0, camera1, motion, sigma_px=1e-5)
    known = np.isfinite(found.depth)
    assert known[np.isfinite(there[..., 0])].mean() > 0.95
    np.testing.assert_allclose(found.depth[known], depth[known], rtol=2e-3)


@pytest.mark.parametrize("noise_px", [0.1, 0.4])
@pytest.mark.parametrize("is_given", [True, False])
def test_the_deviation_is_that_of_the_errors(pair, noise_px, is_given):
    noise = np.random.default_rng(0).normal(0.0, noise_px, pair.flow.shape)
    found = triangulated(pair, pair.flow + noise, noise_px if is_given else None)
    still = np.isfinite(found.depth) & ~pair.moving
    assert still[~pair.moving].mean() > 0.9
    by_sigma = np.abs(found.depth - pair.depth)[still] / found.sigma[still]
    assert 0.64 < (by_sigma < 1.0).mean() < 0.72
    assert 0.93 < (by_sigma < 2.0).mean() < 0.97
    np.testing.assert_allclose(np.median(found.flow_sigma_px), noise_px, rtol=0.1)


def test_what_moved_by_itself_has_no_depth(pair):
    found = triangulated(pair, pair.flow + np.random.default_rng(1).normal(0.0, 0.2, pair.flow.shape))
    assert np.isfinite(found.depth[pair.moving]).mean() < 0.02
    assert np.nanmedian(np.abs(found.across_px[pair.moving])) > 5.0


def test_behind_the_camera_and_at_infinity_there_is_no_depth(pair):
    turned = SE3(pair.cam1_from_cam0.rotation, np.zeros(3))
    pixels = np.stack(np.meshgrid(np.arange(160), np.arange(120)), axis=-1) + 0.5
    at_infinity = pair.camera.project(turned.act(pair.camera.unproject(pixels))) - pixels
    assert np.isnan(triangulated(pair, at_infinity, 0.1).depth).all()
    parallax = pair.flow - at_infinity
    behind = triangulated(pair, at_infinity - parallax, 0.1)
    assert np.isnan(behind.depth).all()
    assert np.isnan(behind.sigma).all()


def test_small_parallax_is_refused_as_the_options_say(pair):
    still = ~pair.moving
    noisy = pair.flow + np.random.default_rng(2).normal(0.0, 2.0, pair.flow.shape)
    shares = []
    for least in (2.0, 4.0, 8.0):
        found = triangulated(pair, noisy, 2.0, min_depth_by_sigma=least)
        known = np.isfinite(found.depth)
        assert (found.depth[known] > 0.999 * least * found.sigma[known]).all()
        shares.append(known[still].mean())
    assert shares[0] > shares[1] > shares[2]


def test_unknown_flow_has_no_depth(pair):
    flow = pair.flow.copy()
    flow[10:20, 30:40] = np.nan
    found = triangulated(pair, flow, 0.1)
    assert np.isnan(found.depth[10:20, 30:40]).all()
    assert np.isnan(triangulated(pair, np.full_like(flow, np.nan)).depth).all()


def test_wrong_input_is_refused(pair):
    camera, motion = pair.camera, pair.cam1_from_cam0
    with pytest.raises(ValueError, match="only turned"):
        flow_to_depth(pair.flow, camera, camera, SE3(motion.rotation, np.zeros(3)))
    with pytest.raises(ValueError, match="160x119"):
        flow_to_depth(pair.flow[1:], camera, camera, motion)
    with pytest.raises(ValueError, match="positive"):
        flow_to_depth(pair.flow, camera, camera, motion, sigma_px=0.0)
    with pytest.raises(ValueError, match="lies on the epipolar lines"):
        flow_to_depth(np.where(pair.moving[..., None], np.nan, pair.flow), camera, camera, motion)
    with pytest.raises(ValueError, match="one size"):
        flow_to_depth(pair.flow, camera, camera, motion, sigma_px=np.ones((3, 3)))
