"""Triangulation of points from two or more known poses.

`triangulate_dlt`: homogeneous linear least squares, `[d]x (R | t) X = 0` (Hartley and Zisserman, section 12.2).
`triangulate_midpoint`: the point nearest to both rays. `triangulate_lindstrom`: moves two points on the unit plane by
the least squared distance onto the epipolar geometry, where their rays meet (Lindstrom, "Triangulation made easy",
CVPR 2010). `triangulate_two_view` and `triangulate_multiview`: least squared angular error, any field of view.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.estimation.checks import check_bearings, check_pair
from geo3d.estimation.essential import essential_from_pose
from geo3d.estimation.tracks import triangulate_tracks
from geo3d.geometry import SE3


@dataclass(frozen=True)
class Triangulation:
    """Points and how well they are placed.

    Attributes
    ----------
    points : (N, 3)
        In the frame that the poses are from; NaN where the rays do not meet in front of all cameras.
    ok : (N,) bool
    max_angle : (N,)
        Radians, the largest angle at the point between two of its rays; the depth is uncertain where it is small.
    """

    points: np.ndarray
    ok: np.ndarray
    max_angle: np.ndarray


def _stacked(poses: SE3, bearings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotations (V, 3, 3), translations (V, 3), unit bearings (V, N, 3)."""
    rotations, translations = np.atleast_3d(poses.rotation), np.atleast_2d(poses.translation)
    d = np.asarray(bearings, dtype=np.float64)
    if d.ndim != 3 or d.shape[2] != 3 or len(d) != len(rotations) or len(d) < 2:
        raise ValueError(
            f"bearings: expected shape (V, N, 3) with V >= 2 and one pose a view ({len(rotations)} given), "
            f"got {d.shape}"
        )
    norm = np.linalg.norm(d, axis=2, keepdims=True)
    if not (np.isfinite(d).all() and np.all(norm > 0)):
        raise ValueError("bearings: expected finite rays of positive length; drop the others first")
    return rotations, translations, d / norm


def triangulate_dlt(cam_from_world: SE3, bearings: np.ndarray) -> np.ndarray:
    """World points by the linear method: the least algebraic error of `d x (R X + t) = 0` over the views.

    Parameters
    ----------
    cam_from_world : SE3
        V >= 2 poses.
    bearings : (V, N, 3)
        Rays of the N points in each view, of any length.

    Returns
    -------
    (N, 3)
        World points, not checked for cheirality; those at infinity have very large or infinite coordinates.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or there are NaN or rays of length zero.

    References
    ----------
    Hartley and Zisserman: Multiple View Geometry, section 12.2.
    """
    rotations, translations, d = _stacked(cam_from_world, bearings)
    matrices = np.concatenate([rotations, translations[:, :, None]], axis=2)  # (V, 3, 4)
    rows = np.cross(d[..., None], matrices[:, None], axisa=2, axisb=2, axisc=2)  # (V, N, 3, 4)
    system = rows.transpose(1, 0, 2, 3).reshape(d.shape[1], -1, 4)
    x = np.linalg.svd(system)[2][:, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        return x[:, :3] / x[:, 3:]


def triangulate_midpoint(cam2_from_cam1: SE3, bearings1: np.ndarray, bearings2: np.ndarray) -> Triangulation:
    """The middle of the shortest segment between two rays, in the frame of camera 1.

    Parameters
    ----------
    cam2_from_cam1 : SE3
    bearings1, bearings2 : (N, 3)
        Corresponding rays in the frames of the two cameras, of any length.

    Returns
    -------
    Triangulation
        Points in the frame of camera 1, in the unit of the translation.

    Raises
    ------
    ValueError
        If the shapes differ, or there are NaN or rays of length zero.
    """
    d1, d2 = check_bearings(bearings1, bearings2, 1)
    back = cam2_from_cam1.inverse()
    c, e = back.translation, d2 @ back.rotation.T  # centre and rays of camera 2
    cosine = np.sum(d1 * e, axis=1)
    along1, along2 = d1 @ c, e @ c
    sine2 = np.sum(np.cross(d1, e) ** 2, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        s1 = (along1 - cosine * along2) / sine2
        s2 = (cosine * along1 - along2) / sine2
    ok = (sine2 > 1e-24) & (s1 > 0) & (s2 > 0)
    points = np.full_like(d1, np.nan)
    points[ok] = 0.5 * (s1[ok, None] * d1[ok] + c + s2[ok, None] * e[ok])
    return Triangulation(points, ok, np.where(ok, np.arctan2(np.sqrt(sine2), cosine), 0.0))


def correct_lindstrom(
    E: np.ndarray, x1: np.ndarray, x2: np.ndarray, iterations: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest points to x1, x2 (N, 2) that fulfil `x2^T E x1 = 0` exactly, in the squared distance.

    The displacements are along `n1 = (E^T x2)_xy`, `n2 = (E x1)_xy` of the corrected points: each iteration solves
    `(x2 - l n2)^T E (x1 - l n1) = 0`, a quadratic in l, and takes new directions at its solution. Two iterations
    suffice in practice.

    Parameters
    ----------
    E : (3, 3)
        Essential with points on the unit plane, or fundamental with pixels.
    x1, x2 : (N, 2)
        Corresponding points on the unit plane, or pixels.
    iterations : int

    Returns
    -------
    x1, x2 : (N, 2)
        The corrected points.

    Raises
    ------
    ValueError
        If the shapes differ or there are NaN.

    References
    ----------
    Lindstrom: Triangulation made easy. CVPR 2010.
    """
    x1, x2 = check_pair(("x1", "x2"), x1, x2, (2, 2), 1)
    E = np.asarray(E, dtype=np.float64) / np.linalg.norm(E)
    inner = E[:2, :2]
    p, q = np.c_[x1, np.ones(len(x1))], np.c_[x2, np.ones(len(x2))]
    c = np.einsum("ni,ij,nj->n", q, E, p)
    start1, start2 = (q @ E)[:, :2], (p @ E.T)[:, :2]
    n1, n2 = start1, start2
    step = np.zeros(len(x1))
    for _ in range(iterations):
        a = np.einsum("ni,ij,nj->n", n2, inner, n1)
        b = 0.5 * (np.sum(n1 * start1, axis=1) + np.sum(n2 * start2, axis=1))
        root = np.sqrt(np.maximum(b * b - a * c, 0.0))
        below = b + np.copysign(root, b)
        step = np.divide(c, below, out=np.zeros_like(c), where=below != 0)[:, None]
        move1, move2 = step * n1, step * n2
        n1, n2 = start1 - move2 @ inner, start2 - move1 @ inner.T
    return x1 - move1, x2 - move2


def triangulate_lindstrom(cam2_from_cam1: SE3, x1: np.ndarray, x2: np.ndarray) -> Triangulation:
    """Optimal points, in the frame of camera 1: least squared distances on the unit plane (pixels of equal focal).

    Parameters
    ----------
    cam2_from_cam1 : SE3
    x1, x2 : (N, 2)
        On the unit plane, as from `undistort_points`.

    Raises
    ------
    ValueError
        If the shapes differ or there are NaN.
    """
    y1, y2 = correct_lindstrom(essential_from_pose(cam2_from_cam1), x1, x2)
    one = np.ones((len(y1), 1))
    return triangulate_midpoint(cam2_from_cam1, np.concatenate([y1, one], 1), np.concatenate([y2, one], 1))


def triangulate_two_view(cam2_from_cam1: SE3, bearings1: np.ndarray, bearings2: np.ndarray) -> Triangulation:
    """Points of least squared angular error in two views, in the frame of camera 1; any field of view.

    Parameters
    ----------
    cam2_from_cam1 : SE3
    bearings1, bearings2 : (N, 3)
        Corresponding rays in the frames of the two cameras, of any length.

    Returns
    -------
    Triangulation
        Points in the frame of camera 1, in the unit of the translation.

    Raises
    ------
    ValueError
        If the shapes differ, or there are NaN or rays of length zero.
    """
    d1, d2 = check_bearings(bearings1, bearings2, 1)
    poses = SE3(
        np.stack([np.eye(3), cam2_from_cam1.rotation]), np.stack([np.zeros(3), cam2_from_cam1.translation])
    )
    return triangulate_multiview(poses, np.stack([d1, d2]))


def triangulate_multiview(cam_from_world: SE3, bearings: np.ndarray) -> Triangulation:
    """World points of least squared angular error in V views, linear first, then Gauss-Newton.

    Parameters
    ----------
    cam_from_world : SE3
        V poses.
    bearings : (V, N, 3)
        Rays of the N points in each view. For tracks of different lengths see `triangulate_tracks`.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or there are NaN or rays of length zero.
    """
    rotations, translations, d = _stacked(cam_from_world, bearings)
    views, count = d.shape[:2]
    found = triangulate_tracks(
        rotations,
        translations,
        np.arange(count + 1) * views,
        np.tile(np.arange(views), count),
        d.transpose(1, 0, 2).reshape(-1, 3),
        steps=10,
    )
    return Triangulation(found.points, found.ok, found.max_angle)
