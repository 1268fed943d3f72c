"""Quaternions: wxyz, Hamilton's product, both ways to matrices at every angle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import (
    SO3,
    matrix_to_quaternion,
    quaternion_multiply,
    quaternion_slerp,
    quaternion_to_matrix,
    rotation_angle,
)

seeds = st.integers(0, 2**32 - 1)
angles = st.one_of(st.sampled_from([0.0, 1e-12, 1e-6, np.pi - 1e-8, np.pi]), st.floats(0, np.pi))
fast = settings(deadline=None, max_examples=40)


def close(a, b, tolerance=1e-14):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def random_quaternions(seed, shape=(6,)):
    q = np.random.default_rng(seed).normal(size=(*shape, 4))
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def test_order_is_wxyz():
    c, s = np.cos(0.3), np.sin(0.3)
    close(quaternion_to_matrix([c, 0, 0, s]) @ [1, 0, 0], [np.cos(0.6), np.sin(0.6), 0])
    close(matrix_to_quaternion(np.eye(3)), [1, 0, 0, 0])
    close(quaternion_multiply([0, 1, 0, 0], [0, 0, 1, 0]), [0, 0, 0, 1])  # i j = k


@fast
@given(seeds)
def test_round_trip_from_quaternion(seed):
    q = random_quaternions(seed, (2, 5))
    close(matrix_to_quaternion(quaternion_to_matrix(q)), np.where(q[..., :1] < 0, -q, q))
    close(quaternion_to_matrix(7 * q), quaternion_to_matrix(q))
    close(quaternion_to_matrix(-q), quaternion_to_matrix(q))


@fast
@given(seeds, angles)
def test_round_trip_from_matrix(seed, angle):
    axis = random_quaternions(seed)[:, :3]
    r = SO3.exp(angle * axis / np.linalg.norm(axis, axis=-1, keepdims=True)).matrix
    q = matrix_to_quaternion(r)
    close(quaternion_to_matrix(q), r)
    close(np.linalg.norm(q, axis=-1), np.ones(6))
    assert np.all(q[:, 0] >= 0)
    close(SO3.from_quaternion(q).quaternion(), q, 1e-12 if angle > 3.14 else 1e-14)


def test_half_turns_about_each_axis():
    for i in range(3):
        r = -np.eye(3)
        r[i, i] = 1
        close(np.abs(matrix_to_quaternion(r)), np.eye(4)[i + 1])


@fast
@given(seeds)
def test_product_is_composition(seed):
    a, b, c = random_quaternions(seed, (3, 5))
    close(quaternion_to_matrix(quaternion_multiply(a, b)), quaternion_to_matrix(a) @ quaternion_to_matrix(b))
    close(
        quaternion_multiply(quaternion_multiply(a, b), c), quaternion_multiply(a, quaternion_multiply(b, c))
    )


@fast
@given(seeds, st.floats(0, 1))
def test_slerp_is_the_geodesic(seed, t):
    a, b = random_quaternions(seed, (2, 5))
    expected = SO3.from_quaternion(a).interpolate(SO3.from_quaternion(b), t).matrix
    close(quaternion_to_matrix(quaternion_slerp(a, b, t)), expected, 1e-10)
    close(quaternion_slerp(a, -b, t), quaternion_slerp(a, b, t))
    close(quaternion_slerp(a, b, 0), a)
    close(quaternion_to_matrix(quaternion_slerp(a, b, 1)), quaternion_to_matrix(b))


@fast
@given(seeds, st.floats(0, 1), st.sampled_from([0.0, 1e-300, 1e-15, 1e-9]))
def test_slerp_between_near_equals(seed, t, apart):
    a = random_quaternions(seed, ())
    b = a + apart * random_quaternions(seed + 1, ())
    found = quaternion_slerp(a, b, t)
    close(np.linalg.norm(found), 1.0)
    close(rotation_angle(quaternion_to_matrix(a).T @ quaternion_to_matrix(found)), 0.0, 1e-8)


@pytest.mark.parametrize("q", [[0, 0, 0, 0], [1, 0, 0], [np.nan, 0, 0, 1], [np.inf, 0, 0, 1]])
def test_wrong_quaternions_are_refused(q):
    with pytest.raises(ValueError, match="expected"):
        quaternion_to_matrix(q)


def test_wrong_matrix_is_refused():
    with pytest.raises(ValueError, match="expected"):
        matrix_to_quaternion(np.eye(4))
