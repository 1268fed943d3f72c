"""Distances of correspondences from an epipolar geometry `x2^T F x1 = 0`, epipolar lines, epipoles.

Sampson error: `C^2 / (a1^2 + b1^2 + a2^2 + b2^2)` with `C = x2^T F x1`, `(a2, b2, .) = F x1`, `(a1, b1, .) = F^T x2`.
Symmetric epipolar error: `C^2 (1 / (a1^2 + b1^2) + 1 / (a2^2 + b2^2))`. Hartley and Zisserman, section 11.4.
"""

import numpy as np

from geo3d.estimation.checks import check_pair


def _parts(F: np.ndarray, x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    F = _matrix(F)
    x1, x2 = check_pair(("x1", "x2"), x1, x2, (2, 2), 0)
    p, q = _homogeneous(x1), _homogeneous(x2)
    lines2, lines1 = p @ F.T, q @ F
    return np.sum(q * lines2, axis=1), np.sum(lines1[:, :2] ** 2, axis=1), np.sum(lines2[:, :2] ** 2, axis=1)


def _matrix(F: np.ndarray) -> np.ndarray:
    F = np.asarray(F, dtype=np.float64)
    if F.shape != (3, 3) or not np.isfinite(F).all():
        raise ValueError(f"F: expected a finite (3, 3) matrix, got shape {F.shape}")
    return F


def _homogeneous(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, zero where both vanish (a point on an epipole lies on every line)."""
    return np.divide(a, b, out=np.where(a > 0, np.inf, 0.0), where=b > 0)


def sampson_error(F: np.ndarray, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Squared Sampson errors (N,), in pixels^2: to first order the squared distance in both views together.

    Parameters
    ----------
    F : (3, 3)
        Of any scale; an essential matrix with points on the unit plane serves too.
    x1, x2 : (N, 2)

    Raises
    ------
    ValueError
        If the shapes differ or there are NaN.
    """
    c, n1, n2 = _parts(F, x1, x2)
    return _ratio(c * c, n1 + n2)


def symmetric_epipolar_error(F: np.ndarray, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Sums (N,), in pixels^2, of the squared distances of both points from their epipolar lines.

    Parameters
    ----------
    F : (3, 3)
        `x2^T F x1 = 0`, of any scale.
    x1, x2 : (N, 2)
        Corresponding pixels.

    Raises
    ------
    ValueError
        If the shapes differ or there are NaN.
    """
    c, n1, n2 = _parts(F, x1, x2)
    return _ratio(c * c, n1) + _ratio(c * c, n2)


def epipolar_lines(F: np.ndarray, x1: np.ndarray) -> np.ndarray:
    """The lines in view 2 on which the partners of pixels in view 1 lie.

    Parameters
    ----------
    F : (3, 3)
        `x2^T F x1 = 0`, of any scale; `F.T` for lines in view 1 of pixels in view 2.
    x1 : (N, 2)
        Pixels.

    Returns
    -------
    (N, 3)
        a, b, c of `a x + b y + c = 0` with (a, b) a unit vector, so that the left side is a signed distance in
        pixels. NaN for the epipole, whose line is not defined.

    Raises
    ------
    ValueError
        If a shape is another or there are NaN.
    """
    F = _matrix(F)
    x1, _ = check_pair(("x1", "x1"), x1, x1, (2, 2), 0)
    lines = _homogeneous(x1) @ F.T
    norm = np.linalg.norm(lines[:, :2], axis=1, keepdims=True)
    return np.divide(lines, norm, out=np.full_like(lines, np.nan), where=norm > 0)


def epipoles(F: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Epipoles e1 (3,) with `F e1 = 0` and e2 (3,) with `F^T e2 = 0`, homogeneous and unit: w = 0 is at infinity.

    Raises
    ------
    ValueError
        If F is not a finite (3, 3) matrix.
    """
    u, _, vt = np.linalg.svd(_matrix(F))
    return vt[2], u[:, 2]
