"""Eight-point fundamental or essential matrix: linear in all correspondences, `x2^T F x1 = 0`, N >= 8.

Pixels are normalised first (Hartley, PAMI 1997); rank two is enforced by the nearest singular matrix.
"""

import numpy as np

from geo3d.estimation.checks import EstimationError, check_bearings, check_pair
from geo3d.estimation.normalization import normalization


def _linear(d1: np.ndarray, d2: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    equations = np.einsum("ni,nj->nij", d2, d1).reshape(-1, 9)
    if weights is not None:
        equations = equations * np.sqrt(np.asarray(weights, dtype=np.float64))[:, None]
    _, s, vt = np.linalg.svd(equations, full_matrices=len(equations) < 9)
    if s[7] < 1e-10 * s[0]:
        raise EstimationError(
            "the correspondences do not determine one matrix (on one plane, a pure rotation, or duplicates)"
        )
    return vt[8].reshape(3, 3)


def solve_eight_point(x1: np.ndarray, x2: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Fundamental matrix `x2^T F x1 = 0` from pixels without outliers, least squares in the algebraic error.

    Parameters
    ----------
    x1, x2 : (N, 2)
        Corresponding pixels, N >= 8; normalised here.
    weights : (N,), optional
        Of the squared errors; one each by default.

    Returns
    -------
    (3, 3)
        Of rank two and Frobenius norm one.

    Raises
    ------
    ValueError
        If the shapes differ, N < 8, or there are NaN.
    EstimationError
        If the correspondences leave more than one solution.

    References
    ----------
    Hartley: In defense of the eight-point algorithm. PAMI 19 (6), 1997.
    """
    x1, x2 = check_pair(("x1", "x2"), x1, x2, (2, 2), 8)
    n1, n2 = normalization(x1), normalization(x2)
    u, s, vt = np.linalg.svd(_linear(n1.rays(x1), n2.rays(x2), weights))
    F = n2.matrix.T @ (u * [s[0], s[1], 0.0]) @ vt @ n1.matrix
    return F / np.linalg.norm(F)


def solve_eight_point_essential(
    bearings1: np.ndarray, bearings2: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Essential matrix `d2^T E d1 = 0` from rays without outliers, least squares in the algebraic error.

    Parameters
    ----------
    bearings1, bearings2 : (N, 3)
        Corresponding rays in the frames of the two cameras, of any length, N >= 8; any field of view.
    weights : (N,), optional
        Of the squared errors; one each by default.

    Returns
    -------
    (3, 3)
        With the singular values 1, 1, 0.

    Raises
    ------
    ValueError
        If the shapes differ, N < 8, or there are NaN or rays of length zero.
    EstimationError
        If the correspondences leave more than one solution.

    References
    ----------
    Longuet-Higgins: A computer algorithm for reconstructing a scene from two projections. Nature 293, 1981.
    """
    d1, d2 = check_bearings(bearings1, bearings2, 8)
    u, _, vt = np.linalg.svd(_linear(d1, d2, weights))
    return (u * [1.0, 1.0, 0.0]) @ vt
