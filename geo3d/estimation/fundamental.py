"""Fundamental matrix `x2^T F x1 = 0` from corresponding pixels with outliers.

Seven-point samples (`seven_point`), Sampson residuals in pixels (`sampson`), refinement over the seven degrees of
freedom of a matrix of rank two. Where one plane holds most of the inliers, F is completed by plane and parallax
(DEGENSAC: Chum, Werner and Matas, "Two-view geometry estimation unaffected by a dominant plane", CVPR 2005).
"""

from dataclasses import dataclass

import numpy as np

from geo3d.estimation.checks import check_pair
from geo3d.estimation.homography_four_point import four_point_homographies
from geo3d.estimation.normalization import normalization
from geo3d.estimation.ransac import RansacOptions, draw_samples, ransac
from geo3d.estimation.sampson import FUNDAMENTAL, refine_sampson, sampson_costs, sampson_squared
from geo3d.estimation.scores import score_coefficients
from geo3d.estimation.seven_point import seven_point_matrices
from geo3d.estimation.transfer import refine_transfer, transfer_costs, transfer_squared
from geo3d.geometry import skew

_PLANE_SAMPLES, _PARALLAX_SAMPLES = 64, 256
_DOMINANT = 0.5  # share of the inliers on one plane from which on F is completed by plane and parallax
_DEGENERATE = 0.9  # share from which on F is reported as degenerate


@dataclass(frozen=True)
class FundamentalResult:
    """A fundamental matrix and what it rests on.

    Attributes
    ----------
    F : (3, 3)
        Rank two, Frobenius norm one, `x2^T F x1 = 0` on homogeneous pixels.
    inliers : (N,) bool
        Sampson error below the threshold.
    score : float
        Sum over the correspondences of 1 - rho, in [0, N]: higher is better.
    iterations : int
        Samples drawn.
    degeneracy : {None, "plane"}
        "plane": one homography explains the inliers (a plane, or no translation); F is one of many.
    """

    F: np.ndarray
    inliers: np.ndarray
    score: float
    iterations: int
    degeneracy: str | None


def _state(matrix: np.ndarray) -> np.ndarray:
    """U, V, sigma (19,) of `F = U diag(1, sigma, 0) V^T` up to scale, with U, V rotations."""
    u, s, vt = np.linalg.svd(matrix.reshape(3, 3))
    u[:, 2] *= np.sign(np.linalg.det(u))
    vt[2] *= np.sign(np.linalg.det(vt))
    return np.concatenate([u.ravel(), vt.T.ravel(), [s[1] / s[0]]])


class FundamentalEstimator:
    """The verbs of `ransac.Estimator`; a model is F (9,) of the normalised pixels."""

    sample_size = 7

    def __init__(self, x1: np.ndarray, x2: np.ndarray, score: str, max_error_px: float):
        self.n1, self.n2 = normalization(x1), normalization(x2)
        self.d1, self.d2 = self.n1.rays(x1), self.n2.rays(x2)
        self.size = len(x1)
        self.data = np.zeros((18, self.size))
        self.data[:3], self.data[9:12] = self.d1.T, self.d2.T
        self.data[3] = self.data[6] = self.n1.scale
        self.data[12] = self.data[15] = self.n2.scale
        self.coefficients = score_coefficients(score)
        self.max_error_px = max_error_px

    def solve(self, samples: np.ndarray) -> np.ndarray:
        return seven_point_matrices(self.d1, self.d2, samples)

    def costs(self, models: np.ndarray, bound: float) -> np.ndarray:
        return sampson_costs(models, self.data, self.coefficients, self.max_error_px, bound)

    def squared_residuals(self, model: np.ndarray) -> np.ndarray:
        return sampson_squared(model, self.data) / self.max_error_px**2

    def dominant_plane(
        self, inliers: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The homography (9,) that most inliers agree with, and which of all correspondences (N,) agree."""
        rows = np.flatnonzero(inliers)
        if len(rows) < 5:
            return None
        samples = rows[draw_samples(rng, np.full(_PLANE_SAMPLES, len(rows)), 4)]
        planes = four_point_homographies(self.d1, self.d2, samples)
        if not len(planes):
            return None
        data = np.ascontiguousarray(np.concatenate([self.d1[:, :2], self.d2[:, :2]], axis=1).T)
        error = self.max_error_px * self.n2.scale
        costs = transfer_costs(planes, np.ascontiguousarray(data[:, rows]), self.coefficients, error, np.inf)
        plane = refine_transfer(planes[int(np.argmin(costs))], data, self.coefficients, error, 5)
        return plane, transfer_squared(plane, data) < error**2

    def escapes(self, model: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """DEGENSAC: where a plane holds most inliers, F = [e]x H with the epipole e from two points off the plane."""
        inliers = self.squared_residuals(model) < 1
        found = self.dominant_plane(inliers, rng)
        if found is None:
            return np.zeros((0, 9))
        plane, on_plane = found
        off = np.flatnonzero(~on_plane)
        if np.count_nonzero(inliers & on_plane) < _DOMINANT * np.count_nonzero(inliers) or len(off) < 2:
            return np.zeros((0, 9))
        pairs = off[draw_samples(rng, np.full(_PARALLAX_SAMPLES, len(off)), 2)]
        H = plane.reshape(3, 3)
        lines = np.cross(self.d2[pairs], self.d1[pairs] @ H.T)  # (B, 2, 3), through q and H p: they meet in e
        e = np.cross(lines[:, 0], lines[:, 1])
        size = np.linalg.norm(e, axis=1)
        e = e[size > 1e-12] / size[size > 1e-12, None]
        F = skew(e) @ H
        return np.ascontiguousarray((F / np.linalg.norm(F, axis=(1, 2), keepdims=True)).reshape(-1, 9))

    def refine(self, model: np.ndarray, iterations: int, tightness: float = 1.0) -> np.ndarray:
        state = refine_sampson(
            FUNDAMENTAL,
            _state(model),
            self.data,
            self.coefficients,
            tightness * self.max_error_px,
            iterations,
        )
        u, v = state[:9].reshape(3, 3), state[9:18].reshape(3, 3)
        return ((u * [1.0, state[18], 0.0]) @ v.T).ravel()

    def matrix(self, model: np.ndarray) -> np.ndarray:
        """F (3, 3) of the pixels as they were given, Frobenius norm one."""
        F = self.n2.matrix.T @ model.reshape(3, 3) @ self.n1.matrix
        return F / np.linalg.norm(F)


def estimate_fundamental(
    x1: np.ndarray, x2: np.ndarray, options: RansacOptions | None = None
) -> FundamentalResult:
    """Fundamental matrix from correspondences with outliers.

    Parameters
    ----------
    x1, x2 : (N, 2)
        Corresponding pixels, N >= 7.
    options : RansacOptions, optional
        `max_error_px` bounds the Sampson error.

    Raises
    ------
    ValueError
        If the shapes differ, N < 7, or there are NaN.
    EstimationError
        If no matrix was found.
    """
    options = options or RansacOptions()
    x1, x2 = check_pair(("x1", "x2"), x1, x2, (2, 2), 7)
    estimator = FundamentalEstimator(x1, x2, options.score, options.max_error_px)
    found = ransac(estimator, options)
    plane = estimator.dominant_plane(found.inliers, np.random.default_rng(options.seed))
    degeneracy = None
    if plane is not None:
        share = np.count_nonzero(plane[1] & found.inliers) / np.count_nonzero(found.inliers)
        degeneracy = "plane" if share >= _DEGENERATE else None
    F, score = estimator.matrix(found.model), len(x1) - found.cost
    return FundamentalResult(F, found.inliers, score, found.iterations, degeneracy)
