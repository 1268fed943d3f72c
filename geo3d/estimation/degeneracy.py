"""Simpler models that explain the inliers of a two-view geometry: a rotation alone, or one plane.

Pure rotation: `d2 ~ R d1`. Plane: `d2 ~ H d1`. Both are fitted to the inliers by a few random samples and judged by
the same threshold; the geometry is degenerate when they explain at least `_SHARE` of the inliers. (Torr, Fitzgibbon
and Zisserman, "The problem of degeneracy in structure and motion recovery", IJCV 1999.)
"""

import numpy as np

from geo3d.estimation.homography_four_point import four_point_homographies
from geo3d.estimation.pixel_rays import PixelRays
from geo3d.estimation.ransac import RansacOptions, draw_samples

_SHARE = 0.9
_SAMPLES = 64


def relative_pose_degeneracy(
    rays1: PixelRays, rays2: PixelRays, inliers: np.ndarray, options: RansacOptions
) -> str | None:
    """ "pure rotation", "plane" or None."""
    rows = np.flatnonzero(inliers)
    if len(rows) < 6:  # five points fit some essential matrix whatever they are
        return None
    d1, d2 = rays1.bearings[rows], rays2.bearings[rows]
    to_pixels, planes = rays2.pixel_d[rows], rays2.planes[rows]
    rng = np.random.default_rng(options.seed)

    def share(matrices):
        """Largest share of inliers whose transferred ray lands within the threshold in view 2."""
        q = np.einsum("kij,nj->kni", matrices, d1)
        depth = np.einsum("ni,kni->kn", planes, q)
        offset = np.einsum("nai,kni->kna", to_pixels, q)
        error = np.sum(offset**2, axis=2) < (options.max_error_px * depth) ** 2
        return float(np.mean(error & (depth > 0), axis=1).max()) if len(matrices) else 0.0

    pairs = draw_samples(rng, np.full(_SAMPLES, len(rows)), 2)
    if share(_rotations(d1[pairs], d2[pairs])) >= _SHARE:
        return "pure rotation"
    fours = draw_samples(rng, np.full(_SAMPLES, len(rows)), 4)
    if share(four_point_homographies(d1, d2, fours).reshape(-1, 3, 3)) >= _SHARE:
        return "plane"
    return None


def _rotations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rotations (B, 3, 3) that bring pairs of rays a (B, 2, 3) onto b, by Kabsch's method."""
    u, _, vt = np.linalg.svd(b.transpose(0, 2, 1) @ a)
    sign = np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= sign[:, None]
    return u @ vt
