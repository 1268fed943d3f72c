"""Triangulation: exact without noise, optimal with it, honest where rays do not meet."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from geo3d.estimation import (
    correct_lindstrom,
    essential_from_pose,
    triangulate_dlt,
    triangulate_lindstrom,
    triangulate_midpoint,
    triangulate_multiview,
    triangulate_tracks,
    triangulate_tracks_robust,
    triangulate_two_view,
)
from geo3d.geometry import SE3, SO3

from .two_view_scenes import bearings, unit

seeds = st.integers(0, 2**32 - 1)
few = settings(deadline=None, max_examples=30)


@few
@given(seeds, st.booleans())
def test_two_views_are_exact(seed, wide):
    pose, points, d1, d2 = bearings(np.random.default_rng(seed), 20, wide)
    sine = np.linalg.norm(np.cross(d1 @ pose.rotation.T, d2), axis=1)
    good = sine > 1e-3
    for found in (triangulate_midpoint(pose, d1, d2), triangulate_two_view(pose, d1, d2)):
        np.testing.assert_allclose(found.points[good], points[good], rtol=1e-6, atol=1e-6)
        assert found.ok[good].all()
        np.testing.assert_allclose(np.sin(found.max_angle[good]), sine[good], atol=1e-7)
    both = SE3(np.stack([np.eye(3), pose.rotation]), np.stack([np.zeros(3), pose.translation]))
    np.testing.assert_allclose(
        triangulate_dlt(both, np.stack([d1, d2]))[good], points[good], rtol=1e-5, atol=1e-5
    )


@few
@given(seeds)
def test_lindstrom_is_exact_and_optimal(seed):
    rng = np.random.default_rng(seed)
    pose, points, _, _ = bearings(rng, 1)
    q = pose.act(points)
    if q[0, 2] < 1:
        return
    x1, x2 = points[:, :2] / points[:, 2:], q[:, :2] / q[:, 2:]
    exact = triangulate_lindstrom(pose, x1, x2)
    if exact.max_angle[0] < 0.02:
        return
    np.testing.assert_allclose(exact.points, points, rtol=1e-6, atol=1e-6)
    x1, x2 = x1 + 0.003 * rng.normal(size=(1, 2)), x2 + 0.003 * rng.normal(size=(1, 2))
    y1, y2 = correct_lindstrom(essential_from_pose(pose), x1, x2)
    assert abs(np.r_[y2[0], 1] @ essential_from_pose(pose) @ np.r_[y1[0], 1]) < 1e-12

    def cost(x):
        z = pose.act(x)
        return np.sum((x[:2] / x[2] - x1[0]) ** 2) + np.sum((z[:2] / z[2] - x2[0]) ** 2)

    best = minimize(
        cost, points[0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-18, "maxiter": 4000}
    )
    moved = np.sum((y1 - x1) ** 2) + np.sum((y2 - x2) ** 2)
    assert moved <= best.fun * (1 + 1e-6) + 1e-15


def scene_of_tracks(seed, views=8, tracks=60, noise=0.0):
    rng = np.random.default_rng(seed)
    poses = SE3(SO3.exp(rng.normal(size=(views, 3)) * 0.1).matrix, rng.normal(size=(views, 3)))
    points = rng.uniform(-2, 2, size=(tracks, 3)) + np.array([0, 0, 10])
    lengths = rng.integers(2, views + 1, tracks)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    view = np.concatenate([rng.choice(views, n, replace=False) for n in lengths])
    owner = np.repeat(np.arange(tracks), lengths)
    q = np.einsum("oij,oj->oi", poses.rotation[view], points[owner]) + poses.translation[view]
    return poses, points, offsets, view, owner, unit(unit(q) + noise * rng.normal(size=q.shape)), rng


@few
@given(seeds)
def test_tracks_are_exact_and_least_in_angle(seed):
    poses, points, offsets, view, owner, rays, _ = scene_of_tracks(seed)
    found = triangulate_tracks(poses.rotation, poses.translation, offsets, view, rays)
    wide = found.max_angle > 0.005
    assert found.ok[wide].all()
    np.testing.assert_allclose(found.points[wide], points[wide], atol=1e-6)
    poses, points, offsets, view, owner, rays, _ = scene_of_tracks(seed, tracks=3, noise=1e-3)
    found = triangulate_tracks(poses.rotation, poses.translation, offsets, view, rays, steps=20)
    for i in np.flatnonzero(found.max_angle > 0.05):
        mine = owner == i

        def cost(x, mine=mine):
            q = np.einsum("oij,j->oi", poses.rotation[view[mine]], x) + poses.translation[view[mine]]
            return np.sum((q / np.sum(q * rays[mine], axis=1, keepdims=True) - rays[mine]) ** 2)

        best = minimize(cost, found.points[i], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-18})
        assert cost(found.points[i]) <= best.fun * (1 + 1e-4) + 1e-14


def test_multiview_is_the_track_of_all_views():
    poses, _, _, _, _, _, rng = scene_of_tracks(3, views=4)
    points = rng.uniform(-2, 2, size=(10, 3)) + np.array([0, 0, 10])
    rays = np.einsum("vij,nj->vni", poses.rotation, points) + poses.translation[:, None]
    found = triangulate_multiview(poses, rays)
    np.testing.assert_allclose(found.points, points, atol=1e-8)
    with pytest.raises(ValueError, match="bearings: expected shape"):
        triangulate_multiview(poses, rays[:3])


@few
@given(seeds)
def test_robust_tracks_find_the_inliers(seed):
    poses, points, offsets, view, owner, rays, rng = scene_of_tracks(seed, noise=2e-4)
    bad = np.zeros(len(view), bool)
    for i in np.flatnonzero(np.diff(offsets) >= 5):
        bad[offsets[i] + rng.choice(offsets[i + 1] - offsets[i], 2, replace=False)] = True
    rays[bad] = unit(rays[bad] + 0.3 * rng.normal(size=(bad.sum(), 3)))
    found = triangulate_tracks_robust(poses.rotation, poses.translation, offsets, view, rays, 2e-3, 0.02)
    long = np.flatnonzero((np.diff(offsets) >= 5) & np.isfinite(found.points[:, 0]))
    assert len(long) >= 0.8 * np.sum(np.diff(offsets) >= 5)
    assert np.median(np.linalg.norm(found.points[long] - points[long], axis=1)) < 0.05
    assert np.mean(found.inliers[bad]) < 0.05
    assert np.mean(found.inliers[~bad & np.isin(owner, long)]) > 0.95
    again = triangulate_tracks_robust(poses.rotation, poses.translation, offsets, view, rays, 2e-3, 0.02)
    assert np.array_equal(found.points, again.points, equal_nan=True)


def test_points_behind_parallel_rays_and_nan_have_no_point():
    rotations, translations = np.stack([np.eye(3)] * 2), np.array([[0, 0, 0], [-1.0, 0, 0]])
    offsets, view = np.array([0, 2, 4, 6, 7, 7]), np.array([0, 1, 0, 1, 0, 1, 0])
    x = np.array([0.3, 0.2, -5.0])
    rays = unit(np.array([-x, -(x - [1, 0, 0]), [0, 0, 1], [0, 0, 1], [np.nan] * 3, [0, 0, 1], [0, 0, 1]]))
    plain = triangulate_tracks(rotations, translations, offsets, view, rays)
    assert not plain.ok.any() and np.isnan(plain.points).all() and not plain.max_angle.any()
    robust = triangulate_tracks_robust(rotations, translations, offsets, view, rays, 0.01)
    assert np.isnan(robust.points).all() and not robust.inliers.any()
    pose = SE3(np.eye(3), np.array([-1.0, 0, 0]))
    assert not triangulate_midpoint(pose, rays[[0, 2]], rays[[1, 3]]).ok.any()
    # the other way round they meet, behind the image plane of a camera that sees all around
    assert triangulate_midpoint(pose, -rays[:1], -rays[1:2]).ok.all()


def test_indices_are_checked():
    rays = np.ones((2, 3))
    with pytest.raises(ValueError, match="obs_view: expected rows"):
        triangulate_tracks(np.eye(3)[None], np.zeros((1, 3)), np.array([0, 2]), np.array([0, 1]), rays)
    with pytest.raises(ValueError, match="offsets"):
        triangulate_tracks(np.eye(3)[None], np.zeros((1, 3)), np.array([0, 3]), np.array([0, 0]), rays)
    with pytest.raises(ValueError, match="max_error"):
        triangulate_tracks_robust(
            np.eye(3)[None], np.zeros((1, 3)), np.array([0, 2]), np.array([0, 0]), rays, 0.0
        )
