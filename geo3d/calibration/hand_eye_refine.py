"""Hand-eye calibration refined: X and Z together, against poses of the board or against its corners.

    P_i = X^-1 L_i^-1 Z      the predicted `cam_from_board`; L_i of the robot

    poses:    sum |log(R_Pi R_Ci^T)|^2 / s_r^2 + |t_Pi - t_Ci|^2 / s_t^2
    corners:  sum rho(|project(P_i p_k) - x_ik|^2)

s_r and s_t, radians and metres, follow from the residuals themselves. X and Z step as `R <- exp(w) R, t <- t + d`.

Deviations are those of the jackknife over whole poses (Efron 1982, chapter 3): how far X and Z move, by one step of
Newton's, when pose i is left out, `(H - H_i)^-1 g_i`. What a robot is off moves all corners of a photo together and
turns and shifts the board together, so that the residuals of one pose do not count one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from geo3d.calibration.board_fit import Observations
from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3, skew
from geo3d.optim import DenseProblem, LMOptions, RobustLoss, levenberg_marquardt

_OPTIONS = LMOptions(max_iterations=100, function_tolerance=1e-14, parameter_tolerance=0.0)
_SINGULAR = 1e12  # condition of what the poses but one determine


@dataclass(frozen=True, eq=False)
class Refined:
    """X and Z at their minimum.

    Attributes
    ----------
    X, Z : SE3
    X_std, Z_std : (6,) float64
        Deviations of rotation (radians) and translation (metres); infinite if without one of the poses the others do
        not determine X and Z (as with three poses).
    """

    X: SE3
    Z: SE3
    X_std: np.ndarray
    Z_std: np.ndarray


def predicted_board(left: SE3, X: SE3, Z: SE3) -> SE3:
    """`cam_from_board` (N) of each pose of the robot.

    Parameters
    ----------
    left : SE3
        L, (N).
    X, Z : SE3
    """
    return X.inverse() @ (left.inverse() @ Z)


def pose_residuals(left: SE3, right: SE3, X: SE3, Z: SE3) -> np.ndarray:
    """(N, 6) rotation (radians) and translation (metres) of the predicted less the seen `cam_from_board`.

    Parameters
    ----------
    left, right : SE3
        L and C, each (N).
    X, Z : SE3
    """
    seen = predicted_board(left, X, Z)
    turn = SO3(seen.rotation @ np.swapaxes(right.rotation, 1, 2)).log()
    return np.concatenate([turn, seen.translation - right.translation], axis=1)


def refine_on_poses(
    left: SE3, right: SE3, X: SE3, Z: SE3, scales: tuple[float, float], loss: RobustLoss
) -> Refined:
    """Least squares over X and Z of the poses of the board.

    Parameters
    ----------
    left, right : SE3
        L and C, each (N).
    X, Z : SE3
        The start.
    scales : (float, float)
        Deviations s_r, radians, and s_t, metres, of one coordinate.
    loss : RobustLoss
        Of the residual of a pose in deviations.
    """
    weight = 1 / np.repeat(scales, 3)

    def function(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r, J = linearize_poses(left, right, *_unpack(x))
        return r * weight, J * weight[:, None]

    return _minimise(function, X, Z, np.arange(len(left.translation)), loss)


def refine_on_corners(
    left: SE3, observations: Observations, camera: Camera, X: SE3, Z: SE3, loss: RobustLoss
) -> Refined:
    """Least squares over X and Z of the corners of the board.

    Parameters
    ----------
    left : SE3
        L, (V).
    observations : Observations
        Of V photos.
    camera : Camera
    X, Z : SE3
        The start.
    loss : RobustLoss
        Of the distance in pixels.
    """

    def function(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return linearize_corners(left, observations, camera, *_unpack(x))

    return _minimise(function, X, Z, observations.view, loss)


def linearize_poses(left: SE3, right: SE3, X: SE3, Z: SE3) -> tuple[np.ndarray, np.ndarray]:
    """`pose_residuals` (N, 6) and their derivative (N, 6, 12) by X and Z.

    Parameters
    ----------
    left, right : SE3
        L and C, each (N).
    X, Z : SE3
    """
    r, J = pose_residuals(left, right, X, Z), d_predicted(left, X, Z)
    J[:, :3] = SO3.left_jacobian_inverse(r[:, :3]) @ J[:, :3]
    return r, J


def linearize_corners(
    left: SE3, observations: Observations, camera: Camera, X: SE3, Z: SE3
) -> tuple[np.ndarray, np.ndarray]:
    """Projected less observed corners (M, 2) and their derivative (M, 2, 12) by X and Z.

    Parameters
    ----------
    left : SE3
        L, (V).
    observations : Observations
        Of V photos.
    camera : Camera
    X, Z : SE3
    """
    view, board = observations.view, predicted_board(left, X, Z)
    turned = np.einsum("mij,mj->mi", board.rotation[view], observations.points[observations.ids])
    seen = camera.project_with_jacobians(turned + board.translation[view])
    d_pose = np.concatenate([-seen.d_point @ skew(turned), seen.d_point], axis=2)
    return seen.pixels - observations.pixels, d_pose @ d_predicted(left, X, Z)[view]


def d_predicted(left: SE3, X: SE3, Z: SE3) -> np.ndarray:
    """(N, 6, 12) derivative of rotation and translation of `predicted_board` by those of X and of Z.

    Parameters
    ----------
    left : SE3
        L, (N).
    X, Z : SE3
    """
    to_cam = X.rotation.T
    turned = to_cam @ np.swapaxes(left.rotation, 1, 2)
    J = np.zeros((len(turned), 6, 12))
    J[:, :3, :3] = -to_cam
    J[:, :3, 6:9] = J[:, 3:, 9:] = turned
    J[:, 3:, :3] = to_cam @ skew(left.inverse().act(Z.translation) - X.translation)
    J[:, 3:, 3:6] = -to_cam
    return J


def _minimise(
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    X: SE3,
    Z: SE3,
    group: np.ndarray,
    loss: RobustLoss,
) -> Refined:
    """Minimise the rows of `function`, of which those of a `group` (M,), ascending, belong to one pose."""
    problem = DenseProblem(function, _pack(X, Z), loss, _retract)
    levenberg_marquardt(problem, _OPTIONS)
    r, J = function(problem.x)
    root = np.sqrt(loss.weight(np.einsum("mk,mk->m", r, r)))
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    std = _jackknife(root[:, None] * r, root[:, None, None] * J, starts)
    return Refined(*_unpack(problem.x), std[:6], std[6:])


def _jackknife(r: np.ndarray, J: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Deviations (12,) from residuals (M, k) and derivatives (M, k, 12); poses begin at `starts`."""
    gradient = np.add.reduceat(np.einsum("mka,mk->ma", J, r), starts)
    hessian = np.add.reduceat(np.einsum("mka,mkb->mab", J, J), starts)
    rest = hessian.sum(axis=0) - hessian
    size = np.sqrt(np.diag(hessian.sum(axis=0)))
    if np.linalg.cond(rest / np.outer(size, size)).max() > _SINGULAR:
        return np.full(J.shape[-1], np.inf)
    moved = np.linalg.solve(rest, gradient[..., None])[..., 0]
    return np.sqrt((1 - 1 / len(starts)) * np.sum(moved**2, axis=0))


def _pack(X: SE3, Z: SE3) -> np.ndarray:
    return np.stack([X.matrix4()[:3], Z.matrix4()[:3]])


def _unpack(x: np.ndarray) -> tuple[SE3, SE3]:
    return SE3(x[0, :, :3], x[0, :, 3]), SE3(x[1, :, :3], x[1, :, 3])


def _retract(x: np.ndarray, step: np.ndarray) -> np.ndarray:
    step = step.reshape(2, 2, 3)
    turned = SO3.exp(step[:, 0]).matrix @ x[..., :3]
    return np.concatenate([turned, x[..., 3:] + step[:, 1, :, None]], axis=2)
