"""Minimal solvers: exact on clean data, equal to their references, silent on degenerate data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.estimation import (
    EstimationError,
    essential_from_pose,
    solve_eight_point,
    solve_eight_point_essential,
    solve_five_point,
    solve_homography,
    solve_p3p,
    solve_p4pf,
    solve_seven_point,
)
from geo3d.estimation.five_point import five_point_poses, five_point_reference
from geo3d.estimation.homography_four_point import four_point_homographies
from geo3d.estimation.p3p import p3p_reference
from geo3d.estimation.polynomials import MAX_DEGREE, cubic_roots, real_roots
from geo3d.estimation.seven_point import seven_point_reference

from .two_view_scenes import bearings, matrix_distance, two_views, unit

seeds = st.integers(0, 2**32 - 1)
few = settings(deadline=None, max_examples=40)


def fundamental(scene) -> np.ndarray:
    K = np.linalg.inv(scene.K)
    return K.T @ essential_from_pose(scene.pose) @ K


@few
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=10, unique=True), st.integers(0, 2))
def test_real_roots_are_found_and_complex_ones_are_not(roots, pairs):
    roots = np.sort(np.round(roots, 3))
    if np.any(np.diff(roots) < 0.05) or len(roots) + 2 * pairs > 10:
        return
    polynomial = np.polynomial.Polynomial.fromroots(roots)
    for k in range(pairs):
        polynomial *= np.polynomial.Polynomial([1.0 + k, 0.5, 1.0])
    c = np.zeros(MAX_DEGREE + 1)
    c[: len(polynomial.coef)] = polynomial.coef
    found = np.empty(MAX_DEGREE)
    size = MAX_DEGREE + 1
    count = real_roots(c, len(polynomial.coef) - 1, found, np.empty((size, size)), np.empty(size, np.int64))
    if len(roots) <= 5:  # beyond that the coefficients in double precision move the roots themselves
        assert count == len(roots)
        np.testing.assert_allclose(found[:count], roots, atol=1e-5 * (1 + np.abs(roots).max()))
    values = polynomial(found[:count])
    scale = np.polynomial.Polynomial(np.abs(polynomial.coef))(np.abs(found[:count]))
    assert np.all(np.abs(values) <= 1e-9 * scale + 1e-12)


@few
@given(st.tuples(*[st.floats(-10, 10)] * 3))
def test_cubic_roots_agree_with_the_companion_matrix(roots):
    roots = np.sort(roots)
    _, b, c, d = np.poly(roots)
    found = np.empty(3)
    count = cubic_roots(b, c, d, found)
    assert count >= 1
    values = np.polyval([1, b, c, d], found[:count])
    assert np.all(np.abs(values) <= 1e-9 * np.polyval(np.abs([1, b, c, d]), np.abs(found[:count])) + 1e-12)


@few
@given(seeds, st.booleans())
def test_five_point_is_exact_for_any_field_of_view(seed, wide):
    pose, _, d1, d2 = bearings(np.random.default_rng(seed), 5, wide)
    E = solve_five_point(d1, d2)
    assert matrix_distance(E, essential_from_pose(pose)) < 1e-5
    assert np.abs(np.einsum("pi,kij,pj->kp", d2, E, d1)).max() < 1e-9
    np.testing.assert_allclose(np.linalg.svd(E, compute_uv=False), np.tile([1, 1, 0], (len(E), 1)), atol=1e-4)


def test_five_point_agrees_with_its_reference():
    rng = np.random.default_rng(1)
    for _ in range(100):
        _, _, d1, d2 = bearings(rng, 5)
        fast, plain = solve_five_point(d1, d2), five_point_reference(d1, d2)
        assert len(fast) == len(plain)
        assert max(matrix_distance(fast, E) for E in plain) < 1e-4


@few
@given(seeds, st.booleans())
def test_five_point_poses_see_their_points(seed, wide):
    pose, _, d1, d2 = bearings(np.random.default_rng(seed), 5, wide)
    poses = five_point_poses(d1, d2, np.arange(5)[None])
    truth = np.concatenate([pose.rotation.ravel(), pose.translation])
    assert np.abs(poses - truth).max(axis=1).min() < 1e-3
    for p in poses:
        R, t = p[:9].reshape(3, 3), p[9:]
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(R) > 0
        for a, b in zip(d1 @ R.T, d2):  # s a + t = r b
            s, r = np.linalg.lstsq(np.stack([a, -b], axis=1), -t, rcond=None)[0]
            assert s > 0 and r > 0


def test_five_point_refuses_duplicates_and_accepts_planes():
    rng = np.random.default_rng(2)
    pose, points, d1, d2 = bearings(rng, 5)
    d1[1], d2[1] = d1[0], d2[0]
    assert len(solve_five_point(d1, d2)) == 0
    points[:, 2] = 7 + 0.3 * points[:, 0]
    E = solve_five_point(points, pose.act(points))
    assert matrix_distance(E, essential_from_pose(pose)) < 1e-4


@few
@given(seeds)
def test_seven_and_eight_point_are_exact(seed):
    scene = two_views(seed, 12, noise=0, outliers=0)
    F = fundamental(scene)
    assert matrix_distance(solve_seven_point(scene.x1[:7], scene.x2[:7]), F) < 1e-5
    assert matrix_distance(solve_eight_point(scene.x1, scene.x2)[None], F) < 1e-6
    E = solve_eight_point_essential(scene.points, scene.pose.act(scene.points))
    assert matrix_distance(E[None], essential_from_pose(scene.pose)) < 1e-6


def test_seven_point_agrees_with_its_reference():
    for seed in range(50):
        scene = two_views(seed, 7, noise=0.5, outliers=0)
        fast, plain = solve_seven_point(scene.x1, scene.x2), seven_point_reference(scene.x1, scene.x2)
        assert len(fast) == len(plain)
        assert max(matrix_distance(fast, F) for F in plain) < 1e-6
        assert np.abs(np.linalg.det(fast / np.abs(fast).max(axis=(1, 2), keepdims=True))).max() < 1e-9


def test_eight_point_refuses_a_plane():
    scene = two_views(3, 20, noise=0, outliers=0, shape="plane")
    with pytest.raises(EstimationError, match="do not determine"):
        solve_eight_point(scene.x1, scene.x2)


@few
@given(seeds)
def test_homographies_are_exact(seed):
    scene = two_views(seed, 20, noise=0, outliers=0, shape="plane")
    H = solve_homography(scene.x1, scene.x2)
    moved = np.c_[scene.x1, np.ones(20)] @ H.T
    np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], scene.x2, atol=1e-6)
    assert np.all(moved[:, 2] > 0)
    d1, d2 = unit(scene.points), unit(scene.pose.act(scene.points))
    for h in four_point_homographies(d1, d2, np.arange(20).reshape(5, 4)):
        np.testing.assert_allclose(unit(d1 @ h.reshape(3, 3).T), d2, atol=1e-5)


def test_homographies_refuse_points_in_line():
    line = np.stack([np.linspace(0, 100, 6), np.linspace(5, 50, 6)], axis=1)
    with pytest.raises(EstimationError, match="in line"):
        solve_homography(line, line + 3)
    rays = np.ascontiguousarray(unit(np.c_[line / 100, np.ones(6)]))
    assert len(four_point_homographies(rays, rays, np.array([[0, 1, 2, 3]]))) == 0


@few
@given(seeds, st.booleans())
def test_p3p_is_exact_for_any_field_of_view(seed, wide):
    pose, points, _, d2 = bearings(np.random.default_rng(seed), 3, wide)
    found = solve_p3p(points, d2)
    errors = [
        np.abs(p.rotation - pose.rotation).max() + np.abs(p.translation - pose.translation).max()
        for p in found
    ]
    assert min(errors) < 1e-5
    for p in found:
        np.testing.assert_allclose(unit(p.act(points)), d2, atol=1e-7)


def test_p3p_agrees_with_its_reference():
    rng = np.random.default_rng(3)
    for _ in range(100):
        _, points, _, d = bearings(rng, 3)
        fast, plain = solve_p3p(points, d), p3p_reference(points, d)
        good = [(R, t) for R, t in plain if np.abs(unit(points @ R.T + t) - d).max() < 1e-8]
        assert len(fast) >= len(good)
        for R, t in good:
            assert min(np.abs(p.rotation - R).max() + np.abs(p.translation - t).max() for p in fast) < 1e-4


def test_p3p_refuses_points_in_line_and_duplicates():
    d = unit(np.array([[0.1, 0, 1], [0, 0.1, 1], [0.2, 0.2, 1]]))
    assert solve_p3p(np.array([[0, 0, 5.0], [1, 0, 5], [2, 0, 5]]), d) == []
    assert solve_p3p(np.array([[0, 0, 5.0], [0, 0, 5], [2, 0, 5]]), d) == []


@few
@given(seeds, st.booleans(), st.floats(300, 5000))
def test_p4pf_is_exact(seed, plane, focal):
    rng = np.random.default_rng(seed)
    pose, points, _, _ = bearings(rng, 4)
    if plane:
        points[:, 2] = 7 + 0.5 * points[:, 0] + 0.3 * points[:, 1]
    q = pose.act(points)
    if q[:, 2].min() < 0.5:
        return
    found = solve_p4pf(points, focal * q[:, :2] / q[:, 2:])
    errors = [abs(f / focal - 1) + np.abs(p.rotation - pose.rotation).max() for p, f in found]
    # Nearly fronto-parallel planes and nearly coincident points leave the focal length free.
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    well = spread[1] > 0.5 and not (
        plane and abs(pose.rotation[2] @ unit(np.array([-0.5, -0.3, 1.0]))) > 0.98
    )
    assert not well or min(errors, default=np.inf) < 1e-4


@pytest.mark.parametrize(
    "solve, count, columns",
    [(solve_five_point, 5, (3, 3)), (solve_seven_point, 7, (2, 2)), (solve_p3p, 3, (3, 3)), (solve_p4pf, 4, (3, 2)),
     (solve_eight_point, 8, (2, 2)), (solve_homography, 4, (2, 2))],
)  # fmt: skip
def test_wrong_input_is_named(solve, count, columns):
    rng = np.random.default_rng(4)
    a, b = rng.random((count, columns[0])), rng.random((count, columns[1]))
    with pytest.raises(ValueError, match="expected"):
        solve(a[:-1], b[:-1])
    with pytest.raises(ValueError, match="as many rows"):
        solve(a, b[:-1])
    with pytest.raises(ValueError, match="shape"):
        solve(a[:, :1], b)
    b[2, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        solve(a, b)
