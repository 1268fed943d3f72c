"""Similarity of the plane from corresponding pixels: `x2 = s R x1 + t`, robust.

With pixels as complex numbers, `z2 = a z1 + b`: two points give it exactly, `a = (w2 - w1) / (z2 - z1)`, and more the
weighted least squares in closed form. Residuals are transfer errors in pixels of the second view.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.estimation.checks import check_pair
from geo3d.estimation.ransac import RansacOptions, ransac
from geo3d.estimation.scores import polynomial_weights, score_coefficients
from geo3d.estimation.transfer import transfer_costs, transfer_squared


@dataclass(frozen=True)
class Similarity2dResult:
    """A similarity of the plane and what it rests on.

    Attributes
    ----------
    matrix : (3, 3)
        `[[p, -q, t_x], [q, p, t_y], [0, 0, 1]]`; the scale is `hypot(p, q)`, the turn `atan2(q, p)`.
    inliers : (N,) bool
        Transfer error in view 2 below the threshold.
    score : float
        Sum over the correspondences of 1 - rho, in [0, N]: higher is better.
    iterations : int
        Samples drawn.
    """

    matrix: np.ndarray
    inliers: np.ndarray
    score: float
    iterations: int


def solve_similarity_2d(x1: np.ndarray, x2: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Similarity (3, 3) of least sum of w |s R x1 + t - x2|^2.

    Parameters
    ----------
    x1, x2 : (N, 2)
        Corresponding pixels, N >= 2, not all in one place.
    weights : (N,), optional
        One each by default.

    Raises
    ------
    ValueError
        If the shapes differ, N < 2, or there are NaN.

    Examples
    --------
    >>> solve_similarity_2d([[0, 0], [1, 0]], [[5, 0], [5, 2]]).round(9).tolist()
    [[0.0, -2.0, 5.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    x1, x2 = check_pair(("x1", "x2"), x1, x2, (2, 2), 2)
    w = np.ones(len(x1)) if weights is None else np.asarray(weights, np.float64)
    a, b = _fit(_complex(x1), _complex(x2), w)
    return _rows(np.array([a]), np.array([b]))[0].reshape(3, 3)


def estimate_similarity_2d(
    x1: np.ndarray, x2: np.ndarray, options: RansacOptions | None = None
) -> Similarity2dResult:
    """Similarity of the plane from correspondences with outliers.

    Parameters
    ----------
    x1, x2 : (N, 2)
        Corresponding pixels, N >= 2.
    options : RansacOptions, optional
        `max_error_px` bounds the distance of the transferred `x1` from `x2`.

    Raises
    ------
    ValueError
        If the shapes differ, N < 2, or there are NaN.
    EstimationError
        If no similarity was found.
    """
    options = options or RansacOptions()
    x1, x2 = check_pair(("x1", "x2"), x1, x2, (2, 2), 2)
    estimator = Similarity2dEstimator(x1, x2, options.score, options.max_error_px)
    found = ransac(estimator, options)
    return Similarity2dResult(
        found.model.reshape(3, 3), found.inliers, len(x1) - found.cost, found.iterations
    )


class Similarity2dEstimator:
    """The verbs of `ransac.Estimator`; a model is the matrix (9,)."""

    sample_size = 2

    def __init__(self, x1: np.ndarray, x2: np.ndarray, score: str, max_error_px: float):
        self.z1, self.z2 = _complex(x1), _complex(x2)
        self.data = np.ascontiguousarray(np.concatenate([x1, x2], axis=1).T)
        self.coefficients = score_coefficients(score)
        self.max_error = max_error_px
        self.size = len(x1)

    def solve(self, samples: np.ndarray) -> np.ndarray:
        z, w = self.z1[samples], self.z2[samples]
        good = (z[:, 0] != z[:, 1]) & (w[:, 0] != w[:, 1])
        z, w = z[good], w[good]
        a = (w[:, 1] - w[:, 0]) / (z[:, 1] - z[:, 0])
        return _rows(a, w[:, 0] - a * z[:, 0])

    def costs(self, models: np.ndarray, bound: float) -> np.ndarray:
        return transfer_costs(models, self.data, self.coefficients, self.max_error, bound)

    def squared_residuals(self, model: np.ndarray) -> np.ndarray:
        return transfer_squared(model, self.data) / self.max_error**2

    def escapes(self, model: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.zeros((0, 9))

    def refine(self, model: np.ndarray, iterations: int, tightness: float = 1.0) -> np.ndarray:
        """Reweighted least squares, kept as long as the cost falls."""
        limit = tightness * self.max_error
        cost = float(transfer_costs(model[None], self.data, self.coefficients, limit, np.inf)[0])
        for _ in range(iterations):
            squared = transfer_squared(model, self.data) / limit**2
            weights = polynomial_weights(self.coefficients, squared)
            if np.count_nonzero(weights) < self.sample_size:
                break
            a, b = _fit(self.z1, self.z2, weights)
            trial = _rows(np.array([a]), np.array([b]))[0]
            trial_cost = float(transfer_costs(trial[None], self.data, self.coefficients, limit, np.inf)[0])
            if not trial_cost < cost:
                break
            done = cost - trial_cost < 1e-9 * cost
            model, cost = trial, trial_cost
            if done:
                break
        return model


def _complex(x: np.ndarray) -> np.ndarray:
    return x[:, 0] + 1j * x[:, 1]


def _fit(z: np.ndarray, w: np.ndarray, weights: np.ndarray) -> tuple[complex, complex]:
    """a and b of the least sum of weights |a z + b - w|^2; no turn or scale where the points are in one place."""
    total = weights.sum()
    middle_z, middle_w = (weights @ z) / total, (weights @ w) / total
    z, w = z - middle_z, w - middle_w
    spread = float(weights @ np.abs(z) ** 2)
    a = complex(weights @ (z.conj() * w)) / spread if spread > 0 else 1.0 + 0.0j
    return a, middle_w - a * middle_z


def _rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrices (K, 9) of z2 = a z1 + b."""
    zero, one = np.zeros(len(a)), np.ones(len(a))
    (p, q), (x, y) = (np.real(a), np.imag(a)), (np.real(b), np.imag(b))
    return np.stack([p, -q, x, q, p, y, zero, zero, one], axis=1)
