"""P3P: the poses `d_i ~ R X_i + t` of three points X (3, 3) seen along the unit bearings d (3, 3). Up to four.

The distances l along the rays satisfy `l_i^2 + l_j^2 - 2 (d_i . d_j) l_i l_j = |X_i - X_j|^2`. Two homogeneous
combinations are conics in l; a root of a cubic gives the member of their pencil that splits into two lines, each of
which meets the other conic twice (Persson and Nordberg, "Lambda Twist", ECCV 2018; Ding et al., "Revisiting the P3P
problem", CVPR 2023). The distances are polished by Newton's method.
"""

import numpy as np

from geo3d.estimation.checks import check_array, check_pair, unit_rows
from geo3d.estimation.polynomials import cubic_root
from geo3d.estimation.small_linalg import cofactors
from geo3d.geometry import SE3
from geo3d.util.jit import njit


@njit(nogil=True)
def _determinant(m):
    return (
        m[0] * (m[4] * m[8] - m[5] * m[7])
        - m[1] * (m[3] * m[8] - m[5] * m[6])
        + m[2] * (m[3] * m[7] - m[4] * m[6])
    )


@njit(nogil=True)
def _split_conic(m, c, lines):
    """Two lines (2, 3) whose product is the symmetric singular m (9,). False when they are not real."""
    cofactors(m, c)
    k = 0
    for i in range(1, 3):
        if c[4 * i] < c[4 * k]:
            k = i
    if not c[4 * k] < 0.0:
        return False
    scale = 1.0 / np.sqrt(-c[4 * k])  # cof = -p p^T, p the point where the lines meet
    p0, p1, p2 = c[k] * scale, c[3 + k] * scale, c[6 + k] * scale
    n = c
    n[0], n[1], n[2] = m[0], m[1] - p2, m[2] + p1  # m + [p]x has rank one
    n[3], n[4], n[5] = m[3] + p2, m[4], m[5] - p0
    n[6], n[7], n[8] = m[6] - p1, m[7] + p0, m[8]
    largest = 0
    for i in range(1, 9):
        if abs(n[i]) > abs(n[largest]):
            largest = i
    row, column = largest // 3, largest % 3
    for i in range(3):
        lines[0, i] = n[3 * row + i]
        lines[1, i] = n[3 * i + column]
    return True


@njit(nogil=True)
def _meet(line, conic, distances):
    """Ratios of distances (2, 3), all positive, on the line and the conic (9,); return how many."""
    k = 0
    for i in range(1, 3):
        if abs(line[i]) > abs(line[k]):
            k = i
    if line[k] == 0.0:
        return 0
    i, j = (k + 1) % 3, (k + 2) % 3
    u, v = -line[i] / line[k], -line[j] / line[k]  # l_k = u l_i + v l_j
    a = conic[4 * i] + 2.0 * u * conic[3 * i + k] + u * u * conic[4 * k]
    b = conic[3 * i + j] + v * conic[3 * i + k] + u * conic[3 * j + k] + u * v * conic[4 * k]
    c = conic[4 * j] + 2.0 * v * conic[3 * j + k] + v * v * conic[4 * k]
    discriminant = b * b - a * c
    if discriminant < 0.0:
        if discriminant < -1e-12 * (b * b + abs(a * c)):
            return 0
        discriminant = 0.0
    q = -b - np.sqrt(discriminant) if b > 0.0 else -b + np.sqrt(discriminant)
    count = 0
    for which in range(2):  # l_i : l_j = q : a and c : q
        li, lj = (q, a) if which == 0 else (c, q)
        lk = u * li + v * lj
        if li < 0.0:
            li, lj, lk = -li, -lj, -lk
        if li > 0.0 and lj > 0.0 and lk > 0.0:
            distances[count, i], distances[count, j], distances[count, k] = li, lj, lk
            count += 1
    return count


@njit(nogil=True)
def _polish(l, c01, c02, c12, a01, a02, a12):
    """Newton's method on the three cosine rules; False when it does not settle."""
    error = 0.0
    for _ in range(5):
        r0 = l[0] * l[0] + l[1] * l[1] - 2.0 * c01 * l[0] * l[1] - a01
        r1 = l[0] * l[0] + l[2] * l[2] - 2.0 * c02 * l[0] * l[2] - a02
        r2 = l[1] * l[1] + l[2] * l[2] - 2.0 * c12 * l[1] * l[2] - a12
        error = abs(r0) + abs(r1) + abs(r2)
        if error < 1e-14 * (a01 + a02 + a12):
            return True
        j00, j01 = l[0] - c01 * l[1], l[1] - c01 * l[0]
        j10, j12 = l[0] - c02 * l[2], l[2] - c02 * l[0]
        j21, j22 = l[1] - c12 * l[2], l[2] - c12 * l[1]
        det = -j00 * j12 * j21 - j01 * j10 * j22
        if det == 0.0:
            break
        h = 0.5 / det
        l[0] -= h * (-j12 * j21 * r0 - j01 * j22 * r1 + j01 * j12 * r2)
        l[1] -= h * (-j10 * j22 * r0 + j00 * j22 * r1 - j00 * j12 * r2)
        l[2] -= h * (j10 * j21 * r0 - j00 * j21 * r1 - j01 * j10 * r2)
    return error < 1e-9 * (a01 + a02 + a12)


@njit(nogil=True)
def _pose(x, d, l, pose):
    """R, t with l_i d_i = R X_i + t: the frames of the two triangles. False when the points are in line."""
    a, b = np.empty((3, 3)), np.empty((3, 3))  # rows: two edges made orthonormal, and their cross product
    for which in range(2):
        f = a if which == 0 else b
        for i in range(3):
            if which == 0:
                f[0, i], f[1, i] = x[1, i] - x[0, i], x[2, i] - x[0, i]
            else:
                f[0, i], f[1, i] = l[1] * d[1, i] - l[0] * d[0, i], l[2] * d[2, i] - l[0] * d[0, i]
        square = f[0, 0] * f[0, 0] + f[0, 1] * f[0, 1] + f[0, 2] * f[0, 2]
        edge = f[1, 0] * f[1, 0] + f[1, 1] * f[1, 1] + f[1, 2] * f[1, 2]
        if not square > 0.0:
            return False
        dot = (f[0, 0] * f[1, 0] + f[0, 1] * f[1, 1] + f[0, 2] * f[1, 2]) / square
        for i in range(3):
            f[1, i] -= dot * f[0, i]
        height = f[1, 0] * f[1, 0] + f[1, 1] * f[1, 1] + f[1, 2] * f[1, 2]
        if not height > 1e-16 * edge:
            return False
        for i in range(3):
            f[0, i] /= np.sqrt(square)
            f[1, i] /= np.sqrt(height)
        for i in range(3):
            i1, i2 = (i + 1) % 3, (i + 2) % 3
            f[2, i] = f[0, i1] * f[1, i2] - f[0, i2] * f[1, i1]
    for i in range(3):
        for j in range(3):
            pose[3 * i + j] = b[0, i] * a[0, j] + b[1, i] * a[1, j] + b[2, i] * a[2, j]
    for i in range(3):
        rx = pose[3 * i] * x[0, 0] + pose[3 * i + 1] * x[0, 1] + pose[3 * i + 2] * x[0, 2]
        pose[9 + i] = l[0] * d[0, i] - rx
    return True


@njit(nogil=True)
def p3p(x, d, poses):
    """Write the poses of three points x (3, 3) with unit bearings d (3, 3) to `poses` (4, 12); return how many."""
    c01 = d[0, 0] * d[1, 0] + d[0, 1] * d[1, 1] + d[0, 2] * d[1, 2]
    c02 = d[0, 0] * d[2, 0] + d[0, 1] * d[2, 1] + d[0, 2] * d[2, 2]
    c12 = d[1, 0] * d[2, 0] + d[1, 1] * d[2, 1] + d[1, 2] * d[2, 2]
    a01, a02, a12 = 0.0, 0.0, 0.0
    for i in range(3):
        a01 += (x[0, i] - x[1, i]) ** 2
        a02 += (x[0, i] - x[2, i]) ** 2
        a12 += (x[1, i] - x[2, i]) ** 2
    total = a01 + a02 + a12
    if not min(a01, a02, a12) > 1e-20 * total:
        return 0
    s01, s02, s12 = a01 / total, a02 / total, a12 / total
    m, other, c, d0 = np.zeros(9), np.zeros(9), np.empty(9), np.empty(9)
    # |X1-X2|^2 (equation 01) - |X0-X1|^2 (equation 12), and the same with 02
    m[0], m[4], m[8] = s12, s12 - s01, -s01
    m[1] = m[3] = -s12 * c01
    m[5] = m[7] = s01 * c12
    other[0], other[4], other[8] = s12, -s02, s12 - s02
    other[2] = other[6] = -s12 * c02
    other[5] = other[7] = s02 * c12
    low, high = _determinant(m), _determinant(other)
    if abs(high) < abs(low):  # the larger determinant leads the cubic
        m, other, low, high = other, m, high, low
    if high == 0.0:
        return 0
    linear, quadratic = 0.0, 0.0
    cofactors(m, c)
    for i in range(9):
        linear += c[i] * other[i]
    cofactors(other, c)
    for i in range(9):
        quadratic += c[i] * m[i]
    gamma = cubic_root(quadratic / high, linear / high, low / high)
    for i in range(9):
        d0[i] = m[i] + gamma * other[i]
    lines, l = np.empty((2, 3)), np.empty((2, 3))
    if not _split_conic(d0, c, lines):
        return 0
    conic = other if abs(gamma) < 1.0 else m
    count = 0
    for which in range(2):
        for k in range(_meet(lines[which], conic, l)):
            v = l[k]
            square = v[0] * v[0] + v[1] * v[1] - 2.0 * c01 * v[0] * v[1]
            square += v[0] * v[0] + v[2] * v[2] - 2.0 * c02 * v[0] * v[2]
            square += v[1] * v[1] + v[2] * v[2] - 2.0 * c12 * v[1] * v[2]
            if not square > 0.0:
                continue
            scale = np.sqrt(total / square)
            for i in range(3):
                v[i] *= scale
            if _polish(v, c01, c02, c12, a01, a02, a12) and min(v[0], v[1], v[2]) > 0.0:
                count += _pose(x, d, v, poses[count])
    return count


@njit(nogil=True)
def p3p_poses(points, bearings, samples):
    """Poses (K, 12) (R row by row, then t) of the samples (B, 3), rows of points and unit bearings (N, 3)."""
    poses = np.empty((4 * len(samples), 12))
    x, d = np.empty((3, 3)), np.empty((3, 3))
    count = 0
    for s in range(len(samples)):
        for p in range(3):
            for i in range(3):
                x[p, i] = points[samples[s, p], i]
                d[p, i] = bearings[samples[s, p], i]
        count += p3p(x, d, poses[count:])
    return poses[:count]


def solve_p3p(points: np.ndarray, bearings: np.ndarray) -> list[SE3]:
    """Poses of a camera that sees three points along three rays.

    Parameters
    ----------
    points : (3, 3)
        World points.
    bearings : (3, 3)
        Rays in the camera, of any length.

    Returns
    -------
    list of SE3
        At most four `cam_from_world` with all points in front along their rays; none for points in line.

    Raises
    ------
    ValueError
        If there are not three rows each, or NaN or rays of length zero.
    """
    points, bearings = check_pair(("points", "bearings"), points, bearings, (3, 3), 3)
    if len(check_array("points", points, 3)) != 3:
        raise ValueError(f"points, bearings: expected exactly 3 rows, got {len(points)}")
    poses = p3p_poses(points, unit_rows("bearings", bearings), np.arange(3)[None])
    return [SE3(p[:9].reshape(3, 3), p[9:]) for p in poses]


def p3p_reference(points: np.ndarray, bearings: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same as `solve_p3p`, for reading: Grunert's quartic (1841), then the rotation between two triangles.

    With `u = l1 / l0`, `v = l2 / l0` the three cosine rules leave two quadratics in u and v; u follows from v
    linearly, and v from a quartic that is interpolated here from five values.
    """
    from geo3d.geometry import umeyama

    a = np.sum((points[1] - points[2]) ** 2)
    b = np.sum((points[0] - points[2]) ** 2)
    c = np.sum((points[0] - points[1]) ** 2)
    cos_a, cos_b, cos_c = bearings[1] @ bearings[2], bearings[0] @ bearings[2], bearings[0] @ bearings[1]

    def u_parts(v):  # u = numerator / denominator
        g = 1 + v * v - 2 * v * cos_b
        return (a - c) / b * g - v * v + 1, 2 * (cos_c - v * cos_a)

    def quartic(v):  # b (1 + u^2 - 2 u cos_c) = c (1 + v^2 - 2 v cos_b), times the denominator squared
        n, q = u_parts(v)
        return (q * q + n * n - 2 * n * q * cos_c) - c / b * (1 + v * v - 2 * v * cos_b) * q * q

    at = np.linspace(-2, 2, 5)
    roots = np.roots(np.polyfit(at, quartic(at), 4))
    poses = []
    for v in roots[np.abs(roots.imag) < 1e-7 * (1 + np.abs(roots))].real:
        n, q = u_parts(v)
        u = n / q
        if v > 0 and u > 0:
            l0 = np.sqrt(b / (1 + v * v - 2 * v * cos_b))
            pose = umeyama(points, bearings * np.array([[l0], [u * l0], [v * l0]]), with_scale=False)
            poses.append((pose.rotation, pose.translation))
    return poses
