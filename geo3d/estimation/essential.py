"""Essential matrices: `E = [t]x R` for `x2 = R x1 + t`, their four poses, and which of them sees the points.

The decomposition needs no SVD: the cofactor matrix of E is `t (R^T t)^T`, and `|t|^2 R = cof(E) -+ [t]x E` (Horn,
"Recovering baseline and orientation from essential matrix", 1990). Cheirality is counted along the rays (positive
distance), not along z, so that fields of view beyond 180 degrees work.
"""

import numpy as np

from geo3d.estimation.small_linalg import cofactors, orthonormalise
from geo3d.geometry import SE3, skew
from geo3d.util.jit import njit


@njit(nogil=True)
def rays_meet_in_front(r, t, d1, d2):
    """Whether the rays of `x2 = R x1 + t` come closest at positive distances from both cameras (unit d1, d2)."""
    ax = r[0] * d1[0] + r[1] * d1[1] + r[2] * d1[2]
    ay = r[3] * d1[0] + r[4] * d1[1] + r[5] * d1[2]
    az = r[6] * d1[0] + r[7] * d1[1] + r[8] * d1[2]
    cosine = ax * d2[0] + ay * d2[1] + az * d2[2]
    at = ax * t[0] + ay * t[1] + az * t[2]
    bt = d2[0] * t[0] + d2[1] * t[1] + d2[2] * t[2]
    return cosine * bt - at > 0.0 and bt - cosine * at > 0.0


@njit(nogil=True)
def four_poses(e, rotations, t):
    """The two rotations (2, 9) and the direction t (3,) of E (9,): the poses are (R, +-t). False when E is null."""
    c = np.empty(9)
    cofactors(e, c)
    best, column = 0.0, 0
    for j in range(3):
        norm = c[j] * c[j] + c[3 + j] * c[3 + j] + c[6 + j] * c[6 + j]
        if norm > best:
            best, column = norm, j
    if not best > 0.0:
        return False
    square = 0.0
    for i in range(9):
        square += 0.5 * e[i] * e[i]  # |t|^2
    scale = 1.0 / np.sqrt(best)
    for i in range(3):
        t[i] = c[3 * i + column] * scale
    length = 1.0 / np.sqrt(square)
    for j in range(3):
        x = (t[1] * e[6 + j] - t[2] * e[3 + j]) * length
        y = (t[2] * e[j] - t[0] * e[6 + j]) * length
        z = (t[0] * e[3 + j] - t[1] * e[j]) * length
        rotations[0, j], rotations[1, j] = c[j] / square - x, c[j] / square + x
        rotations[0, 3 + j], rotations[1, 3 + j] = c[3 + j] / square - y, c[3 + j] / square + y
        rotations[0, 6 + j], rotations[1, 6 + j] = c[6 + j] / square - z, c[6 + j] / square + z
    for k in range(
        2
    ):  # not quite rotations where the matrix is not quite essential (a near-degenerate sample)
        orthonormalise(rotations[k])
    return True


@njit(nogil=True)
def pose_in_front(e, d1, d2, pose):
    """Write to `pose` (12,) the pose of E (9,) that has all the points in front; False when none has."""
    rotations, t = np.empty((2, 9)), np.empty(3)
    if not four_poses(e, rotations, t):
        return False
    for which in range(4):
        r = rotations[which // 2]
        if which % 2 == 1:
            for i in range(3):
                t[i] = -t[i]
        good = True
        for p in range(len(d1)):
            if not rays_meet_in_front(r, t, d1[p], d2[p]):
                good = False
                break
        if good:
            for i in range(9):
                pose[i] = r[i]
            for i in range(3):
                pose[9 + i] = t[i]
            return True
    return False


@njit(nogil=True)
def count_in_front(e, d1, d2):
    """Poses (4, 12) of E (9,) and how many of the points (N, 3) each has in front (4,)."""
    poses, counts = np.zeros((4, 12)), np.zeros(4, np.int64)
    rotations, t = np.zeros((2, 9)), np.zeros(3)
    four_poses(e, rotations, t)
    for which in range(4):
        sign = 1.0 if which % 2 == 0 else -1.0
        for i in range(9):
            poses[which, i] = rotations[which // 2, i]
        for i in range(3):
            poses[which, 9 + i] = sign * t[i]
        for p in range(len(d1)):
            counts[which] += rays_meet_in_front(poses[which, :9], poses[which, 9:], d1[p], d2[p])
    return poses, counts


def essential_from_pose(cam2_from_cam1: SE3) -> np.ndarray:
    """`E = [t]x R` (..., 3, 3), with `x2^T E x1 = 0`."""
    return skew(cam2_from_cam1.translation) @ cam2_from_cam1.rotation


def _checked_essential(E: np.ndarray) -> np.ndarray:
    e = np.ascontiguousarray(E, dtype=np.float64)
    if e.shape != (3, 3) or not np.isfinite(e).all() or not np.any(e):
        raise ValueError(f"E: expected a finite (3, 3) matrix that is not zero, got shape {np.shape(E)}")
    u, s, vt = np.linalg.svd(e)
    if s[1] < 1e-9 * s[0]:
        raise ValueError(f"E: expected two equal singular values, got {s}; this is no essential matrix")
    return (u * [1.0, 1.0, 0.0]) @ vt  # the nearest essential matrix


def decompose_essential(E: np.ndarray) -> list[SE3]:
    """The four poses `cam2_from_cam1`, with unit translation, of an essential matrix.

    Parameters
    ----------
    E : (3, 3)
        `x2^T E x1 = 0`, of any scale; replaced by the nearest essential matrix first.

    Raises
    ------
    ValueError
        If E is not finite, zero, or has rank one.
    """
    nothing = np.zeros((0, 3))
    poses, _ = count_in_front(_checked_essential(E).ravel(), nothing, nothing)
    return [SE3(p[:9].reshape(3, 3), p[9:]) for p in poses]


def pose_from_essential(
    E: np.ndarray, bearings1: np.ndarray, bearings2: np.ndarray
) -> tuple[SE3, np.ndarray]:
    """The pose of E with the most points in front of both cameras, and which points (N,) bool are.

    Parameters
    ----------
    E : (3, 3)
    bearings1, bearings2 : (N, 3)
        Corresponding rays; fields of view beyond 180 degrees are fine.
    """
    from geo3d.estimation.checks import check_bearings

    d1, d2 = check_bearings(bearings1, bearings2, 1)
    poses, counts = count_in_front(_checked_essential(E).ravel(), d1, d2)
    best = poses[int(np.argmax(counts))]
    return SE3(best[:9].reshape(3, 3), best[9:]), in_front(best, d1, d2)


def in_front(pose: np.ndarray, bearings1: np.ndarray, bearings2: np.ndarray) -> np.ndarray:
    """Mask (N,) of the unit rays that meet at positive distances; `pose` (12,) is R row by row, then t."""
    a = bearings1 @ pose[:9].reshape(3, 3).T
    cosine = np.sum(a * bearings2, axis=1)
    at, bt = a @ pose[9:], bearings2 @ pose[9:]
    return (cosine * bt - at > 0) & (bt - cosine * at > 0)
