"""Homography `x2 ~ H x1` from corresponding pixels: linear (DLT) and robust.

Four-point samples (`homography_four_point`); residuals are transfer errors in pixels of the second view,
`r = pi(H x1) - x2`; points that H sends behind the plane at infinity count as outliers.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.estimation.checks import EstimationError, check_pair
from geo3d.estimation.homography_four_point import four_point_homographies
from geo3d.estimation.normalization import normalization
from geo3d.estimation.ransac import RansacOptions, ransac
from geo3d.estimation.scores import score_coefficients
from geo3d.estimation.transfer import refine_transfer, transfer_costs, transfer_squared


@dataclass(frozen=True)
class HomographyResult:
    """A homography and what it rests on.

    Attributes
    ----------
    H : (3, 3)
        Frobenius norm one, `w > 0` at the inliers.
    inliers : (N,) bool
        Transfer error in view 2 below the threshold.
    score : float
        Sum over the correspondences of 1 - rho, in [0, N]: higher is better.
    iterations : int
        Samples drawn.
    degeneracy : {None, "line"}
        "line": the inliers lie on one line, and H is one of many.
    """

    H: np.ndarray
    inliers: np.ndarray
    score: float
    iterations: int
    degeneracy: str | None


def solve_homography(x1: np.ndarray, x2: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Homography `x2 ~ H x1` from pixels without outliers: the normalised DLT, exact for four.

    Parameters
    ----------
    x1, x2 : (N, 2)
        Corresponding pixels, N >= 4.
    weights : (N,), optional
        Of the squared algebraic errors; one each by default.

    Returns
    -------
    (3, 3)
        Of Frobenius norm one, `w > 0` at the points in the mean.

    Raises
    ------
    ValueError
        If the shapes differ, N < 4, or there are NaN.
    EstimationError
        If the points leave more than one solution (three of four in line).

    References
    ----------
    Hartley and Zisserman: Multiple View Geometry, algorithm 4.2.
    """
    x1, x2 = check_pair(("x1", "x2"), x1, x2, (2, 2), 4)
    n1, n2 = normalization(x1), normalization(x2)
    p, q = n1.rays(x1), n2.rays(x2)
    zero = np.zeros_like(p)
    rows = np.concatenate(
        [np.concatenate([zero, -p, q[:, 1:2] * p], axis=1), np.concatenate([p, zero, -q[:, :1] * p], axis=1)]
    )
    if weights is not None:
        rows *= np.sqrt(np.tile(np.asarray(weights, dtype=np.float64), 2))[:, None]
    _, s, vt = np.linalg.svd(rows, full_matrices=len(rows) < 9)
    if s[7] < 1e-10 * s[0]:
        raise EstimationError(
            "the points do not determine one homography (in line, or duplicates); add points"
        )
    H = np.linalg.inv(n2.matrix) @ vt[8].reshape(3, 3) @ n1.matrix
    H /= np.linalg.norm(H)
    depth = H[2, :2] @ x1.T + H[2, 2]
    return H if np.sum(depth) > 0 else -H


class HomographyEstimator:
    """The verbs of `ransac.Estimator`; a model is H (9,) between the normalised pixels."""

    sample_size = 4

    def __init__(self, x1: np.ndarray, x2: np.ndarray, score: str, max_error_px: float):
        self.n1, self.n2 = normalization(x1), normalization(x2)
        self.d1, self.d2 = self.n1.rays(x1), self.n2.rays(x2)
        self.data = np.ascontiguousarray(np.concatenate([self.d1[:, :2], self.d2[:, :2]], axis=1).T)
        self.coefficients = score_coefficients(score)
        self.max_error = max_error_px * self.n2.scale
        self.size = len(x1)

    def solve(self, samples: np.ndarray) -> np.ndarray:
        return four_point_homographies(self.d1, self.d2, samples)

    def costs(self, models: np.ndarray, bound: float) -> np.ndarray:
        return transfer_costs(models, self.data, self.coefficients, self.max_error, bound)

    def squared_residuals(self, model: np.ndarray) -> np.ndarray:
        return transfer_squared(model, self.data) / self.max_error**2

    def escapes(self, model: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.zeros((0, 9))

    def refine(self, model: np.ndarray, iterations: int, tightness: float = 1.0) -> np.ndarray:
        return refine_transfer(model, self.data, self.coefficients, tightness * self.max_error, iterations)

    def matrix(self, model: np.ndarray) -> np.ndarray:
        """H (3, 3) of the pixels as they were given, Frobenius norm one."""
        H = np.linalg.inv(self.n2.matrix) @ model.reshape(3, 3) @ self.n1.matrix
        return H / np.linalg.norm(H)


def estimate_homography(
    x1: np.ndarray, x2: np.ndarray, options: RansacOptions | None = None
) -> HomographyResult:
    """Homography from correspondences with outliers.

    Parameters
    ----------
    x1, x2 : (N, 2)
        Corresponding pixels, N >= 4.
    options : RansacOptions, optional
        `max_error_px` bounds the distance of `H x1` from `x2`.

    Raises
    ------
    ValueError
        If the shapes differ, N < 4, or there are NaN.
    EstimationError
        If no homography was found.
    """
    options = options or RansacOptions()
    x1, x2 = check_pair(("x1", "x2"), x1, x2, (2, 2), 4)
    estimator = HomographyEstimator(x1, x2, options.score, options.max_error_px)
    found = ransac(estimator, options)
    on = estimator.d1[found.inliers, :2]
    spread = np.linalg.svd(on - on.mean(axis=0), compute_uv=False)
    degeneracy = "line" if spread[1] < 1e-4 * spread[0] else None
    H = estimator.matrix(found.model)
    return HomographyResult(H, found.inliers, len(x1) - found.cost, found.iterations, degeneracy)
