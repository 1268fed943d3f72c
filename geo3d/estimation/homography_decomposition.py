"""Motion and plane from a calibrated homography: `d2 ~ H d1`, `H ~ R + t n^T`, n the plane's normal in view 1 over its
distance (|n| = 1 and t in units of the distance).

The right singular vectors of H, scaled so that its second singular value is one, give two planes and with the signs
of t and n four solutions (Ma, Soatto, Kosecka and Sastry, "An Invitation to 3-D Vision", section 5.3.3); for a pure
rotation there is one.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.estimation.checks import EstimationError, check_bearings
from geo3d.geometry import SE3, closest_rotation


@dataclass(frozen=True)
class PlanarMotion:
    """A motion and the plane it was seen by: `d2 ~ (R + t n^T) d1`.

    Attributes
    ----------
    cam2_from_cam1 : SE3
        Translation in units of the distance of camera 1 from the plane.
    normal : (3,)
        Unit normal in camera 1, away from the camera; NaN for a pure rotation.
    """

    cam2_from_cam1: SE3
    normal: np.ndarray


def decompose_homography(H: np.ndarray) -> list[PlanarMotion]:
    """The four motions of a homography between rays (one, when it is a rotation).

    Parameters
    ----------
    H : (3, 3)
        Calibrated, of any scale with `d2 . (H d1) > 0`; for a homography of pixels pass `inv(K2) @ H @ K1`.

    Raises
    ------
    ValueError
        If H is not finite or singular.
    """
    H = np.asarray(H, dtype=np.float64)
    if H.shape != (3, 3) or not np.isfinite(H).all():
        raise ValueError(f"H: expected a finite (3, 3) matrix, got shape {H.shape}")
    _, s, vt = np.linalg.svd(H)
    if s[2] < 1e-9 * s[0]:
        raise ValueError(f"H: expected an invertible matrix, got singular values {s}")
    H = H / s[1] * np.sign(np.linalg.det(H))
    high, low = (s[0] / s[1]) ** 2, (s[2] / s[1]) ** 2
    if high - low < 1e-9:
        return [PlanarMotion(SE3(closest_rotation(H), np.zeros(3)), np.full(3, np.nan))]
    a, b = np.sqrt(max(1.0 - low, 0.0)), np.sqrt(max(high - 1.0, 0.0))
    motions = []
    for sign in (1.0, -1.0):
        # v2 and u span the plane of directions whose length H keeps
        u = (a * vt[0] + sign * b * vt[2]) / np.sqrt(high - low)
        n = np.cross(vt[1], u)
        kept = np.stack([vt[1], u, n], axis=1)
        p, q = H @ vt[1], H @ u
        rotation = closest_rotation(np.stack([p, q, np.cross(p, q)], axis=1) @ kept.T)
        t = (H - rotation) @ n
        motions += [PlanarMotion(SE3(rotation, t), n), PlanarMotion(SE3(rotation, -t), -n)]
    return motions


def motions_in_front(H: np.ndarray, bearings1: np.ndarray, bearings2: np.ndarray) -> list[PlanarMotion]:
    """The motions of `decompose_homography` that have the plane in front of both cameras at most points: one or two.

    Parameters
    ----------
    H : (3, 3)
        As for `decompose_homography`, but of either sign.
    bearings1, bearings2 : (N, 3)
        Corresponding rays of points on the plane.

    Raises
    ------
    ValueError
        As for `decompose_homography`.
    EstimationError
        If no motion has half of the points in front.
    """
    d1, d2 = check_bearings(bearings1, bearings2, 1)
    H = np.asarray(H, dtype=np.float64)
    if np.sum(np.sum(d2 * (d1 @ H.T), axis=1) > 0) * 2 < len(d1):
        H = -H
    motions = decompose_homography(H)
    if np.isnan(motions[0].normal[0]):
        return motions
    front = []
    for motion in motions:
        along1 = (
            d1 @ motion.normal
        )  # 1 / distance of the point along its ray, in units of the plane's distance
        moved = d1 @ motion.cam2_from_cam1.rotation.T + along1[:, None] * motion.cam2_from_cam1.translation
        front.append(int(np.sum((along1 > 0) & (np.sum(moved * d2, axis=1) > 0))))
    if 2 * max(front) < len(d1):
        raise EstimationError(f"no motion has the plane in front: at best {max(front)} of {len(d1)} points")
    return [motion for motion, count in zip(motions, front) if count > 0.95 * max(front)]
