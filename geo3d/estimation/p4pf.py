"""P4Pf: pose and focal length from four points, `(u, v) ~ f (R X + t)_xy / (R X + t)_z`. Up to eight solutions.

Points in general position: the four equations `u (p2 . X) = v (p1 . X)` leave the first two rows p1, p2 of the camera
matrix `diag(f, f, 1) [R | t]` as a combination of four vectors, and the third row p3 follows linearly from p1. With
r1, r2, r3 the first three entries of the rows, `r1 . r2 = r1 . r3 = r2 . r3 = 0` are three quadratics in three
unknowns; `|r1| = |r2|` picks among their solutions, and the ratio to |r3| is the focal length. (The radial constraint
is that of Kukelova et al., "Real-time solution to the absolute pose problem with unknown radial distortion and focal
length", ICCV 2013; the quadratics are intersected as in Kukelova, Heller and Fitzgibbon, "Efficient intersection of
three quadrics", CVPR 2016.)

Points on one plane: the homography from the plane gives `h1 . h2 = 0` and `|h1| = |h2|`, linear in 1 / f^2.
"""

import numpy as np

from geo3d.estimation.homography_four_point import four_point_homography
from geo3d.estimation.polynomials import MAX_DEGREE, real_roots
from geo3d.util.jit import njit

_NODES = 1.5 * np.cos(np.pi * (np.arange(9) + 0.5) / 9)
_INTERPOLATE = np.linalg.inv(
    np.vander(_NODES, increasing=True)
)  # (9, 9): values at the nodes to coefficients


@njit(nogil=True)
def solve_rows(a, n, columns):
    """Gauss elimination with row pivots of a (n, columns), columns > n: the right part becomes the solution."""
    for k in range(n):
        pivot = k
        for r in range(k + 1, n):
            if abs(a[r, k]) > abs(a[pivot, k]):
                pivot = r
        if not abs(a[pivot, k]) > 1e-10:
            return False
        for c in range(columns):
            a[k, c], a[pivot, c] = a[pivot, c], a[k, c]
        for c in range(columns - 1, k - 1, -1):
            a[k, c] /= a[k, k]
        for r in range(n):
            if r != k:
                factor = a[r, k]
                for c in range(k, columns):
                    a[r, c] -= factor * a[k, c]
    return True


@njit(nogil=True)
def _hidden_matrix(l, z, m):
    """M(z) (3, 3) with M (x, y, 1)^T = 0 from x^2 = L1, x y = L2, y^2 = L3, L_k = a_k(z) x + b_k(z) y + c_k(z).

    The rows are y L1 = x L2, x L3 = y L2 and L2^2 = L1 L3, with x^2, x y, y^2 replaced again. `l` (3, 7) holds the
    coefficients of xz, yz, z^2, x, y, z, 1.
    """
    a1, b1, c1 = l[0, 0] * z + l[0, 3], l[0, 1] * z + l[0, 4], (l[0, 2] * z + l[0, 5]) * z + l[0, 6]
    a2, b2, c2 = l[1, 0] * z + l[1, 3], l[1, 1] * z + l[1, 4], (l[1, 2] * z + l[1, 5]) * z + l[1, 6]
    a3, b3, c3 = l[2, 0] * z + l[2, 3], l[2, 1] * z + l[2, 4], (l[2, 2] * z + l[2, 5]) * z + l[2, 6]
    for row in range(3):
        if row == 0:
            xx, xy, yy, x, y, one = -a2, a1 - b2, b1, -c2, c1, 0.0
        elif row == 1:
            xx, xy, yy, x, y, one = a3, b3 - a2, -b2, c3, -c2, 0.0
        else:
            xx, xy, yy = a2 * a2 - a1 * a3, 2 * a2 * b2 - a1 * b3 - a3 * b1, b2 * b2 - b1 * b3
            x, y, one = 2 * a2 * c2 - a1 * c3 - a3 * c1, 2 * b2 * c2 - b1 * c3 - b3 * c1, c2 * c2 - c1 * c3
        m[row, 0] = xx * a1 + xy * a2 + yy * a3 + x
        m[row, 1] = xx * b1 + xy * b2 + yy * b3 + y
        m[row, 2] = xx * c1 + xy * c2 + yy * c3 + one


@njit(nogil=True)
def intersect_quadrics(q, solutions):
    """Common points of three quadrics q (3, 10), coefficients of xx xy yy xz yz zz x y z 1; overwrites q.

    Writes x, y, z to `solutions` (8, 3); returns how many.
    """
    if not solve_rows(q, 3, 10):
        return 0
    l, m = np.empty((3, 7)), np.empty((3, 3))
    for i in range(3):
        for j in range(7):
            l[i, j] = -q[i, 3 + j]
    values, p = np.empty(9), np.zeros(MAX_DEGREE + 1)
    for i in range(9):
        _hidden_matrix(l, _NODES[i], m)
        values[i] = (
            m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
            - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
            + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
        )
    for k in range(9):
        for i in range(9):
            p[k] += _INTERPOLATE[k, i] * values[i]
    roots = np.empty(MAX_DEGREE)
    chain = np.empty((MAX_DEGREE + 1, MAX_DEGREE + 1))
    degrees = np.empty(MAX_DEGREE + 1, np.int64)
    count = 0
    for r in range(real_roots(p, 8, roots, chain, degrees)):
        _hidden_matrix(l, roots[r], m)
        best = 0.0
        for i in range(3):
            u, v = (i + 1) % 3, (i + 2) % 3
            cx = m[u, 1] * m[v, 2] - m[u, 2] * m[v, 1]
            cy = m[u, 2] * m[v, 0] - m[u, 0] * m[v, 2]
            cz = m[u, 0] * m[v, 1] - m[u, 1] * m[v, 0]
            if abs(cz) > best:
                best = abs(cz)
                solutions[count, 0], solutions[count, 1], solutions[count, 2] = cx / cz, cy / cz, roots[r]
        count += best > 0.0
    return count


@njit(nogil=True)
def _camera_from_rows(p, model):
    """R, t, f (13,) of a camera matrix (3, 4) up to scale and noise. False when it has no orientation."""
    n0 = np.sqrt(p[0, 0] ** 2 + p[0, 1] ** 2 + p[0, 2] ** 2)
    n1 = np.sqrt(p[1, 0] ** 2 + p[1, 1] ** 2 + p[1, 2] ** 2)
    n2 = np.sqrt(p[2, 0] ** 2 + p[2, 1] ** 2 + p[2, 2] ** 2)
    if not min(n0, n1, n2) > 0.0 or n0 > 3.0 * n1 or n1 > 3.0 * n0:
        return False
    det = (
        p[0, 0] * (p[1, 1] * p[2, 2] - p[1, 2] * p[2, 1])
        - p[0, 1] * (p[1, 0] * p[2, 2] - p[1, 2] * p[2, 0])
        + p[0, 2] * (p[1, 0] * p[2, 1] - p[1, 1] * p[2, 0])
    )
    sign = 1.0 if det > 0.0 else -1.0
    for i in range(3):
        model[i], model[3 + i], model[6 + i] = sign * p[0, i] / n0, sign * p[1, i] / n1, sign * p[2, i] / n2
    model[9], model[10], model[11] = sign * p[0, 3] / n0, sign * p[1, 3] / n1, sign * p[2, 3] / n2
    model[12] = np.sqrt(n0 * n1) / n2
    return True


@njit(nogil=True)
def _general(x, pixels, solved, models):
    """Points in general position; `solved` (4, 8) holds the third row as a combination of p1 (and p2)."""
    # Null space of u p2 - v p1: eliminate four of the eight unknowns.
    rows = np.zeros((4, 8))
    for i in range(4):
        for j in range(4):
            entry = 1.0 if j == 3 else x[i, j]
            rows[i, j], rows[i, 4 + j] = -pixels[i, 1] * entry, pixels[i, 0] * entry
    basis = _null_space(rows)
    third = np.zeros((4, 4))  # third row of each basis vector
    for b in range(4):
        for i in range(4):
            for k in range(8):
                third[b, i] += solved[i, k] * basis[b, k]
    quadrics = np.zeros((3, 10))
    place = _PLACE
    for e in range(3):
        for a in range(4):
            for b in range(4):
                dot = 0.0
                for i in range(3):
                    first = basis[a, i] if e < 2 else basis[a, 4 + i]
                    second = basis[b, 4 + i] if e == 0 else third[b, i]
                    dot += first * second
                quadrics[e, place[a, b]] += dot
    solutions, p = np.empty((8, 3)), np.empty((3, 4))
    count = 0
    for s in range(intersect_quadrics(quadrics, solutions)):
        for i in range(4):
            p[0, i], p[1, i], p[2, i] = basis[3, i], basis[3, 4 + i], third[3, i]
            for b in range(3):
                p[0, i] += solutions[s, b] * basis[b, i]
                p[1, i] += solutions[s, b] * basis[b, 4 + i]
                p[2, i] += solutions[s, b] * third[b, i]
        if _camera_from_rows(p, models[count]) and _in_front(models[count], x):
            count += 1
    return count


_PLACE = np.array(
    [[0, 1, 3, 6], [1, 2, 4, 7], [3, 4, 5, 8], [6, 7, 8, 9]]
)  # of a product of two of x, y, z, 1


@njit(nogil=True)
def _null_space(rows):
    """Orthonormal basis (4, 8) of the vectors orthogonal to rows (4, 8), by Gram-Schmidt, twice for accuracy."""
    q = np.zeros((8, 8))
    count = 0
    for candidate in range(12):  # the rows, then the axes in the order 0 3 6 1 4 7 2 5
        for i in range(8):
            q[count, i] = rows[candidate, i] if candidate < 4 else 0.0
        if candidate >= 4:
            q[count, 3 * (candidate - 4) % 8] = 1.0
        size = 0.0
        for i in range(8):
            size += q[count, i] ** 2
        for _ in range(2):
            for k in range(count):
                dot = 0.0
                for i in range(8):
                    dot += q[count, i] * q[k, i]
                for i in range(8):
                    q[count, i] -= dot * q[k, i]
        left = 0.0
        for i in range(8):
            left += q[count, i] ** 2
        if left > 1e-4 * size:
            for i in range(8):
                q[count, i] /= np.sqrt(left)
            count += 1
            if count == 8:
                break
    return q[4:]


@njit(nogil=True)
def _in_front(model, x):
    least = np.inf
    for i in range(4):
        least = min(least, model[6] * x[i, 0] + model[7] * x[i, 1] + model[8] * x[i, 2] + model[11])
    return least > 0.0


@njit(nogil=True)
def _planar(x, pixels, models):
    """Points on one plane: its homography, then w = 1 / f^2 by least squares from the two conditions on h1 and h2."""
    p, q, h = np.empty((4, 3)), np.empty((4, 3)), np.empty(9)
    e = np.empty((3, 3))  # two directions in the plane, and its normal
    for i in range(3):
        e[0, i], e[1, i] = x[1, i] - x[0, i], x[2, i] - x[0, i]
    for k in range(2):
        dot, norm = 0.0, 0.0
        for i in range(3):
            dot += e[0, i] * e[1, i]
        for i in range(3):
            if k == 1:
                e[1, i] -= dot * e[0, i]
            norm += e[k, i] ** 2
        if not norm > 1e-16:
            return 0
        for i in range(3):
            e[k, i] /= np.sqrt(norm)
    for i in range(3):
        i1, i2 = (i + 1) % 3, (i + 2) % 3
        e[2, i] = e[0, i1] * e[1, i2] - e[0, i2] * e[1, i1]
    for i in range(4):
        for k in range(2):
            p[i, k] = 0.0
            for j in range(3):
                p[i, k] += e[k, j] * (x[i, j] - x[0, j])
        p[i, 2] = q[i, 2] = 1.0
        q[i, 0], q[i, 1] = pixels[i, 0], pixels[i, 1]
    if not four_point_homography(p, q, h):
        return 0
    a0, b0 = h[0] * h[1] + h[3] * h[4], h[6] * h[7]
    a1, b1 = h[0] ** 2 + h[3] ** 2 - h[1] ** 2 - h[4] ** 2, h[6] ** 2 - h[7] ** 2
    below = a0 * a0 + a1 * a1
    above = -(a0 * b0 + a1 * b1)
    if not above > 1e-12 * below or not below > 0.0:
        return 0  # facing the camera, where the focal length is not determined, or no camera at all
    f = np.sqrt(below / above)
    n = 1.0 / np.sqrt((h[0] / f) ** 2 + (h[3] / f) ** 2 + h[6] ** 2)
    m, rows = models[0], np.empty((3, 4))
    for i in range(3):
        g = n / f if i < 2 else n
        for j in range(3):
            rows[i, j] = h[3 * i] * g * e[0, j] + h[3 * i + 1] * g * e[1, j]
        rows[i, 3] = h[3 * i + 2] * g
    r1, r2 = np.empty(3), np.empty(3)
    for i in range(3):
        g = n / f if i < 2 else n
        r1[i], r2[i] = h[3 * i] * g, h[3 * i + 1] * g
    for i in range(3):
        i1, i2 = (i + 1) % 3, (i + 2) % 3
        r3 = r1[i1] * r2[i2] - r1[i2] * r2[i1]
        m[9 + i] = rows[i, 3]
        for j in range(3):
            m[3 * i + j] = rows[i, j] + r3 * e[2, j]
            m[9 + i] -= m[3 * i + j] * x[0, j]
    m[12] = f
    return 1 if _in_front(m, x) else 0


@njit(nogil=True)
def p4pf(x, pixels, models):
    """Write R, t, f (13,) of four points x (4, 3) and centred pixels (4, 2), both of size about one, to `models`
    (8, 13); return how many. The rotation is exact only for pixels without noise: refine it."""
    system = np.zeros((4, 12))  # (X, 1) . p3 = (X, 1) . p_k / pixel_k, k the larger coordinate
    for i in range(4):
        k = 0 if abs(pixels[i, 0]) > abs(pixels[i, 1]) else 1
        if not abs(pixels[i, k]) > 1e-12:
            return 0
        for j in range(4):
            entry = 1.0 if j == 3 else x[i, j]
            system[i, j] = entry
            system[i, 4 + 4 * k + j] = entry / pixels[i, k]
    if not solve_rows(system, 4, 12):
        return _planar(x, pixels, models)
    return _general(x, pixels, system[:, 4:], models)


@njit(nogil=True)
def p4pf_models(points, pixels, samples):
    """R, t, f (K, 13) of the samples (B, 4), rows of points (N, 3) and centred pixels (N, 2)."""
    models = np.empty((8 * len(samples), 13))
    x, u = np.empty((4, 3)), np.empty((4, 2))
    count = 0
    for s in range(len(samples)):
        for p in range(4):
            for i in range(3):
                x[p, i] = points[samples[s, p], i]
            u[p, 0], u[p, 1] = pixels[samples[s, p], 0], pixels[samples[s, p], 1]
        count += p4pf(x, u, models[count:])
    return models[:count]
