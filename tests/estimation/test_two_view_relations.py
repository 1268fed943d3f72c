"""Epipolar geometry, decompositions, resection and SQPnP."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.estimation import (
    EstimationError,
    decompose_essential,
    decompose_homography,
    epipolar_lines,
    epipoles,
    essential_from_pose,
    motions_in_front,
    pose_from_essential,
    sampson_error,
    solve_resection,
    solve_sqpnp,
    symmetric_epipolar_error,
)
from geo3d.estimation.essential import count_in_front
from geo3d.geometry import SE3, SO3, rotation_angle

from .two_view_scenes import bearings, random_pose, two_views, unit

seeds = st.integers(0, 2**32 - 1)
few = settings(deadline=None, max_examples=25)


def geometry(seed, noise=0.0):
    scene = two_views(seed, 30, noise=noise, outliers=0)
    K = np.linalg.inv(scene.K)
    return scene, K.T @ essential_from_pose(scene.pose) @ K


@few
@given(seeds)
def test_lines_epipoles_and_errors(seed):
    scene, F = geometry(seed)
    lines = epipolar_lines(F, scene.x1)
    np.testing.assert_allclose(np.sum(lines * np.c_[scene.x2, np.ones(30)], axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(lines[:, :2], axis=1), 1)
    e1, e2 = epipoles(F)
    for e, t in ((e1, scene.pose.inverse().translation), (e2, scene.pose.translation)):
        np.testing.assert_allclose(np.abs(unit(scene.K @ t) @ e), 1, atol=1e-9)
    assert sampson_error(F, scene.x1, scene.x2).max() < 1e-12
    # a point moved by one pixel across its line: half of it falls on either view in the Sampson error
    moved = scene.x2 + lines[:, :2]
    distance = symmetric_epipolar_error(F, scene.x1, moved)
    assert np.all(distance >= 1 - 1e-9)
    sampson = sampson_error(F, scene.x1, moved)
    assert np.all(sampson <= 1 + 1e-9) and np.all(4 * sampson <= distance * (1 + 1e-9))
    back = sampson_error(F.T, moved, scene.x1)
    np.testing.assert_allclose(back, sampson, rtol=1e-9)
    np.testing.assert_allclose(sampson_error(-7 * F, scene.x1, moved), sampson, rtol=1e-9)


@few
@given(seeds, st.booleans())
def test_essential_decomposition_and_cheirality(seed, wide):
    pose, _, d1, d2 = bearings(np.random.default_rng(seed), 30, wide)
    E = essential_from_pose(pose)
    four = decompose_essential(-2.5 * E)
    assert len(four) == 4
    for p in four:
        np.testing.assert_allclose(p.rotation @ p.rotation.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(p.rotation) > 0
        e = essential_from_pose(p)
        assert min(np.abs(e - E).max(), np.abs(e + E).max()) < 1e-9
    found, front = pose_from_essential(E, d1, d2)
    np.testing.assert_allclose(found.rotation, pose.rotation, atol=1e-8)
    np.testing.assert_allclose(found.translation, pose.translation, atol=1e-8)
    assert front.all()


@few
@given(seeds)
def test_a_matrix_that_is_not_quite_essential_still_gives_rotations(seed):
    rng = np.random.default_rng(seed)
    pose, _, d1, d2 = bearings(rng, 10, False)
    u, _, vt = np.linalg.svd(essential_from_pose(pose))
    off = (u * [1.0, rng.uniform(0.8, 1), 0.0]) @ vt
    poses, counts = count_in_front(off.ravel(), d1, d2)
    for row in poses:
        R = row[:9].reshape(3, 3)
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(R) > 0
    R = poses[np.argmax(counts), :9].reshape(3, 3)
    assert rotation_angle(R @ pose.rotation.T) < 0.3


def test_what_is_no_essential_matrix_is_refused():
    for wrong in (np.zeros((3, 3)), np.eye(2), np.full((3, 3), np.nan), np.outer([1, 2, 3], [3, 2, 1])):
        with pytest.raises(ValueError, match="E: expected"):
            decompose_essential(wrong)


@few
@given(seeds)
def test_homography_decomposition(seed):
    rng = np.random.default_rng(seed)
    pose, points, _, _ = bearings(rng, 30)
    normal = unit(rng.normal(size=3) * 0.3 + [0, 0, 1])
    points *= (6.0 / (points @ normal))[:, None]
    q = pose.act(points)
    if (q[:, 2] < 0.5).any() or (points[:, 2] < 0.5).any():
        return
    H = pose.rotation + np.outer(pose.translation / 6.0, normal)
    found = motions_in_front(-3.0 * H, points, q)
    assert 1 <= len(found) <= 2
    errors = [
        np.abs(m.cam2_from_cam1.rotation - pose.rotation).max()
        + np.abs(6.0 * m.cam2_from_cam1.translation - pose.translation).max()
        + np.abs(m.normal - normal).max()
        for m in found
    ]
    assert min(errors) < 1e-5
    for m in decompose_homography(H):
        again = m.cam2_from_cam1.rotation + np.outer(m.cam2_from_cam1.translation, m.normal)
        np.testing.assert_allclose(again, H / np.linalg.svd(H, compute_uv=False)[1], atol=1e-7)


def test_homography_of_a_rotation_has_one_motion():
    rotation = SO3.exp(np.array([0.1, 0.2, -0.3])).matrix
    (motion,) = decompose_homography(5 * rotation)
    np.testing.assert_allclose(motion.cam2_from_cam1.rotation, rotation, atol=1e-12)
    assert not motion.cam2_from_cam1.translation.any() and np.isnan(motion.normal).all()
    with pytest.raises(ValueError, match="invertible"):
        decompose_homography(np.diag([1.0, 1.0, 0.0]))


@few
@given(seeds)
def test_resection_is_exact(seed):
    rng = np.random.default_rng(seed)
    K = np.array([[900.0, 3.0, 480], [0, 920, 410], [0, 0, 1]])
    pose = random_pose(rng)
    q = rng.uniform(-2, 2, size=(8, 3)) + np.array([0, 0, 6])
    points = pose.inverse().act(q) + np.array([1e5, 0, 0])
    pixels = q @ K.T
    found = solve_resection(points, pixels[:, :2] / pixels[:, 2:])
    np.testing.assert_allclose(found.K, K, atol=0.05)
    assert rotation_angle(found.cam_from_world.rotation @ pose.rotation.T) < 1e-4
    flat = points.copy()
    flat[:, 2] = flat[:, 1]
    with pytest.raises(EstimationError, match="on one plane"):
        solve_resection(flat, pixels[:, :2])


@settings(deadline=None, max_examples=10)
@given(seeds, st.sampled_from(["volume", "plane", "wide"]), st.integers(4, 12))
def test_sqpnp_is_exact(seed, shape, count):
    rng = np.random.default_rng(seed)
    pose, points, _, d = bearings(rng, count, shape == "wide")
    if shape == "plane":
        points[:, 2] = 7 + 0.3 * points[:, 0]
        d = unit(pose.act(points))
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if spread[1] < 1.0 or (count < 6 and spread[2] < 1.0):
        return  # four points near a line or a plane have poses that differ little in error
    found = solve_sqpnp(points, d)
    np.testing.assert_allclose(found.rotation, pose.rotation, atol=1e-5)
    np.testing.assert_allclose(found.translation, pose.translation, atol=1e-4)


def test_sqpnp_beats_the_truth_under_noise_and_refuses_parallel_rays():
    rng = np.random.default_rng(4)
    pose, points, _, d = bearings(rng, 20)
    d = unit(d + 0.01 * rng.normal(size=d.shape))

    def cost(p: SE3) -> float:
        return float(np.sum(np.cross(d, p.act(points)) ** 2))

    assert cost(solve_sqpnp(points, d)) <= cost(pose)
    with pytest.raises(EstimationError, match="parallel"):
        solve_sqpnp(points, np.tile(d[:1], (20, 1)))
