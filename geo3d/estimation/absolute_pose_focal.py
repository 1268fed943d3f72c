"""Absolute pose and focal length of a pinhole: `pixel = c + f (x, y) / z`, `(x, y, z) = R X + t`, c known.

P4Pf samples (`p4pf`), reprojection residuals in pixels, reweighted Levenberg-Marquardt over SE(3) and log f.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.estimation.checks import check_pair
from geo3d.estimation.p4pf import p4pf_models
from geo3d.estimation.ransac import RansacOptions, ransac
from geo3d.estimation.reprojection import reprojection_costs, reprojection_squared
from geo3d.estimation.scores import polynomial_weights, score_coefficients
from geo3d.geometry import SE3, SO3, closest_rotation, skew


@dataclass(frozen=True)
class AbsolutePoseFocalResult:
    """A pose with a focal length; see `AbsolutePoseResult` for the other fields."""

    cam_from_world: SE3
    focal: float  # pixels
    inliers: np.ndarray  # (N,) bool
    score: float
    iterations: int
    degeneracy: str | None  # "plane facing the camera": focal length and distance cannot be told apart


class AbsolutePoseFocalEstimator:
    """The verbs of `ransac.Estimator`; a model is R row by row, t, f (13,), of scaled points and pixels."""

    sample_size = 4

    def __init__(self, points: np.ndarray, centred: np.ndarray, score: str, max_error_px: float):
        self.centre = np.median(points, axis=0)
        self.scale = float(np.median(np.linalg.norm(points - self.centre, axis=1))) or 1.0
        self.pixel_scale = float(np.median(np.linalg.norm(centred, axis=1))) or 1.0
        self.points = np.ascontiguousarray((points - self.centre) / self.scale)
        self.pixels = np.ascontiguousarray(centred / self.pixel_scale)
        self.size = len(points)
        self.data = np.zeros((12, self.size))
        self.data[:3] = self.points.T
        self.data[3] = self.data[7] = self.data[11] = 1.0  # residual (x - u z, y - v z) / z
        self.data[5], self.data[8] = -self.pixels.T
        self.coefficients = score_coefficients(score)
        self.max_error = max_error_px / self.pixel_scale

    @staticmethod
    def _matrices(models: np.ndarray) -> np.ndarray:
        """diag(f, f, 1) (R, t) of models (K, 13), as the poses (K, 12) of the residual's kernels."""
        out = models[:, :12].copy()
        out[:, [0, 1, 2, 3, 4, 5, 9, 10]] *= models[:, 12:]
        return out

    def solve(self, samples: np.ndarray) -> np.ndarray:
        return p4pf_models(self.points, self.pixels, samples)

    def costs(self, models: np.ndarray, bound: float) -> np.ndarray:
        return reprojection_costs(self._matrices(models), self.data, self.coefficients, self.max_error, bound)

    def squared_residuals(self, model: np.ndarray) -> np.ndarray:
        return reprojection_squared(self._matrices(model[None])[0], self.data) / self.max_error**2

    def _normal_equations(self, model: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """J^T W J (7, 7) and J^T W r for rotation, translation, log f."""
        near = np.flatnonzero(s < 1)
        weight = polynomial_weights(self.coefficients, s[near])
        turned = self.points[near] @ model[:9].reshape(3, 3).T
        q = turned + model[9:12]
        f = model[12]
        seen = f * q[:, :2] / q[:, 2:]
        by_q = np.zeros((len(near), 2, 3))
        by_q[:, 0, 0] = by_q[:, 1, 1] = f / q[:, 2]
        by_q[:, :, 2] = -seen / q[:, 2:]
        J = np.concatenate([-by_q @ skew(turned), by_q, seen[:, :, None]], axis=2).reshape(-1, 7)
        weighted = J * np.repeat(weight, 2)[:, None]
        return J.T @ weighted, weighted.T @ (seen - self.pixels[near]).ravel()

    def escapes(self, model: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.zeros((0, 13))

    def _cost(self, model: np.ndarray, tightness: float) -> float:
        limit = tightness * self.max_error
        return float(
            reprojection_costs(self._matrices(model[None]), self.data, self.coefficients, limit, np.inf)[0]
        )

    def refine(self, model: np.ndarray, iterations: int, tightness: float = 1.0) -> np.ndarray:
        model = model.copy()
        model[:9] = closest_rotation(model[:9].reshape(3, 3)).ravel()
        cost, damping = self._cost(model, tightness), 1e-4
        for _ in range(iterations):
            H, g = self._normal_equations(model, self.squared_residuals(model) / tightness**2)
            diagonal = np.diag(H)
            if not diagonal.sum() > 0:
                break
            step = np.linalg.solve(H + damping * np.diag(diagonal + 1e-3 * diagonal.mean()), -g)
            rotation = SO3.exp(step[:3]).matrix @ model[:9].reshape(3, 3)
            trial = np.concatenate([rotation.ravel(), model[9:12] + step[3:6], [model[12] * np.exp(step[6])]])
            trial_cost = self._cost(trial, tightness)
            if trial_cost < cost:
                done = cost - trial_cost < 1e-7 * cost
                model, cost, damping = trial, trial_cost, max(0.1 * damping, 1e-10)
                if done:
                    break
            elif damping > 1e6:
                break
            else:
                damping *= 10
        return model

    def pose(self, model: np.ndarray) -> tuple[SE3, float]:
        """Pose and focal length of the world and the pixels as they were given."""
        rotation = model[:9].reshape(3, 3)
        return SE3(rotation, self.scale * model[9:12] - rotation @ self.centre), model[12] * self.pixel_scale


def estimate_absolute_pose_focal(
    points: np.ndarray,
    pixels: np.ndarray,
    principal_point: np.ndarray | tuple[float, float],
    options: RansacOptions | None = None,
) -> AbsolutePoseFocalResult:
    """Pose and focal length of an undistorted view from 2D-3D correspondences with outliers.

    Parameters
    ----------
    points, pixels : (N, 3), (N, 2)
        N >= 4 (with four, the solution is one of up to eight).
    principal_point : (2,)
        Pixels; the middle of the photo if nothing better is known.
    options : RansacOptions, optional

    Raises
    ------
    ValueError
        If the shapes differ, N < 4, or there are NaN.
    EstimationError
        If no pose was found, as when all points lie on a plane that faces the camera.
    """
    options = options or RansacOptions()
    points, pixels = check_pair(("points", "pixels"), points, pixels, (3, 2), 4)
    centre = np.asarray(principal_point, dtype=np.float64)
    if centre.shape != (2,) or not np.isfinite(centre).all():
        raise ValueError(f"principal_point: expected two finite numbers, got {principal_point!r}")
    estimator = AbsolutePoseFocalEstimator(points, pixels - centre, options.score, options.max_error_px)
    found = ransac(estimator, options)
    pose, focal = estimator.pose(found.model)
    H, _ = estimator._normal_equations(found.model, estimator.squared_residuals(found.model))
    spread = np.sqrt(np.diag(H))
    least = float(np.linalg.eigvalsh(H / np.outer(spread, spread))[0])
    degeneracy = "plane facing the camera" if least < 1e-7 else None
    score = len(points) - found.cost
    return AbsolutePoseFocalResult(pose, focal, found.inliers, score, found.iterations, degeneracy)


def solve_p4pf(points: np.ndarray, pixels: np.ndarray) -> list[tuple[SE3, float]]:
    """Poses and focal lengths of a pinhole that sees four points; on one plane, unless it faces the camera, or not.

    Parameters
    ----------
    points : (4, 3)
    pixels : (4, 2)
        With the principal point taken off.

    Returns
    -------
    list of (SE3, float)
        At most eight `cam_from_world` with their focal length, all points in front, each the least squared
        reprojection error nearby (four points are one equation more than needed).

    Raises
    ------
    ValueError
        If there are not four rows, or NaN.
    """
    points, pixels = check_pair(("points", "pixels"), points, pixels, (3, 2), 4)
    if len(points) != 4:
        raise ValueError(f"points, pixels: expected exactly 4 rows, got {len(points)}")
    size = float(np.abs(pixels).max()) or 1.0
    estimator = AbsolutePoseFocalEstimator(points, pixels, "msac", 10.0 * size)
    return [estimator.pose(estimator.refine(m, 20)) for m in estimator.solve(np.arange(4)[None])]
