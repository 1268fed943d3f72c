"""The group axioms and the calculus of SO(3), SE(3) and Sim(3), over all groups and all sizes of angle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import SE3, SO3, Sim3, closest_rotation, rotation_angle, skew

GROUPS = (SO3, SE3, Sim3)
ANGLES = (0.0, 1e-300, 1e-12, 1e-8, 1e-4, 0.3, 0.5, 1.0, 2.0, 2.5, np.pi - 1e-5, np.pi - 1e-9, np.pi)
PHI = {SO3: slice(0, 3), SE3: slice(3, 6), Sim3: slice(3, 6)}

groups = st.sampled_from(GROUPS)
shapes = st.sampled_from([(), (1,), (4,), (2, 3)])
seeds = st.integers(0, 2**32 - 1)
angles = st.one_of(st.sampled_from(ANGLES), st.floats(0, np.pi))
fast = settings(deadline=None, max_examples=50)


def tangents(group, shape, seed, angle):
    """Random tangents (*shape, d) whose rotation part has the given angle."""
    rng = np.random.default_rng(seed)
    xi = rng.normal(size=(*shape, group.tangent_size))
    phi = xi[..., PHI[group]]
    phi *= angle / np.linalg.norm(phi, axis=-1, keepdims=True)
    return xi


def matrix(element):
    """The element as a matrix that composes by multiplication."""
    return element.matrix if isinstance(element, SO3) else element.matrix4()


def close(a, b, tolerance=1e-12):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@fast
@given(groups, shapes, seeds, angles, angles, angles)
def test_axioms(group, shape, seed, angle_a, angle_b, angle_c):
    a, b, c = (
        group.exp(tangents(group, shape, (seed, i), angle))
        for i, angle in enumerate([angle_a, angle_b, angle_c])
    )
    one = group.identity(shape)
    close(matrix((a @ b) @ c), matrix(a @ (b @ c)), 1e-10)
    close(matrix(a @ one), matrix(a))
    close(matrix(one @ a), matrix(a))
    close(matrix(a @ a.inverse()), matrix(one), 1e-10)
    close(matrix(a.inverse() @ a), matrix(one), 1e-10)
    close(matrix(a @ b), matrix(a) @ matrix(b))


@fast
@given(groups, shapes, seeds, angles, angles)
def test_action(group, shape, seed, angle_a, angle_b):
    a = group.exp(tangents(group, shape, seed, angle_a))
    b = group.exp(tangents(group, shape, seed + 1, angle_b))
    x = np.random.default_rng(seed).normal(size=(*shape, 3))
    close((a @ b).act(x), a.act(b.act(x)), 1e-11)
    close(a.inverse().act(a.act(x)), x, 1e-10)
    close(group.identity().act(x), x)


@fast
@given(groups, seeds, angles)
def test_one_element_acts_on_many_points_as_on_each(group, seed, angle):
    a = group.exp(tangents(group, (), seed, angle))
    x = np.random.default_rng(seed).normal(size=(5, 2, 3))
    close(a.act(x), [[a.act(point) for point in row] for row in x])


@fast
@given(groups, shapes, seeds, angles)
def test_exp_of_log(group, shape, seed, angle):
    a = group.exp(tangents(group, shape, seed, angle))
    close(matrix(group.exp(a.log())), matrix(a))
    assert np.all(np.linalg.norm(a.log()[..., PHI[group]], axis=-1) <= np.pi + 1e-15)


@fast
@given(groups, shapes, seeds, angles.filter(lambda a: a < np.pi - 1e-12))
def test_log_of_exp(group, shape, seed, angle):
    xi = tangents(group, shape, seed, angle)
    close(group.exp(xi).log(), xi, 1e-11)


@pytest.mark.parametrize("angle", [1e-300, 1e-20, 1e-12, 1e-8, 1e-5])
def test_log_keeps_all_digits_of_a_small_angle(angle):
    phi = angle * np.array([0.48, -0.6, 0.64])
    np.testing.assert_allclose(SO3.exp(phi).log(), phi, rtol=1e-15, atol=0)


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0.6, -0.8], [-0.48, 0.6, 0.64]])
@pytest.mark.parametrize("below_pi", [0.0, 1e-15, 1e-10, 1e-7, 1e-3])
def test_log_keeps_all_digits_near_pi(axis, below_pi):
    phi = (np.pi - below_pi) * np.array(axis)
    found = SO3.exp(phi).log()
    close(min(found, -found, key=lambda v: np.abs(v - phi).max()) if below_pi < 1e-14 else found, phi, 1e-14)


@fast
@given(groups, seeds, angles.filter(lambda a: a < 3.1))
def test_jacobians_against_differences(group, seed, angle):
    d, h = group.tangent_size, 1e-5
    xi = tangents(group, (), seed, angle)
    steps = h * np.eye(d)
    here, plus, minus = group.exp(xi), group.exp(xi + steps), group.exp(xi - steps)
    left = ((plus @ here.inverse()).log() - (minus @ here.inverse()).log()).T / (2 * h)
    right = ((here.inverse() @ plus).log() - (here.inverse() @ minus).log()).T / (2 * h)
    np.testing.assert_allclose(group.left_jacobian(xi), left, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(group.right_jacobian(xi), right, rtol=1e-7, atol=1e-7)


@fast
@given(groups, shapes, seeds, st.one_of(angles, st.floats(np.pi, 6.0)))
def test_jacobian_inverses_and_symmetries(group, shape, seed, angle):
    xi = tangents(group, shape, seed, angle)
    one = np.broadcast_to(np.eye(group.tangent_size), (*shape, group.tangent_size, group.tangent_size))
    close(group.left_jacobian(xi) @ group.left_jacobian_inverse(xi), one, 1e-10)
    close(group.right_jacobian(xi) @ group.right_jacobian_inverse(xi), one, 1e-10)
    # exp(xi + d) seen from either side is one element: J_l = Ad(exp(xi)) J_r
    close(group.left_jacobian(xi), group.exp(xi).adjoint() @ group.right_jacobian(xi), 1e-10)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("angle", [0.5, 2.0, 1.0])
def test_jacobians_are_continuous_where_the_formula_changes(group, angle):
    below, above = (tangents(group, (), 7, angle + step) for step in (-1e-13, 1e-13))
    close(group.left_jacobian(below), group.left_jacobian(above))
    close(group.left_jacobian_inverse(below), group.left_jacobian_inverse(above))


@pytest.mark.parametrize("group", GROUPS)
def test_jacobian_at_zero_is_identity(group):
    zero = np.zeros(group.tangent_size)
    close(group.left_jacobian(zero), np.eye(group.tangent_size))
    close(group.left_jacobian_inverse(zero), np.eye(group.tangent_size))


@fast
@given(seeds, angles, st.floats(-8, 8))
def test_similarity_exp_is_the_matrix_exponential(seed, angle, sigma):
    from scipy.linalg import expm

    xi = tangents(Sim3, (), seed, angle)
    xi[6] = sigma
    generator = np.zeros((4, 4))
    generator[:3, :3] = skew(xi[3:6]) + sigma * np.eye(3)
    generator[:3, 3] = xi[:3]
    expected = expm(generator)
    np.testing.assert_allclose(
        Sim3.exp(xi).matrix4(), expected, rtol=1e-10, atol=1e-10 * np.exp(max(sigma, 0))
    )


@fast
@given(groups, shapes, seeds, angles, angles)
def test_adjoint(group, shape, seed, angle_a, angle_xi):
    a = group.exp(tangents(group, shape, seed, angle_a))
    b = group.exp(tangents(group, shape, seed + 2, angle_xi))
    xi = tangents(group, shape, seed + 1, angle_xi)
    moved = np.squeeze(a.adjoint() @ xi[..., None], -1)
    close(matrix(a @ group.exp(xi) @ a.inverse()), matrix(group.exp(moved)), 1e-9)
    close((a @ b).adjoint(), a.adjoint() @ b.adjoint(), 1e-10)
    one = np.broadcast_to(np.eye(group.tangent_size), a.adjoint().shape)
    close(a.inverse().adjoint() @ a.adjoint(), one, 1e-9)


@fast
@given(groups, shapes, seeds, angles, angles)
def test_interpolation(group, shape, seed, angle_a, angle_b):
    a = group.exp(tangents(group, shape, seed, angle_a))
    b = group.exp(tangents(group, shape, seed + 1, angle_b))
    close(matrix(a.interpolate(b, 0.0)), matrix(a), 1e-10)
    close(matrix(a.interpolate(b, 1.0)), matrix(b), 1e-10)
    half = a.interpolate(b, 0.5)
    # equal steps: what takes a to the middle takes the middle to b
    close(matrix(a.inverse() @ half), matrix(half.inverse() @ b), 1e-9)
    # the geodesic does not depend on the frame
    c = group.exp(tangents(group, (), seed + 2, 1.0))
    apart = rotation_angle((a.inverse() @ b).matrix if group is SO3 else (a.inverse() @ b).rotation)
    if np.all(apart < np.pi - 1e-6):
        close(matrix((c @ a).interpolate(c @ b, 0.3)), matrix(c @ a.interpolate(b, 0.3)), 1e-8)


def test_interpolation_at_many_times_at_once():
    a, b = SE3.identity(), SE3.exp([1.0, 2, 3, 0.1, 0.2, 0.3])
    times = np.array([0.0, 0.25, 1.0])
    together = a.interpolate(b, times).matrix4()
    close(together, [a.interpolate(b, t).matrix4() for t in times])


@fast
@given(seeds, angles)
def test_pose_helpers(seed, angle):
    pose = SE3.exp(tangents(SE3, (4,), seed, angle))
    close(pose.act(pose.center()), np.zeros((4, 3)), 1e-12)
    close(pose.inverse().translation, pose.center())
    again = SE3.from_matrix4(pose.matrix4())
    close(again.rotation, pose.rotation)
    close(again.translation, pose.translation)
    close(
        SE3.from_quaternion_translation(pose.quaternion(), pose.translation).matrix4(), pose.matrix4(), 1e-14
    )


@fast
@given(seeds, angles)
def test_rotation_angle(seed, angle):
    phi = tangents(SO3, (3,), seed, angle)
    np.testing.assert_allclose(rotation_angle(SO3.exp(phi).matrix), np.full(3, angle), rtol=1e-14, atol=1e-15)


@fast
@given(seeds)
def test_skew(seed):
    v, w = np.random.default_rng(seed).normal(size=(2, 4, 3))
    close((skew(v) @ w[..., None])[..., 0], np.cross(v, w))


@fast
@given(seeds, st.floats(0, 0.2))
def test_closest_rotation(seed, noise):
    rng = np.random.default_rng(seed)
    exact = SO3.exp(rng.normal(size=(5, 3))).matrix
    m = exact + noise * rng.normal(size=(5, 3, 3))
    r = closest_rotation(m)
    close(r @ np.swapaxes(r, -1, -2), np.broadcast_to(np.eye(3), (5, 3, 3)), 1e-12)
    close(np.linalg.det(r), np.ones(5))
    best = np.linalg.norm(r - m, axis=(1, 2))
    for _ in range(5):
        other = r @ SO3.exp(0.05 * rng.normal(size=(5, 3))).matrix
        assert np.all(best <= np.linalg.norm(other - m, axis=(1, 2)) + 1e-12)
    close(closest_rotation(3 * exact), exact, 1e-12)


def test_closest_rotation_of_a_reflection_is_a_rotation():
    close(np.linalg.det(closest_rotation(np.diag([1.0, 1.0, -0.5]))), 1.0)
    close(closest_rotation(np.diag([1.0, 1.0, -0.5])), np.eye(3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SO3(np.eye(4)),
        lambda: SO3.exp([1.0, 2.0]),
        lambda: SE3(np.eye(3), [1.0, 2.0]),
        lambda: SE3(np.eye(3), np.zeros((5, 3))),
        lambda: SE3.exp(np.zeros(3)),
        lambda: SE3.from_matrix4(np.eye(4)[:3]),
        lambda: SE3.from_matrix4(np.ones((4, 4))),
        lambda: Sim3(-1.0, np.eye(3), np.zeros(3)),
        lambda: Sim3(0.0, np.eye(3), np.zeros(3)),
        lambda: Sim3(np.nan, np.eye(3), np.zeros(3)),
        lambda: Sim3(np.ones(2), np.eye(3), np.zeros(3)),
        lambda: SO3.identity().act([1.0, 2.0]),
        lambda: closest_rotation(np.full((3, 3), np.nan)),
        lambda: skew([1.0, 2.0]),
    ],
)
def test_wrong_input_is_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()


NO_ROTATIONS = [np.ones((3, 3)), np.diag([1.0, 1, -1]), 1.001 * np.eye(3), np.full((3, 3), np.nan)]


@pytest.mark.parametrize("wrong", NO_ROTATIONS)
def test_no_rotation_has_no_logarithm(wrong):
    batch = np.stack([np.eye(3), wrong])
    one, zero = np.ones(2), np.zeros((2, 3))
    for element in (SO3(wrong), SO3(batch), SE3(batch, zero), Sim3(one, batch, zero)):
        with pytest.raises(ValueError, match="matrix: expected rotations"):
            element.log()
    with pytest.raises(ValueError, match="matrix: expected rotations"):
        SO3(wrong).quaternion()


@fast
@given(seeds, angles)
def test_single_precision_is_rotation_enough(seed, angle):
    exact = SO3.exp(tangents(SO3, (3,), seed, angle))
    rounded = SO3(exact.matrix.astype(np.float32))
    close(np.minimum(1, rotation_angle(SO3.exp(rounded.log()).matrix.mT @ exact.matrix)), 0, 1e-5)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_tangent_has_to_be_finite(group, value):
    tangent = np.zeros(group.tangent_size)
    tangent[-1] = value
    for function in (group.exp, group.left_jacobian, group.right_jacobian_inverse):
        with pytest.raises(ValueError, match="tangent: expected finite"):
            function(tangent)
