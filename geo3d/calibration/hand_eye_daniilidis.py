"""Hand-eye calibration by dual quaternions: A X = X B, rotation and translation at once.

A motion (R, t) is the pair of quaternions q of R and q' = t q / 2, with |q| = 1 and q . q' = 0. The vector parts of
`a x = x b` and `a' x + a x' = x' b + x b'` are six linear equations in (x, x'):

    [a - b    [a + b]x       0       0   ] [x ]
    [a' - b'  [a' + b']x   a - b  [a + b]x] [x'] = 0

and its solutions, exact or least squares, are spanned by two vectors; of these combinations the two constraints leave
one. Daniilidis, "Hand-eye calibration using dual quaternions", 1999.
"""

from __future__ import annotations

import numpy as np

from geo3d.calibration.hand_eye_motions import Motions
from geo3d.geometry import SE3, quaternion_multiply, quaternion_to_matrix, skew


def hand_eye_daniilidis(motions: Motions) -> SE3:
    """X from motions about two axes at least.

    Parameters
    ----------
    motions : Motions
        Two or more.
    """
    # The unit of length weighs the two kinds of equations: take one in which translations are of size one.
    unit = np.sqrt(np.mean(motions.hand.translation**2 + motions.eye.translation**2)) or 1.0
    (a, a_dual), (b, b_dual) = _dual(motions.hand, unit), _dual(motions.eye, unit)
    real = np.concatenate([(a - b)[..., None], skew(a + b)], axis=2)
    dual = np.concatenate([(a_dual - b_dual)[..., None], skew(a_dual + b_dual)], axis=2)
    rows = np.concatenate(
        [
            np.concatenate([real, np.zeros_like(real)], axis=2),
            np.concatenate([dual, real], axis=2),
        ]
    ).reshape(-1, 8)
    basis = np.linalg.svd(np.linalg.qr(rows, mode="r"))[2][-2:].T
    u, v = basis[:4], basis[4:]
    # c with c^T (u^T v) c = 0: the form is indefinite, and vanishes on two lines; on the wrong one x is zero.
    (low, high), axes = np.linalg.eigh(u.T @ v + v.T @ u)
    along, across = np.sqrt(max(high, 0.0)) * axes[:, 0], np.sqrt(max(-low, 0.0)) * axes[:, 1]
    c = max((along + across, along - across), key=lambda c: float(np.linalg.norm(u @ c) / np.linalg.norm(c)))
    size = np.linalg.norm(u @ c)
    x, x_dual = u @ c / size, v @ c / size
    translation = 2 * unit * quaternion_multiply(x_dual, x * [1, -1, -1, -1])[1:]
    return SE3(quaternion_to_matrix(x), translation)


def _dual(poses: SE3, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Vector parts (M, 3) of the two quaternions of each pose."""
    q = poses.quaternion()
    t = np.concatenate([np.zeros((len(q), 1)), poses.translation / unit], axis=1)
    return q[:, 1:], 0.5 * quaternion_multiply(t, q)[:, 1:]
