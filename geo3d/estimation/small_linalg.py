"""Small dense algebra for compiled kernels, where LAPACK would cost more than the arithmetic."""

import numpy as np

from geo3d.util.jit import njit


@njit(nogil=True)
def solve_damped(a, b, damping, n, l, x):
    """Solve (A + damping (diag A + mean diag A / 1000)) x = b for a symmetric A (n, n), by Cholesky.

    `l` (n, n) is scratch. False when the damped matrix is not positive definite.
    """
    trace = 0.0
    for i in range(n):
        trace += a[i, i]
    floor = 1e-3 * trace / n
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            if i == j:
                total += damping * (a[i, i] + floor)
            for k in range(j):
                total -= l[i, k] * l[j, k]
            if i == j:
                if not total > 0.0:
                    return False
                l[i, i] = np.sqrt(total)
            else:
                l[i, j] = total / l[j, j]
    for i in range(n):
        total = b[i]
        for k in range(i):
            total -= l[i, k] * x[k]
        x[i] = total / l[i, i]
    for i in range(n - 1, -1, -1):
        total = x[i]
        for k in range(i + 1, n):
            total -= l[k, i] * x[k]
        x[i] = total / l[i, i]
    return True


@njit(nogil=True)
def rotate_left(w, r, out):
    """out = exp([w]x) R, rotations (9,) row by row (Rodrigues)."""
    square = w[0] * w[0] + w[1] * w[1] + w[2] * w[2]
    if square > 1e-8:
        angle = np.sqrt(square)
        s, c = np.sin(angle) / angle, (1.0 - np.cos(angle)) / square
    else:
        s, c = 1.0 - square / 6.0, 0.5 - square / 24.0
    for j in range(3):
        x, y, z = r[j], r[3 + j], r[6 + j]
        cx, cy, cz = w[1] * z - w[2] * y, w[2] * x - w[0] * z, w[0] * y - w[1] * x
        out[j] = x + s * cx + c * (w[1] * cz - w[2] * cy)
        out[3 + j] = y + s * cy + c * (w[2] * cx - w[0] * cz)
        out[6 + j] = z + s * cz + c * (w[0] * cy - w[1] * cx)


@njit(nogil=True)
def orthonormalise(r):
    """Gram-Schmidt on the rows of a rotation (9,), against drift over many small steps."""
    n = 1.0 / np.sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2])
    for i in range(3):
        r[i] *= n
    d = r[0] * r[3] + r[1] * r[4] + r[2] * r[5]
    for i in range(3):
        r[3 + i] -= d * r[i]
    n = 1.0 / np.sqrt(r[3] * r[3] + r[4] * r[4] + r[5] * r[5])
    for i in range(3):
        r[3 + i] *= n
    r[6] = r[1] * r[5] - r[2] * r[4]
    r[7] = r[2] * r[3] - r[0] * r[5]
    r[8] = r[0] * r[4] - r[1] * r[3]


@njit(nogil=True)
def solve3(a, b, x):
    """x = A^-1 b for a symmetric A given as (a00, a01, a02, a11, a12, a22), by cofactors. False when singular."""
    c00 = a[3] * a[5] - a[4] * a[4]
    c01 = a[2] * a[4] - a[1] * a[5]
    c02 = a[1] * a[4] - a[2] * a[3]
    det = a[0] * c00 + a[1] * c01 + a[2] * c02
    scale = a[0] + a[3] + a[5]
    if not abs(det) > 1e-18 * scale * scale * scale:
        return False
    c11 = a[0] * a[5] - a[2] * a[2]
    c12 = a[1] * a[2] - a[0] * a[4]
    c22 = a[0] * a[3] - a[1] * a[1]
    inverse = 1.0 / det
    x[0] = (c00 * b[0] + c01 * b[1] + c02 * b[2]) * inverse
    x[1] = (c01 * b[0] + c11 * b[1] + c12 * b[2]) * inverse
    x[2] = (c02 * b[0] + c12 * b[1] + c22 * b[2]) * inverse
    return True


@njit(nogil=True)
def null_space9(a, n, basis):
    """Orthonormal basis (9 - n, 9) of the vectors orthogonal to the columns of `a` (9, n); `a` is overwritten.

    Householder reflections. False when the columns depend on each other.
    """
    scale = 0.0
    for k in range(n):
        norm = 0.0
        for i in range(k, 9):
            norm += a[i, k] * a[i, k]
        norm = np.sqrt(norm)
        scale = max(scale, norm)
        if not norm > 1e-10 * scale:
            return False
        if a[k, k] > 0.0:
            norm = -norm
        a[k, k] -= norm  # column k below the diagonal now holds the reflection's vector
        beta = -1.0 / (norm * a[k, k])
        for c in range(k + 1, n):
            dot = 0.0
            for i in range(k, 9):
                dot += a[i, k] * a[i, c]
            dot *= beta
            for i in range(k, 9):
                a[i, c] -= dot * a[i, k]
    for b in range(9 - n):
        for i in range(9):
            basis[b, i] = 0.0
        basis[b, n + b] = 1.0
        for k in range(n - 1, -1, -1):
            dot, square = 0.0, 0.0
            for i in range(k, 9):
                dot += a[i, k] * basis[b, i]
                square += a[i, k] * a[i, k]
            dot *= 2.0 / square
            for i in range(k, 9):
                basis[b, i] -= dot * a[i, k]
    return True


@njit(nogil=True)
def cofactors(m, c):
    """Cofactor matrix of a 3x3 matrix, both (9,) row by row: cof(A B) = cof(A) cof(B), cof(R) = R."""
    for i in range(3):
        i1, i2 = 3 * ((i + 1) % 3), 3 * ((i + 2) % 3)
        for j in range(3):
            j1, j2 = (j + 1) % 3, (j + 2) % 3
            c[3 * i + j] = m[i1 + j1] * m[i2 + j2] - m[i1 + j2] * m[i2 + j1]
