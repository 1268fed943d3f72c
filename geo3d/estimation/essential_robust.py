"""Essential matrix from corresponding pixels with outliers: the relative pose, read as its matrix."""

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.estimation.ransac import RansacOptions
from geo3d.estimation.relative_pose import estimate_relative_pose


@dataclass(frozen=True)
class EssentialResult:
    """An essential matrix and what it rests on; see `RelativePoseResult`."""

    E: np.ndarray  # (3, 3), singular values 1, 1, 0; d2^T E d1 = 0 for rays d1, d2
    inliers: np.ndarray  # (N,) bool
    score: float
    iterations: int
    degeneracy: str | None


def estimate_essential(
    x1: np.ndarray,
    x2: np.ndarray,
    camera1: Camera,
    camera2: Camera,
    options: RansacOptions | None = None,
) -> EssentialResult:
    """Essential matrix of two calibrated views from correspondences with outliers.

    The pose of `estimate_relative_pose`, as its matrix.

    Parameters
    ----------
    x1, x2 : (N, 2)
        Corresponding pixels, N >= 5; the centre of the top-left pixel is (0.5, 0.5).
    camera1, camera2 : Camera
    options : RansacOptions, optional
        `max_error_px` is a distance in pixels to the epipolar geometry, in either view.

    Returns
    -------
    EssentialResult
        `E` (3, 3) with `d2^T E d1 = 0` for the bearings d1, d2 of the pixels; inliers, score, degeneracy.

    Raises
    ------
    ValueError
        If the shapes differ, N < 5, or there are NaN or pixels without a ray.
    EstimationError
        If no pose was found.

    References
    ----------
    Nister: An efficient solution to the five-point relative pose problem. PAMI 26 (6), 2004.
    """
    found = estimate_relative_pose(x1, x2, camera1, camera2, options)
    return EssentialResult(found.E, found.inliers, found.score, found.iterations, found.degeneracy)
