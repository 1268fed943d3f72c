"""Unit quaternions, (..., 4) float64, order w, x, y, z (Hamilton): cos(a/2) + sin(a/2) (axis . (i, j, k)).

q and -q are the same rotation; functions that return a quaternion of a rotation choose w >= 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

_LARGEST_ERROR = 1e-4  # of an element of R^T R, by which a rotation may be off


def quaternion_to_matrix(wxyz: ArrayLike) -> np.ndarray:
    """(..., 3, 3) rotation matrices of quaternions (..., 4), which need not have unit length.

    Raises
    ------
    ValueError
        If the shape is another, a quaternion is zero or a number is not finite.

    Examples
    --------
    >>> quaternion_to_matrix([0, 0, 0, 1]).astype(int).tolist()
    [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]
    """
    w, x, y, z = np.moveaxis(_normalized(wxyz), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def matrix_to_quaternion(matrix: ArrayLike) -> np.ndarray:
    """(..., 4) unit quaternions wxyz, w >= 0, of rotation matrices (..., 3, 3).

    The largest of the four components is taken from the diagonal and the others follow from it, so that no
    digit is lost at any angle. Shepperd 1978.

    Raises
    ------
    ValueError
        If the shape is another, or a matrix is no rotation: an element of `R^T R` is further than 1e-4 from that of
        the identity (single precision and files of five digits are near enough), or it is a reflection, or NaN.
    """
    r = np.asarray(matrix, np.float64)
    if r.shape[-2:] != (3, 3):
        raise ValueError(f"matrix: expected shape (..., 3, 3), got {r.shape}")
    _check_rotations(r)
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    wx, wy, wz = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    xy, xz, yz = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0], r[..., 1, 2] + r[..., 2, 1]
    # 4 q q^T, a column for each component that could be the largest
    outer = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], -1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    largest = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), -1)
    q = np.take_along_axis(outer, largest[..., None, None], -2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(q[..., :1] < 0, -q, q)


def quaternion_multiply(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """(..., 4) Hamilton product of wxyz quaternions `a` and `b` (..., 4): its matrix is `matrix(a) @ matrix(b)`."""
    aw, ax, ay, az = np.moveaxis(_quaternions(a), -1, 0)
    bw, bx, by, bz = np.moveaxis(_quaternions(b), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def quaternion_slerp(a: ArrayLike, b: ArrayLike, t: ArrayLike) -> np.ndarray:
    """(..., 4) spherical interpolation from `a` (t = 0) to the nearer of `b` and `-b` (t = 1); `t` (...).

    Shoemake 1985. Between opposite halves of the sphere (a rotation by exactly pi) either way is as short.
    """
    qa, qb = _normalized(a), _normalized(b)
    s = np.asarray(t, np.float64)[..., None]
    qb = np.where(np.sum(qa * qb, -1, keepdims=True) < 0, -qb, qb)
    angle = 2 * np.arctan2(
        np.linalg.norm(qa - qb, axis=-1, keepdims=True), np.linalg.norm(qa + qb, axis=-1, keepdims=True)
    )
    # sin(s a) / sin(a) as a ratio of sincs: no division by zero for equal quaternions
    scale = np.sinc(angle / np.pi)
    out = (1 - s) * np.sinc((1 - s) * angle / np.pi) / scale * qa + s * np.sinc(
        s * angle / np.pi
    ) / scale * qb
    return out / np.linalg.norm(out, axis=-1, keepdims=True)


def _check_rotations(r: np.ndarray) -> None:
    """ValueError where matrices (..., 3, 3) are not orthogonal, or turn right hands into left ones."""
    error = np.abs(np.swapaxes(r, -1, -2) @ r - np.eye(3)).max(initial=0.0)
    if not error <= _LARGEST_ERROR:
        raise ValueError(
            f"matrix: expected rotations, but an element of R^T R is {error:.3g} off the identity; see "
            "closest_rotation for matrices that are not quite rotations"
        )
    if (np.linalg.det(r) < 0).any():
        raise ValueError("matrix: expected rotations, got a reflection (its determinant is -1)")


def _quaternions(wxyz: ArrayLike) -> np.ndarray:
    q = np.asarray(wxyz, np.float64)
    if q.ndim == 0 or q.shape[-1] != 4:
        raise ValueError(f"quaternion: expected shape (..., 4) in the order w, x, y, z, got {q.shape}")
    return q


def _normalized(wxyz: ArrayLike) -> np.ndarray:
    q = _quaternions(wxyz)
    norm = np.linalg.norm(q, axis=-1, keepdims=True)
    if not (np.isfinite(norm) & (norm > 0)).all():
        raise ValueError("quaternion: expected finite numbers that are not all zero; a zero or NaN was given")
    return q / norm
