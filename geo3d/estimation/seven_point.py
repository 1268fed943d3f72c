"""Seven-point fundamental matrix: `x2^T F x1 = 0` with det F = 0. One or three solutions.

The null space of the seven equations is `F = x A + B`; det F is a cubic in x (Hartley and Zisserman, 11.1.2). Samples
whose points lie on both sides of an epipole are refused (the oriented constraint of Chum, Werner and Matas, ICPR 2004).
"""

import numpy as np

from geo3d.estimation.checks import check_pair
from geo3d.estimation.normalization import normalization
from geo3d.estimation.polynomials import cubic_roots
from geo3d.estimation.small_linalg import cofactors, null_space9
from geo3d.util.jit import njit


@njit(nogil=True)
def seven_point(p, q, matrices):
    """Write the fundamental matrices of homogeneous points p, q (7, 3) to `matrices` (3, 9); return how many."""
    a, basis, c, d = np.empty((9, 7)), np.empty((2, 9)), np.empty(9), np.empty(9)
    for k in range(7):
        for i in range(3):
            for j in range(3):
                a[3 * i + j, k] = q[k, i] * p[k, j]
    if not null_space9(a, 7, basis):
        return 0
    cofactors(basis[0], c)
    cofactors(basis[1], d)
    high, low, quadratic, linear = 0.0, 0.0, 0.0, 0.0
    for i in range(9):
        high += c[i] * basis[0, i] / 3.0
        low += d[i] * basis[1, i] / 3.0
        quadratic += c[i] * basis[1, i]
        linear += d[i] * basis[0, i]
    first, second = 0, 1
    if abs(high) < abs(low):  # the larger determinant leads the cubic
        high, low, quadratic, linear = low, high, linear, quadratic
        first, second = 1, 0
    if not abs(high) > 1e-14:
        return 0  # every combination is singular: the points lie on a conic with the centres, or on a line
    roots = np.empty(3)
    count = cubic_roots(quadratic / high, linear / high, low / high, roots)
    for k in range(count):
        scale = 1.0 / np.sqrt(roots[k] * roots[k] + 1.0)
        for i in range(9):
            matrices[k, i] = (roots[k] * basis[first, i] + basis[second, i]) * scale
    return count


@njit(nogil=True)
def _oriented(f, p, q, c):
    """Whether all points lie on the same side: the sign of (e2 x q) . F p is one."""
    cofactors(f, c)
    k = 0
    for j in range(1, 3):
        if c[j] ** 2 + c[3 + j] ** 2 + c[6 + j] ** 2 > c[k] ** 2 + c[3 + k] ** 2 + c[6 + k] ** 2:
            k = j
    e0, e1, e2 = c[k], c[3 + k], c[6 + k]
    side = 0.0
    for i in range(len(p)):
        x = f[0] * p[i, 0] + f[1] * p[i, 1] + f[2] * p[i, 2]
        y = f[3] * p[i, 0] + f[4] * p[i, 1] + f[5] * p[i, 2]
        z = f[6] * p[i, 0] + f[7] * p[i, 1] + f[8] * p[i, 2]
        s = (
            (e1 * q[i, 2] - e2 * q[i, 1]) * x
            + (e2 * q[i, 0] - e0 * q[i, 2]) * y
            + (e0 * q[i, 1] - e1 * q[i, 0]) * z
        )
        if s * side < 0.0:
            return False
        side = s
    return True


@njit(nogil=True)
def seven_point_matrices(d1, d2, samples):
    """Fundamental matrices (K, 9) of the samples (B, 7), rows of homogeneous points d1, d2 (N, 3)."""
    found, c = np.empty((3, 9)), np.empty(9)
    matrices = np.empty((3 * len(samples), 9))
    p, q = np.empty((7, 3)), np.empty((7, 3))
    count = 0
    for s in range(len(samples)):
        for k in range(7):
            for i in range(3):
                p[k, i] = d1[samples[s, k], i]
                q[k, i] = d2[samples[s, k], i]
        for k in range(seven_point(p, q, found)):
            if _oriented(found[k], p, q, c):
                matrices[count] = found[k]
                count += 1
    return matrices[:count]


@njit(nogil=True)
def _seven_point_once(p, q):
    matrices = np.empty((3, 9))
    return matrices[: seven_point(p, q, matrices)]


def solve_seven_point(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Fundamental matrices of seven correspondences, `x2^T F x1 = 0`.

    Parameters
    ----------
    x1, x2 : (7, 2)
        Corresponding pixels.

    Returns
    -------
    (K, 3, 3)
        The K <= 3 real solutions, each of rank two and Frobenius norm one.

    Raises
    ------
    ValueError
        If the shapes differ, there are not seven rows, or there are NaN.

    References
    ----------
    Hartley and Zisserman: Multiple View Geometry, section 11.1.2.
    """
    x1, x2 = check_pair(("x1", "x2"), x1, x2, (2, 2), 7)
    if len(x1) != 7:
        raise ValueError(f"x1, x2: expected exactly 7 rows, got {len(x1)}; see solve_eight_point")
    n1, n2 = normalization(x1), normalization(x2)
    found = _seven_point_once(n1.rays(x1), n2.rays(x2)).reshape(-1, 3, 3)
    F = n2.matrix.T @ found @ n1.matrix
    return F / np.linalg.norm(F, axis=(1, 2), keepdims=True)


def seven_point_reference(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """The same as `solve_seven_point`, for reading."""
    n1, n2 = normalization(x1), normalization(x2)
    equations = np.einsum("ni,nj->nij", n2.rays(x2), n1.rays(x1)).reshape(7, 9)
    A, B = np.linalg.svd(equations)[2][7:].reshape(2, 3, 3)
    at = np.array([-1.5, -0.5, 0.5, 1.5])
    roots = np.roots(np.polyfit(at, np.linalg.det(at[:, None, None] * A + B), 3))
    real = roots[np.abs(roots.imag) < 1e-8 * (1 + np.abs(roots))].real
    F = n2.matrix.T @ (real[:, None, None] * A + B) @ n1.matrix
    return F / np.linalg.norm(F, axis=(1, 2), keepdims=True)
