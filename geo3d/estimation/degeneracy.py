"""Simpler models that explain the inliers of a two-view geometry: a rotation alone, or one plane.

Pure rotation: `d2 ~ R d1`. Plane: `d2 ~ H d1`. Both are fitted to the inliers by a few random samples and judged by
the same threshold; the geometry is degenerate when they explain at least `_SHARE` of the inliers. (Torr, Fitzgibbon
and Zisserman, "The problem of degeneracy in structure and motion recovery", IJCV 1999.)
"""

import numpy as np

from geo3d.estimation.homography_four_point import four_point_homographies
from geo3d.estimation.pixel_rays import PixelRays
from geo3d.estimation.ransac import RansacOptions, draw_samples
from geo3d.util.jit import njit

_SHARE = 0.9
_SAMPLES = 64


@njit(nogil=True)
def _most_explained(matrices, d1, to_pixels, planes, max_error, most_missed):
    """The most rays that one of the matrices (K, 9) brings within `max_error` pixels in view 2; a matrix that misses
    more than `most_missed` counts for nothing."""
    best = 0
    for k in range(len(matrices)):
        m = matrices[k]
        missed = 0
        for i in range(len(d1)):
            x = m[0] * d1[i, 0] + m[1] * d1[i, 1] + m[2] * d1[i, 2]
            y = m[3] * d1[i, 0] + m[4] * d1[i, 1] + m[5] * d1[i, 2]
            z = m[6] * d1[i, 0] + m[7] * d1[i, 1] + m[8] * d1[i, 2]
            depth = planes[i, 0] * x + planes[i, 1] * y + planes[i, 2] * z
            u = to_pixels[i, 0, 0] * x + to_pixels[i, 0, 1] * y + to_pixels[i, 0, 2] * z
            v = to_pixels[i, 1, 0] * x + to_pixels[i, 1, 1] * y + to_pixels[i, 1, 2] * z
            limit = max_error * depth
            if not (depth > 0.0 and u * u + v * v < limit * limit):
                missed += 1
                if missed > most_missed:
                    break
        if missed <= most_missed:
            best = max(best, len(d1) - missed)
    return best


def relative_pose_degeneracy(
    rays1: PixelRays, rays2: PixelRays, inliers: np.ndarray, options: RansacOptions
) -> str | None:
    """ "pure rotation", "plane" or None."""
    rows = np.flatnonzero(inliers)
    if len(rows) < 6:  # five points fit some essential matrix whatever they are
        return None
    d1, d2 = rays1.bearings[rows], rays2.bearings[rows]
    to_pixels, planes = rays2.pixel_d[rows], rays2.planes[rows]
    most_missed = int((1 - _SHARE) * len(rows))
    rng = np.random.default_rng(options.seed)

    pairs = draw_samples(rng, np.full(_SAMPLES, len(rows)), 2)
    rotations = _rotations(d1[pairs], d2[pairs]).reshape(-1, 9)
    if _most_explained(rotations, d1, to_pixels, planes, options.max_error_px, most_missed):
        return "pure rotation"
    fours = draw_samples(rng, np.full(_SAMPLES, len(rows)), 4)
    homographies = four_point_homographies(d1, d2, fours)
    if _most_explained(homographies, d1, to_pixels, planes, options.max_error_px, most_missed):
        return "plane"
    return None


def _rotations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rotations (B, 3, 3) that bring pairs of rays a (B, 2, 3) onto b, by Kabsch's method."""
    u, _, vt = np.linalg.svd(b.transpose(0, 2, 1) @ a)
    sign = np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= sign[:, None]
    return u @ vt
