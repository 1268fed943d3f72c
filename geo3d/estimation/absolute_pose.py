"""Absolute pose of a calibrated view: `x_cam = R X + t` from world points and pixels with outliers.

P3P samples (`p3p`), reprojection residuals in pixels (`reprojection`), refinement over SE(3), for any camera model and
field of view. Inside, the world is centred on the points and scaled to their spread, so that coordinates of thousands
of metres (georeferenced worlds) lose no digits.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.estimation.checks import check_pair
from geo3d.estimation.p3p import p3p_poses
from geo3d.estimation.pixel_rays import PixelRays, pixel_rays
from geo3d.estimation.ransac import RansacOptions, ransac
from geo3d.estimation.reprojection import refine_reprojection, reprojection_costs, reprojection_squared
from geo3d.estimation.scores import score_coefficients
from geo3d.geometry import SE3


@dataclass(frozen=True)
class AbsolutePoseResult:
    """A pose and what it rests on.

    Attributes
    ----------
    cam_from_world : SE3
    inliers : (N,) bool
        Reprojection error below the threshold, in front of the camera.
    score : float
        Sum over the correspondences of 1 - rho, in [0, N]: higher is better.
    iterations : int
        Samples drawn.
    degeneracy : {None, "line"}
        "line": the inlier points lie on one line, about which the camera may turn.
    """

    cam_from_world: SE3
    inliers: np.ndarray
    score: float
    iterations: int
    degeneracy: str | None


class AbsolutePoseEstimator:
    """The verbs of `ransac.Estimator`; a model is R row by row, then t (12,), of the centred and scaled world."""

    sample_size = 3

    def __init__(self, points: np.ndarray, rays: PixelRays, score: str, max_error_px: float):
        self.centre = np.median(points, axis=0)
        self.scale = float(np.median(np.linalg.norm(points - self.centre, axis=1))) or 1.0
        self.points = np.ascontiguousarray((points - self.centre) / self.scale)
        self.bearings = rays.bearings
        n = len(points)
        self.data = np.ascontiguousarray(
            np.concatenate([self.points, rays.pixel_d.reshape(n, 6), rays.planes], axis=1).T
        )
        self.coefficients = score_coefficients(score)
        self.max_error_px = max_error_px
        self.size = n

    def solve(self, samples: np.ndarray) -> np.ndarray:
        return p3p_poses(self.points, self.bearings, samples)

    def costs(self, models: np.ndarray, bound: float) -> np.ndarray:
        return reprojection_costs(models, self.data, self.coefficients, self.max_error_px, bound)

    def squared_residuals(self, model: np.ndarray) -> np.ndarray:
        return reprojection_squared(model, self.data) / self.max_error_px**2

    def escapes(self, model: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.zeros((0, 12))

    def refine(self, model: np.ndarray, iterations: int, tightness: float = 1.0) -> np.ndarray:
        return refine_reprojection(
            model, self.data, self.coefficients, tightness * self.max_error_px, iterations
        )

    def pose(self, model: np.ndarray) -> SE3:
        """The model as a pose of the world as it was given."""
        rotation = model[:9].reshape(3, 3)
        return SE3(rotation, self.scale * model[9:] - rotation @ self.centre)

    def model(self, pose: SE3) -> np.ndarray:
        """The inverse of `pose`."""
        t = (pose.translation + pose.rotation @ self.centre) / self.scale
        return np.concatenate([pose.rotation.ravel(), t])


def estimate_absolute_pose(
    points: np.ndarray, pixels: np.ndarray, camera: Camera, options: RansacOptions | None = None
) -> AbsolutePoseResult:
    """Pose of a calibrated view from 2D-3D correspondences with outliers.

    Parameters
    ----------
    points : (N, 3)
        World points, N >= 3 (with three, the pose is one of up to four).
    pixels : (N, 2)
        Where they are seen; the centre of the top-left pixel is (0.5, 0.5).
    camera : Camera
    options : RansacOptions, optional

    Raises
    ------
    ValueError
        If the shapes differ, N < 3, or there are NaN or pixels without a ray.
    EstimationError
        If no pose was found.
    """
    options = options or RansacOptions()
    points, pixels = check_pair(("points", "pixels"), points, pixels, (3, 2), 3)
    rays = pixel_rays("pixels", pixels, camera)
    estimator = AbsolutePoseEstimator(points, rays, options.score, options.max_error_px)
    found = ransac(estimator, options)
    degeneracy = "line" if _in_line(estimator.points[found.inliers]) else None
    score = len(points) - found.cost
    return AbsolutePoseResult(estimator.pose(found.model), found.inliers, score, found.iterations, degeneracy)


def _in_line(points: np.ndarray) -> bool:
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spread[1] < 1e-4 * spread[0])


def refine_absolute_pose(
    cam_from_world: SE3,
    points: np.ndarray,
    pixels: np.ndarray,
    camera: Camera,
    max_error_px: float = 4.0,
    score: str = "magsac",
    iterations: int = 50,
) -> SE3:
    """The pose of least `sum rho((reprojection error / max_error_px)^2)` near `cam_from_world`.

    Parameters
    ----------
    cam_from_world : SE3
        The start.
    points : (N, 3)
        World points, N >= 3.
    pixels : (N, 2)
        Where the camera sees them; the centre of the top-left pixel is (0.5, 0.5).
    camera : Camera
    max_error_px : float
        Points beyond this reprojection error, in pixels, or behind the camera, have no weight.
    score : {"magsac", "msac"}
        The loss rho, as in `RansacOptions`; both are flat beyond `max_error_px`.
    iterations : int
        Largest number of Levenberg-Marquardt steps, refused ones included.

    Returns
    -------
    SE3
        `cam_from_world`; its cost is never higher than at the start.

    Raises
    ------
    ValueError
        If the shapes differ, N < 3, there are NaN or pixels without a ray, or the score has another name.
    """
    points, pixels = check_pair(("points", "pixels"), points, pixels, (3, 2), 3)
    estimator = AbsolutePoseEstimator(points, pixel_rays("pixels", pixels, camera), score, max_error_px)
    return estimator.pose(estimator.refine(estimator.model(cam_from_world), iterations))
