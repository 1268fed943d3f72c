"""Guided matching: its kernels are the formulas, its geometry that of the cameras; it finds what flow does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.estimation import sampson_error
from geo3d.flow import EpipolarGeometry, GuidedOptions, flow_to_depth, guided_flow, optical_flow
from geo3d.flow import guided_kernels as kernels
from geo3d.flow.epipolar_search import fit_plane
from geo3d.geometry import SE3
from geo3d.synthetic import MovingCameraOptions, make_moving_camera_pair

SIZE = {"width": 240, "height": 180}
REPEATING = MovingCameraOptions(texture="repeating", translation_m=(0.5, 0.3, 0.1), **SIZE)
WIDE = MovingCameraOptions(translation_m=(1.2, 0.2, 0.3), rotation_deg=(2.0, -8.0, 6.0), **SIZE)
FORWARD = MovingCameraOptions(translation_m=(0.02, 0.0, 1.2), **SIZE)


def geometry_of(pair):
    return EpipolarGeometry.from_cameras(pair.camera, pair.camera, pair.cam1_from_cam0)


def small_case(seed=0):
    rng = np.random.default_rng(seed)
    gray0, gray1 = rng.random((2, 12, 15)).astype(np.float32)
    valid = rng.random((12, 15)) > 0.1
    return gray0, gray1, valid, np.array([3.0, 1.5, 0.02], np.float32)


def test_costs_are_the_formula():
    gray0, gray1, valid, epipole = small_case()
    places = np.float32(-1.0) + np.float32(0.4) * np.arange(6, dtype=np.float32)
    costs = np.empty((12, 15, 6), np.uint8)
    bits = kernels.census(gray0), kernels.census(gray1)
    kernels.fill_costs(*bits, valid, epipole, np.float32(-1.0), np.float32(0.4), costs)
    np.testing.assert_array_equal(costs, kernels.costs_reference(gray0, gray1, valid, epipole, places))


@pytest.mark.parametrize(
    ("down", "right"), [(0, 1), (0, -1), (1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1)]
)
def test_paths_are_the_recursion(down, right):
    rng = np.random.default_rng(1)
    costs = rng.integers(0, 63, (7, 9, 5)).astype(np.uint8)
    jumps = rng.integers(5, 25, (7, 9, 2)).astype(np.float32)
    total = np.zeros(costs.shape, np.uint16)
    if down:
        kernels.sum_across_rows(costs, jumps, np.float32(4.0), down, right, total)
    else:
        kernels.sum_along_rows(costs, jumps, np.float32(4.0), right, total)
    np.testing.assert_array_equal(total, kernels.path_reference(costs, jumps, 4.0, down, right))


def test_the_correlation_is_the_formula():
    gray0, gray1, _, epipole = small_case(2)
    for x, y, d in ((6, 5, 0.3), (7, 6, -0.4), (5, 5, 0.0)):
        found = kernels.correlation(
            gray0, gray1, x, y, np.float32(d), np.float32(0), np.float32(0), epipole, 3
        )
        assert found == pytest.approx(
            kernels.correlation_reference(gray0, gray1, x, y, d, epipole, 3), abs=1e-4
        )
    assert (
        kernels.correlation(gray0, gray1, 6, 5, np.float32(9), np.float32(0), np.float32(0), epipole, 3) == -1
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.4, 0.4), min_size=6, max_size=6), st.integers(0, 99))
def test_the_parallax_is_the_inverse_depth(tangent, seed):
    motion = SE3.exp(tangent)
    if np.linalg.norm(motion.translation) < 0.05:
        motion = SE3(motion.rotation, [0.2, -0.3, 0.1])
    camera0, camera1 = (
        Camera("PINHOLE", 64, 48, [60, 62, 30, 25]),
        Camera("SIMPLE_PINHOLE", 64, 48, [55, 33, 24]),
    )
    geometry = EpipolarGeometry.from_cameras(camera0, camera1, motion)
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(-1, 1, (20, 2)), rng.uniform(3, 9, 20)])
    x0, x1 = camera0.project(points), camera1.project(motion.act(points))
    np.testing.assert_allclose(geometry.parallax(x0, x1), 1 / points[:, 2], rtol=1e-5, atol=1e-7)
    assert sampson_error(geometry.fundamental(), x0, x1).max() < 1e-12
    plane = np.array([0.001, -0.002, 0.2])
    rest = geometry.about(plane).parallax(x0, x1)
    np.testing.assert_allclose(rest + np.c_[x0, np.ones(20)] @ plane, 1 / points[:, 2], rtol=1e-4, atol=1e-6)
    of_matrix = EpipolarGeometry.from_fundamental(geometry.fundamental())
    cosine = abs(np.sum(of_matrix.fundamental() * geometry.fundamental()))
    assert cosine == pytest.approx(1.0)
    back = geometry.about(np.array([0.0, 0.0, 0.2])).reversed()
    assert sampson_error(back.fundamental(), x1, x0).max() < 1e-10
    p = np.c_[x1, np.ones(20)] @ back.homography.T + back.parallax(x1, x0)[:, None] * back.epipole
    np.testing.assert_allclose(p[:, :2] / p[:, 2:], x0, atol=1e-6)


def test_the_plane_is_that_of_most_points():
    rng = np.random.default_rng(0)
    x0 = rng.uniform(0, 500, (200, 2))
    rho = np.c_[x0, np.ones(200)] @ [1e-4, -2e-4, 0.3]
    rho[:60] += rng.uniform(0.1, 0.5, 60)
    np.testing.assert_allclose(fit_plane(x0, rho), [1e-4, -2e-4, 0.3], rtol=0.02)


@pytest.mark.parametrize(
    "options", [MovingCameraOptions(**SIZE), WIDE, FORWARD], ids=["near", "wide", "forward"]
)
def test_it_finds_what_both_photos_show(options):
    pair = make_moving_camera_pair(options, seed=1)
    found = guided_flow(pair.image0, pair.image1, geometry_of(pair))
    error = np.linalg.norm(found.flow - pair.flow, axis=2)
    known, seen = np.isfinite(error), ~pair.occlusion
    np.testing.assert_array_equal(known, ~found.occlusion)
    assert known[seen].mean() > 0.75
    assert known[pair.occlusion].mean() < 0.15
    assert np.median(error[known]) < 0.1
    assert (error[known & seen] > 2.0).mean() < 0.02
    assert (found.confidence[known] > 0).mean() > 0.99 and not found.confidence[~known].any()


def test_a_fundamental_matrix_is_enough_and_depth_comes_with_a_pose():
    pair = make_moving_camera_pair(MovingCameraOptions(**SIZE), seed=2)
    geometry = EpipolarGeometry.from_fundamental(geometry_of(pair).fundamental())
    found = guided_flow(pair.image0, pair.image1, geometry)
    depth = flow_to_depth(found.flow, pair.camera, pair.camera, pair.cam1_from_cam0, sigma_px=0.15)
    known = np.isfinite(depth.depth)
    assert known.mean() > 0.75
    apart = np.abs(depth.depth - pair.depth)[known]
    assert np.median(apart / pair.depth[known]) < 0.01
    assert (apart < depth.sigma[known]).mean() > 0.68


def test_on_repeating_patterns_it_beats_what_is_not_guided():
    for seed in (1, 2):
        pair = make_moving_camera_pair(REPEATING, seed)
        span = GuidedOptions(parallax_range=(1 / 14, 1 / 4))
        guided = guided_flow(pair.image0, pair.image1, geometry_of(pair), span)
        error, unguided = (
            np.linalg.norm(found.flow - pair.flow, axis=2)[~pair.occlusion]
            for found in (guided, optical_flow(pair.image0, pair.image1, "dis"))
        )
        found = np.isfinite(error)
        assert found.mean() > 0.7
        assert (error[found] > 2.0).mean() < 0.03
        assert (unguided > 2.0).mean() > 0.3


def test_it_repeats_itself():
    pair = make_moving_camera_pair(MovingCameraOptions(width=96, height=72, boards=2), seed=3)
    options = GuidedOptions(parallax_range=(1 / 14, 1 / 4))
    one, two = (guided_flow(pair.image0, pair.image1, geometry_of(pair), options) for _ in range(2))
    np.testing.assert_array_equal(one.flow, two.flow)


def test_wrong_input_is_refused():
    pair = make_moving_camera_pair(MovingCameraOptions(width=96, height=72), seed=3)
    geometry = geometry_of(pair)
    plain = np.full_like(pair.image0, 90)
    with pytest.raises(ValueError, match="give parallax_range"):
        guided_flow(plain, plain, geometry)
    with pytest.raises(ValueError, match="higher number"):
        guided_flow(pair.image0, pair.image1, geometry, GuidedOptions(parallax_range=(0.3, 0.1)))
    with pytest.raises(ValueError, match="GiB"):
        guided_flow(
            pair.image0, pair.image1, geometry, GuidedOptions(parallax_range=(0.1, 0.3), memory_gib=1e-6)
        )
    with pytest.raises(ValueError, match="one size"):
        guided_flow(pair.image0[:-8], pair.image1, geometry)
    distorted = Camera("SIMPLE_RADIAL", 96, 72, [96, 48, 36, 0.1])
    with pytest.raises(ValueError, match="undistort"):
        EpipolarGeometry.from_cameras(pair.camera, distorted, pair.cam1_from_cam0)
    with pytest.raises(ValueError, match="translation"):
        EpipolarGeometry.from_cameras(pair.camera, pair.camera, SE3.identity())
    with pytest.raises(ValueError, match="rank two"):
        EpipolarGeometry.from_fundamental(np.zeros((3, 3)))


def test_plain_images_within_a_range_have_no_matches():
    plain = np.full((48, 64, 3), 90, np.uint8)
    pair = make_moving_camera_pair(MovingCameraOptions(width=64, height=48), seed=3)
    found = guided_flow(plain, plain, geometry_of(pair), GuidedOptions(parallax_range=(0.1, 0.3)))
    assert found.occlusion.all()
    assert not found.confidence.any()
