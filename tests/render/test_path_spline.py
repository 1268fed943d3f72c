"""Splines through poses: through what they are given, smooth, the same in every world."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.geometry import SE3, SO3
from geo3d.render.path_spline import spline_path, spline_values
from tests.render.paths import moved, some_motion


def poses_of(seed: int, count: int = 5, turn: float = 0.5) -> list[SE3]:
    rng = np.random.default_rng(seed)
    rotation, found = np.eye(3), []
    for _ in range(count):
        rotation = SO3.exp(rng.normal(0, turn, 3)).matrix @ rotation
        found.append(SE3(rotation, rng.normal(0, 2, 3)))
    return found


def stacked(poses) -> np.ndarray:
    return np.array([pose.matrix4() for pose in poses])


@given(seed=st.integers(0, 1000), gaps=st.lists(st.floats(0.2, 3.0), min_size=4, max_size=4))
def test_it_passes_its_poses_at_their_times(seed, gaps):
    times = np.cumsum([1.0, *gaps])
    poses = poses_of(seed)
    np.testing.assert_allclose(stacked(spline_path(poses, times, times)), stacked(poses), atol=1e-9)
    beyond = spline_path(poses, times, np.array([-10.0, 1000.0]))
    np.testing.assert_allclose(stacked(beyond), stacked([poses[0], poses[-1]]), atol=1e-9)


@given(seed=st.integers(0, 1000), gaps=st.lists(st.floats(0.3, 2.0), min_size=4, max_size=4))
def test_velocity_is_continuous(seed, gaps):
    times = np.cumsum([0.0, *gaps])
    poses, h = poses_of(seed), 1e-5
    for t in times[1:-1]:
        a, b, c = spline_path(poses, times, np.array([t - h, t, t + h]))
        before, after = (b @ a.inverse()).log() / h, (c @ b.inverse()).log() / h
        np.testing.assert_allclose(before, after, atol=2e-3 * (1 + np.abs(before).max()))


@given(seed=st.integers(0, 1000))
def test_it_moves_with_the_world(seed):
    times, at = np.array([0.0, 1, 2.5, 3, 5]), np.linspace(0, 5, 31)
    poses, motion = poses_of(seed), some_motion(seed)
    inside = spline_path(moved(poses, motion), times, at)
    np.testing.assert_allclose(
        stacked(inside), stacked(moved(spline_path(poses, times, at), motion)), atol=1e-8
    )


def test_even_motion_stays_even():
    """Poses of a screw at uneven times: constant velocity and rate of turn in between."""
    times = np.array([0.0, 1.0, 1.5, 4.0])

    def screw(t):
        rotation = SO3.exp([0, 0, 0.3 * t]).matrix
        return SE3(rotation.T, -rotation.T @ np.array([2.0 * t, 1.0, -t]))

    at = np.linspace(0, 4, 17)
    found = spline_path([screw(t) for t in times], times, at)
    np.testing.assert_allclose(stacked(found), stacked([screw(t) for t in at]), atol=1e-9)


def test_parabolas_are_exact():
    times = np.array([0.0, 0.7, 2.0, 3.1])
    at = np.linspace(0, 3.1, 23)
    found = spline_values((times**2 - times)[:, None], times, at)
    np.testing.assert_allclose(found[:, 0], at**2 - at, atol=1e-12)


def test_a_pose_that_is_held_stays():
    poses = poses_of(3, 4)
    poses[2] = poses[1]
    found = spline_path(poses, np.arange(4.0), np.linspace(1, 2, 9))
    np.testing.assert_allclose(stacked(found), stacked([poses[1]] * 9), atol=1e-9)


def test_two_poses_are_joined_by_a_line_and_a_turn():
    poses = poses_of(1, 2, 0.3)
    a, middle, b = spline_path(poses, np.array([0.0, 1.0]), np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(middle.center(), (a.center() + b.center()) / 2, atol=1e-12)
    half = SO3(middle.rotation @ a.rotation.T).log()
    np.testing.assert_allclose(half, SO3(b.rotation @ middle.rotation.T).log(), atol=1e-9)


def test_times_that_do_not_ascend():
    for times in ([0.0, 0.0], [1.0, 0.0], [0.0]):
        with pytest.raises(ValueError, match="ascending"):
            spline_path(poses_of(0, len(times)), np.array(times), np.array([0.0]))
