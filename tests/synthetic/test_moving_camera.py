"""The pair of a moving camera: its depth, flow and occlusion belong to its photos and to each other."""

import numpy as np
import pytest

from geo3d.flow import warp_backward
from geo3d.synthetic import MovingCameraOptions, make_moving_camera_pair


@pytest.fixture(scope="module")
def pair():
    return make_moving_camera_pair(MovingCameraOptions(width=200, height=150, movers=1, noise=0.0), seed=5)


def test_the_flow_leads_to_what_looks_alike_and_the_occluded_does_not(pair):
    apart = np.abs(warp_backward(pair.image1, pair.flow).astype(float) - pair.image0).mean(axis=2)
    assert np.median(apart[~pair.occlusion]) < 4.0
    assert np.median(apart[pair.occlusion]) > 8.0
    assert 0.02 < pair.occlusion.mean() < 0.4


def test_depth_and_pose_give_the_flow_where_nothing_moves(pair):
    y, x = np.mgrid[:150, :200] + 0.5
    pixels = np.stack([x, y], axis=-1)
    rays = pair.camera.unproject(pixels)
    points = rays / rays[..., 2:] * pair.depth[..., None]
    flow = pair.camera.project(pair.cam1_from_cam0.act(points)) - pixels
    apart = np.linalg.norm(flow - pair.flow, axis=2)
    assert apart[~pair.moving].max() < 1e-4
    assert apart[pair.moving].min() > 5.0
    assert 0.02 < pair.moving.mean() < 0.3


def test_the_same_seed_gives_the_same_pair():
    options = MovingCameraOptions(width=64, height=48)
    one, two, other = (make_moving_camera_pair(options, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.image1, two.image1)
    np.testing.assert_array_equal(one.flow, two.flow)
    assert (one.image0 != other.image0).any()
