"""Pose from N >= 3 points by the globally least object-space error: `sum |(I - d d^T)(R X + t)|^2` over SE(3).

t follows linearly from R, which leaves `r^T Omega r` for the nine entries r of R. As in SQPnP (Terzakis and Lourakis,
"A consistently fast and globally optimal solution to the perspective-n-point problem", ECCV 2020) the search starts at
the rotations nearest to the eigenvectors of Omega of least eigenvalue, with either sign; from each it descends on
SO(3), here by Newton steps with damping instead of sequential quadratic programs.
"""

import numpy as np

from geo3d.estimation.checks import EstimationError, check_pair, unit_rows
from geo3d.geometry import SE3, SO3, closest_rotation, skew

_STARTS = 5  # eigenvectors tried; more than these lie above any local minimum seen
_GENERATORS = skew(np.eye(3))


def _quadratic(points: np.ndarray, bearings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Omega (9, 9) and T (3, 9) with t = T r."""
    away = np.eye(3) - bearings[:, :, None] * bearings[:, None, :]  # (N, 3, 3)
    lifted = np.einsum("ij,nk->nijk", np.eye(3), points).reshape(-1, 3, 9)  # R X = lifted r
    moved = away @ lifted
    T = -np.linalg.solve(away.sum(axis=0), moved.sum(axis=0))
    residual = moved + away @ T
    return np.einsum("nia,nib->ab", residual, residual), T


def _descend(R: np.ndarray, omega: np.ndarray) -> tuple[np.ndarray, float]:
    cost, damping = float(R.ravel() @ omega @ R.ravel()), 1e-3
    for _ in range(50):
        first = (_GENERATORS @ R).reshape(3, 9)  # dr/dw
        second = (_GENERATORS[:, None] @ _GENERATORS[None] @ R).reshape(3, 3, 9)
        pull = omega @ R.ravel()
        gradient = first @ pull
        hessian = first @ omega @ first.T + 0.5 * (second + second.transpose(1, 0, 2)) @ pull
        least = float(np.linalg.eigvalsh(hessian)[0])
        hessian += (damping * np.trace(first @ omega @ first.T) + max(0.0, -1.1 * least)) * np.eye(3)
        if np.linalg.norm(gradient) <= 1e-15 * (1e-30 + np.trace(omega)):
            break
        trial = SO3.exp(-np.linalg.solve(hessian, gradient)).matrix @ R
        trial_cost = float(trial.ravel() @ omega @ trial.ravel())
        if trial_cost < cost:
            R, cost, damping = trial, trial_cost, damping * 0.01
        elif damping > 1e3:
            break
        else:
            damping = max(10 * damping, 1e-6)
    return R, cost


def solve_sqpnp(points: np.ndarray, bearings: np.ndarray) -> SE3:
    """The pose `cam_from_world` of least object-space error; no outliers, any field of view, planes are fine.

    Parameters
    ----------
    points, bearings : (N, 3), (N, 3)
        World points and the rays that see them, N >= 3 (with three the pose is one of up to four).

    Raises
    ------
    ValueError
        If the shapes differ, N < 3, or there are NaN.
    EstimationError
        If no minimum has the points in front, or all rays are parallel.
    """
    X, d = check_pair(("points", "bearings"), points, bearings, (3, 3), 3)
    d = unit_rows("bearings", d)
    centre = X.mean(axis=0)
    scale = float(np.sqrt(np.mean(np.sum((X - centre) ** 2, axis=1)))) or 1.0
    if np.linalg.matrix_rank(d, tol=1e-9) < 2:
        raise EstimationError("bearings: all parallel; the distance of the camera is not determined")
    Y = (X - centre) / scale
    omega, T = _quadratic(Y, d)
    _, vectors = np.linalg.eigh(omega)
    best, best_cost = None, np.inf
    for k in range(_STARTS):
        for sign in (1.0, -1.0):
            R, cost = _descend(closest_rotation(sign * vectors[:, k].reshape(3, 3)), omega)
            t = T @ R.ravel()
            if cost < best_cost and np.sum(d * (Y @ R.T + t)) > 0:
                best, best_cost = SE3(R, scale * t - R @ centre), cost
    if best is None:
        raise EstimationError(
            f"no pose has the {len(X)} points in front of the camera; check the correspondences"
        )
    return best
