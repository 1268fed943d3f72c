"""Smooth motion through poses at given times: once continuously differentiable, and the same in every world frame.

Centres are joined by cubic Hermite curves. The velocity at a pose is that of the parabola through it and its
neighbours (Catmull-Rom with uneven times):

    v_k = (h_k d_{k-1} + h_{k-1} d_k) / (h_{k-1} + h_k)       h_k = t_{k+1} - t_k,  d_k = (c_{k+1} - c_k) / h_k

and zero at a pose that is held, which is there twice in a row. Rotations are Bezier curves of quaternions (Shoemake,
"Animating rotation with quaternion curves", SIGGRAPH 1985) with angular velocities by the same rule: d_k is the
rotation from k to k + 1 in the camera's own axes, over h_k. Other numbers (a focal length) go with the centres.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geo3d.geometry import SE3, SO3, quaternion_slerp


def spline_path(poses: Sequence[SE3], times: np.ndarray, at: np.ndarray) -> tuple[SE3, ...]:
    """Poses at other times.

    Parameters
    ----------
    poses : sequence of SE3
        `cam_from_world`, two or more.
    times : (K,)
        When they are passed, ascending.
    at : (F,)
        Times that are asked for; before the first and after the last the camera stands still.

    Returns
    -------
    tuple of SE3
        `cam_from_world`, one for each of `at`.

    Raises
    ------
    ValueError
        If there are fewer than two poses, or the times do not ascend.
    """
    centers = spline_values(np.array([pose.center() for pose in poses]), times, at)
    quaternions = _spline_rotations(np.array([pose.rotation.T for pose in poses]), times, at)
    return tuple(
        SE3(rotation.T, -rotation.T @ center) for rotation, center in zip(_matrices(quaternions), centers)
    )


def spline_values(values: np.ndarray, times: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Cubic Hermite curves through rows of numbers.

    Parameters
    ----------
    values : (K, D)
    times : (K,)
        Ascending.
    at : (F,)

    Returns
    -------
    (F, D)
    """
    times, row, s, h = _segments(times, at)
    slopes = np.diff(values, axis=0) / np.diff(times)[:, None]
    velocity = _velocities(slopes, np.diff(times))
    a, b = values[row], values[row + 1]
    va, vb = velocity[row] * h[:, None], velocity[row + 1] * h[:, None]
    s = s[:, None]
    return (
        a * (2 * s**3 - 3 * s**2 + 1)
        + va * (s**3 - 2 * s**2 + s)
        + b * (3 * s**2 - 2 * s**3)
        + vb * (s**3 - s**2)
    )


def _spline_rotations(rotations: np.ndarray, times: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(F, 4) quaternions world_from_cam through rotations (K, 3, 3), by de Casteljau's construction."""
    times, row, s, h = _segments(times, at)
    steps = SO3(np.swapaxes(rotations[:-1], 1, 2) @ rotations[1:]).log()
    velocity = _velocities(steps / np.diff(times)[:, None], np.diff(times))
    third = h[:, None] / 3.0
    q0, q3 = _quaternions(rotations[row]), _quaternions(rotations[row + 1])
    q1 = _quaternions(rotations[row] @ SO3.exp(velocity[row] * third).matrix)
    q2 = _quaternions(rotations[row + 1] @ SO3.exp(-velocity[row + 1] * third).matrix)
    a, b, c = (quaternion_slerp(p, q, s) for p, q in ((q0, q1), (q1, q2), (q2, q3)))
    return quaternion_slerp(quaternion_slerp(a, b, s), quaternion_slerp(b, c, s), s)


def _segments(times: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Times; for each of `at` the row of the pose before, the share of the way to the next, and its duration."""
    times, at = np.asarray(times, np.float64), np.asarray(at, np.float64)
    if len(times) < 2 or np.any(np.diff(times) <= 0):
        raise ValueError(f"times: expected two or more, ascending, got {times[:6].tolist()}")
    row = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    duration = times[row + 1] - times[row]
    return times, row, np.clip((at - times[row]) / duration, 0.0, 1.0), duration


def _velocities(slopes: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """(K, D) velocities at the poses from the mean ones (K - 1, D) between them."""
    before, after = durations[:-1, None], durations[1:, None]
    inner = (after * slopes[:-1] + before * slopes[1:]) / (before + after)
    still = np.all(slopes == 0.0, axis=1)
    inner[np.logical_or(still[:-1], still[1:])] = 0.0
    # At the ends the parabola goes on: its mean velocity over the segment is the slope.
    first = 2 * slopes[0] - inner[0] if len(inner) and not still[0] else slopes[0]
    last = 2 * slopes[-1] - inner[-1] if len(inner) and not still[-1] else slopes[-1]
    return np.concatenate([first[None], inner, last[None]])


def _quaternions(rotations: np.ndarray) -> np.ndarray:
    return SO3(rotations).quaternion()


def _matrices(quaternions: np.ndarray) -> np.ndarray:
    return SO3.from_quaternion(quaternions).matrix
