"""Relative pose of two calibrated views: `x2 = R x1 + t`, |t| = 1, from corresponding pixels with outliers.

Five-point samples (`five_point`), tangent Sampson residuals in pixels (`sampson`), refinement over SO(3) x S^2, for
any camera model and field of view.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.estimation.checks import check_pair
from geo3d.estimation.degeneracy import relative_pose_degeneracy
from geo3d.estimation.essential import count_in_front, essential_from_pose, in_front
from geo3d.estimation.five_point import five_point_poses
from geo3d.estimation.pixel_rays import PixelRays, pixel_rays, sampson_data
from geo3d.estimation.ransac import RansacOptions, ransac
from geo3d.estimation.sampson import ESSENTIAL, refine_sampson, sampson_costs, sampson_squared
from geo3d.estimation.scores import score_coefficients
from geo3d.geometry import SE3


@dataclass(frozen=True)
class RelativePoseResult:
    """A relative pose and what it rests on.

    Attributes
    ----------
    cam2_from_cam1 : SE3
        Translation of unit length.
    E : (3, 3)
        `[t]x R`.
    inliers : (N,) bool
        Sampson error below the threshold and in front of both cameras.
    score : float
        Sum over the correspondences of 1 - rho, in [0, N]: higher is better.
    iterations : int
        Samples drawn.
    degeneracy : {None, "pure rotation", "plane"}
        "pure rotation": the translation is noise. "plane": all inliers lie on one plane; the pose is one of the two
        that explain it.
    """

    cam2_from_cam1: SE3
    E: np.ndarray
    inliers: np.ndarray
    score: float
    iterations: int
    degeneracy: str | None


def essential_rows(poses: np.ndarray) -> np.ndarray:
    """Essential matrices (K, 9) of poses (K, 12)."""
    (r0, r1, r2), (t0, t1, t2) = (
        poses[:, :9].reshape(-1, 3, 3).transpose(1, 0, 2),
        poses[:, 9:, None].transpose(1, 0, 2),
    )
    return np.concatenate([t1 * r2 - t2 * r1, t2 * r0 - t0 * r2, t0 * r1 - t1 * r0], axis=1)


class RelativePoseEstimator:
    """The verbs of `ransac.Estimator`; a model is R row by row, then t (12,)."""

    sample_size = 5

    def __init__(self, rays1: PixelRays, rays2: PixelRays, score: str, max_error_px: float):
        self.bearings1, self.bearings2 = rays1.bearings, rays2.bearings
        self.data = sampson_data(rays1, rays2)
        self.coefficients = score_coefficients(score)
        self.max_error_px = max_error_px
        self.size = self.data.shape[1]

    def solve(self, samples: np.ndarray) -> np.ndarray:
        return five_point_poses(self.bearings1, self.bearings2, samples)

    def costs(self, models: np.ndarray, bound: float) -> np.ndarray:
        return sampson_costs(essential_rows(models), self.data, self.coefficients, self.max_error_px, bound)

    def squared_residuals(self, model: np.ndarray) -> np.ndarray:
        return sampson_squared(essential_rows(model[None])[0], self.data) / self.max_error_px**2

    def escapes(self, model: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.zeros((0, 12))

    def refine(self, model: np.ndarray, iterations: int, tightness: float = 1.0) -> np.ndarray:
        state = np.concatenate([model, np.zeros(7)])
        max_error = tightness * self.max_error_px
        return refine_sampson(ESSENTIAL, state, self.data, self.coefficients, max_error, iterations)[:12]


def estimate_relative_pose(
    x1: np.ndarray,
    x2: np.ndarray,
    camera1: Camera,
    camera2: Camera,
    options: RansacOptions | None = None,
) -> RelativePoseResult:
    """Relative pose of two calibrated views from correspondences with outliers.

    Parameters
    ----------
    x1, x2 : (N, 2)
        Corresponding pixels, N >= 5; the centre of the top-left pixel is (0.5, 0.5).
    camera1, camera2 : Camera
    options : RansacOptions, optional
        `max_error_px` is a distance in pixels to the epipolar geometry, in either view.

    Raises
    ------
    ValueError
        If the shapes differ, N < 5, or there are NaN or pixels without a ray.
    EstimationError
        If no pose was found.
    """
    options = options or RansacOptions()
    x1, x2 = check_pair(("x1", "x2"), x1, x2, (2, 2), 5)
    rays1, rays2 = pixel_rays("x1", x1, camera1), pixel_rays("x2", x2, camera2)
    estimator = RelativePoseEstimator(rays1, rays2, options.score, options.max_error_px)
    found = ransac(estimator, options)
    # The refined pose may have crossed to another of the four of its matrix: ask all inliers.
    d1, d2 = rays1.bearings[found.inliers], rays2.bearings[found.inliers]
    poses, counts = count_in_front(essential_rows(found.model[None])[0], d1, d2)
    model = found.model if counts.max() == 0 else poses[int(np.argmax(counts))]
    degeneracy = relative_pose_degeneracy(rays1, rays2, found.inliers, options)
    inliers = found.inliers
    if degeneracy != "pure rotation":  # there the side of a point is noise
        inliers = inliers & in_front(model, rays1.bearings, rays2.bearings)
    pose = SE3(model[:9].reshape(3, 3), model[9:])
    score = len(x1) - found.cost
    return RelativePoseResult(pose, essential_from_pose(pose), inliers, score, found.iterations, degeneracy)


def refine_relative_pose(
    cam2_from_cam1: SE3,
    x1: np.ndarray,
    x2: np.ndarray,
    camera1: Camera,
    camera2: Camera,
    max_error_px: float = 4.0,
    score: str = "magsac",
    iterations: int = 50,
) -> SE3:
    """The pose of least `sum rho((Sampson error / max_error_px)^2)` near `cam2_from_cam1`.

    Parameters
    ----------
    cam2_from_cam1 : SE3
        The start; its translation of any length but zero.
    x1, x2 : (N, 2)
        Corresponding pixels, N >= 5; the centre of the top-left pixel is (0.5, 0.5).
    camera1, camera2 : Camera
    max_error_px : float
        Correspondences beyond this Sampson error, in pixels, have no weight.
    score : {"magsac", "msac"}
        The loss rho, as in `RansacOptions`; both are flat beyond `max_error_px`.
    iterations : int
        Largest number of Levenberg-Marquardt steps, refused ones included.

    Returns
    -------
    SE3
        `cam2_from_cam1` with a translation of unit length; its cost is never higher than at the start.

    Raises
    ------
    ValueError
        If the shapes differ, N < 5, there are NaN or pixels without a ray, the translation is zero, or the score has
        another name.

    References
    ----------
    Hartley and Zisserman: Multiple View Geometry, section 11.4 (Sampson error).
    """
    x1, x2 = check_pair(("x1", "x2"), x1, x2, (2, 2), 5)
    norm = float(np.linalg.norm(cam2_from_cam1.translation))
    if not norm > 0:
        raise ValueError("cam2_from_cam1: its translation is zero, expected a direction")
    rays1, rays2 = pixel_rays("x1", x1, camera1), pixel_rays("x2", x2, camera2)
    estimator = RelativePoseEstimator(rays1, rays2, score, max_error_px)
    start = np.concatenate([cam2_from_cam1.rotation.ravel(), cam2_from_cam1.translation / norm])
    model = estimator.refine(start, iterations)
    return SE3(model[:9].reshape(3, 3), model[9:])
