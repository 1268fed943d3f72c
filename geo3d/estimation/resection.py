"""Resection by the direct linear transform: the camera matrix `x ~ P X`, P (3, 4), from at least six points, and its
parts `P ~ K [R | t]`.

Points and pixels are normalised first. Hartley and Zisserman, sections 6.2.4 and 7.1.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.estimation.checks import EstimationError, check_pair
from geo3d.estimation.normalization import normalization
from geo3d.geometry import SE3


@dataclass(frozen=True)
class Resection:
    """A camera matrix and its parts."""

    P: np.ndarray  # (3, 4), x ~ P X with positive depth in front, Frobenius norm one
    K: np.ndarray  # (3, 3), upper triangular, positive diagonal, K[2, 2] = 1
    cam_from_world: SE3


def solve_resection(points: np.ndarray, pixels: np.ndarray) -> Resection:
    """Camera matrix, calibration and pose of a pinhole from N >= 6 points, least squares in the algebraic error.

    Parameters
    ----------
    points, pixels : (N, 3), (N, 2)

    Raises
    ------
    ValueError
        If the shapes differ, N < 6, or there are NaN.
    EstimationError
        If the points leave more than one solution (as when they lie on one plane).
    """
    X, x = check_pair(("points", "pixels"), points, pixels, (3, 2), 6)
    centre = X.mean(axis=0)
    spread = float(np.mean(np.linalg.norm(X - centre, axis=1)))
    if not spread > 0:
        raise EstimationError("points: they all coincide; resection needs six that are not on one plane")
    world = np.diag([np.sqrt(3) / spread] * 3 + [1.0])
    world[:3, 3] = -np.sqrt(3) / spread * centre
    n = normalization(x)
    Y, y = np.c_[X, np.ones(len(X))] @ world.T, n.rays(x)
    zero = np.zeros_like(Y)
    rows = np.concatenate([np.c_[zero, -Y, y[:, 1:2] * Y], np.c_[Y, zero, -y[:, :1] * Y]])
    _, s, vt = np.linalg.svd(rows)
    if s[10] < 1e-9 * s[0]:
        raise EstimationError(
            "the points do not determine one camera (on one plane, or on a twisted cubic with it)"
        )
    P = np.linalg.inv(n.matrix) @ vt[11].reshape(3, 4) @ world
    if np.sum(np.c_[X, np.ones(len(X))] @ P[2]) * np.sign(np.linalg.det(P[:, :3])) < 0:
        raise EstimationError(
            "the points lie behind the camera that fits them; check the order of the correspondences"
        )
    P = P * np.sign(np.linalg.det(P[:, :3])) / np.linalg.norm(P)
    K, R = _rq(P[:, :3])
    return Resection(P, K / K[2, 2], SE3(R, np.linalg.solve(K, P[:, 3])))


def _rq(M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper triangular K with positive diagonal and rotation R with M = K R, for det M > 0."""
    q, r = np.linalg.qr(M[::-1].T)
    K, R = r.T[::-1, ::-1], q.T[::-1]
    signs = np.sign(np.diag(K))
    return K * signs, signs[:, None] * R
