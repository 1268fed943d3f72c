"""Kernels of Lucas-Kanade tracking: a window of image 0 finds its place in image 1.

The window around a point has the values T(x) and the gradient g(x), both less their means, x from -r to r. Over the
parameters p of the motion x -> A x + d of the window, Gauss-Newton steps in the inverse form (Baker, Matthews 2004)
solve, with the steepest descents s(x) = g for a translation and (g, x g_x, x g_y, y g_x, y g_y) for an affine motion,

    (sum s s^T) dp = sum s (I1(A x + d) - T(x)),        motion <- motion o (1 + dp)^-1.

Images are read bicubically, their border pixels repeated. Places are indices here: the centre of the top-left pixel is
(0, 0).
"""

import numba
import numpy as np

from geo3d.flow.sampling import keys_weights
from geo3d.util.jit import njit

_STRICT = {"error_model": "numpy"}


@njit(**_STRICT)
def read(image, x, y):
    """The image at (x, y), bicubic; beyond its border that of the nearest pixel."""
    height, width = image.shape
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, top = np.int64(x), np.int64(y)
    a, b = keys_weights(x - left), keys_weights(y - top)
    total = 0.0
    for j in range(4):
        row = image[min(max(top + j - 1, 0), height - 1)]
        line = 0.0
        for i in range(4):
            line += a[i] * row[min(max(left + i - 1, 0), width - 1)]
        total += b[j] * line
    return total


@njit(**_STRICT)
def window(image, x, y, radius, values, descents):
    """Values (n,) of the window around (x, y), and its steepest descents (n, 6) for (A, d): less their means.

    Columns: g_x, g_y (translation), then x g_x, x g_y, y g_x, y g_y.
    """
    side = 2 * radius + 1
    wide = np.empty((side + 2, side + 2))
    for j in range(side + 2):
        for i in range(side + 2):
            wide[j, i] = read(image, x + float(i - radius - 1), y + float(j - radius - 1))
    for j in range(side):
        for i in range(side):
            k, dx, dy = j * side + i, float(i - radius), float(j - radius)
            values[k] = wide[j + 1, i + 1]
            gx, gy = 0.5 * (wide[j + 1, i + 2] - wide[j + 1, i]), 0.5 * (wide[j + 2, i + 1] - wide[j, i + 1])
            descents[k, 0], descents[k, 1] = gx, gy
            descents[k, 2], descents[k, 3], descents[k, 4], descents[k, 5] = (
                dx * gx,
                dx * gy,
                dy * gx,
                dy * gy,
            )
    values -= values.mean()
    for c in range(6):
        descents[:, c] -= descents[:, c].mean()


@njit(**_STRICT)
def normal_matrix(descents, count, matrix):
    """sum s s^T over the window, of the first `count` descents, into matrix (6, 6)."""
    for a in range(count):
        for b in range(count):
            total = 0.0
            for k in range(descents.shape[0]):
                total += descents[k, a] * descents[k, b]
            matrix[a, b] = total


@njit(**_STRICT)
def solve_step(matrix, right, count, step):
    """step = matrix^-1 right by Cholesky's factors, which replace the lower triangle; False if it is singular."""
    for a in range(count):
        largest = matrix[a, a]
        for b in range(a + 1):
            total = matrix[a, b]
            for k in range(b):
                total -= matrix[a, k] * matrix[b, k]
            if a == b:
                if total <= 1e-10 * largest or not total > 0.0:
                    return False
                matrix[a, a] = np.sqrt(total)
            else:
                matrix[a, b] = total / matrix[b, b]
    for a in range(count):
        total = right[a]
        for k in range(a):
            total -= matrix[a, k] * step[k]
        step[a] = total / matrix[a, a]
    for a in range(count - 1, -1, -1):
        total = step[a]
        for k in range(a + 1, count):
            total -= matrix[k, a] * step[k]
        step[a] = total / matrix[a, a]
    return True


@njit(**_STRICT)
def _changes(image, motion, radius, values, change):
    """I1(A x + d) - T(x) over the window, less its mean; returns its mean square. motion: d, then A by columns."""
    side = 2 * radius + 1
    for j in range(side):
        for i in range(side):
            dx, dy = float(i - radius), float(j - radius)
            x = motion[0] + motion[2] * dx + motion[4] * dy
            y = motion[1] + motion[3] * dx + motion[5] * dy
            change[j * side + i] = read(image, x, y) - values[j * side + i]
    change -= change.mean()
    return (change * change).mean()


@njit(**_STRICT)
def _compose(motion, step):
    """motion <- motion o (1 + step)^-1, in place."""
    a, b, c, d = 1.0 + step[2], step[4], step[3], 1.0 + step[5]
    scale = 1.0 / (a * d - b * c)
    i11, i12, i21, i22 = d * scale, -b * scale, -c * scale, a * scale
    x, y = i11 * step[0] + i12 * step[1], i21 * step[0] + i22 * step[1]
    m11, m21, m12, m22 = motion[2], motion[3], motion[4], motion[5]
    motion[0] -= m11 * x + m12 * y
    motion[1] -= m21 * x + m22 * y
    motion[2], motion[4] = m11 * i11 + m12 * i21, m11 * i12 + m12 * i22
    motion[3], motion[5] = m21 * i11 + m22 * i21, m21 * i12 + m22 * i22


@njit(**_STRICT)
def descend(image, motion, radius, count, iterations, values, descents, change):
    """Gauss-Newton on the first `count` parameters, in place on motion (6,); the mean square left, inf if singular."""
    matrix, factors = np.empty((6, 6)), np.empty((6, 6))
    right, step, best = np.empty(6), np.zeros(6), motion.copy()
    normal_matrix(descents, count, matrix)
    least = _changes(image, motion, radius, values, change)
    for _ in range(iterations):
        for a in range(count):
            right[a] = 0.0
            for k in range(change.shape[0]):
                right[a] += descents[k, a] * change[k]
        factors[:] = matrix
        if not solve_step(factors, right, count, step):
            return np.inf
        step[count:] = 0.0
        if abs(step[2]) + abs(step[3]) + abs(step[4]) + abs(step[5]) > 0.5:
            break
        _compose(motion, step)
        now = _changes(image, motion, radius, values, change)
        if now > least:
            break
        best[:], least = motion, now
        if step[0] * step[0] + step[1] * step[1] < 1e-8 and np.abs(step[2:]).max() < 1e-5:
            break
    motion[:] = best
    return least


@njit(parallel=True, **_STRICT)
def track(image0, image1, points, radius, iterations, count, motions, squares, contrast):
    """Follow points (N, 2) of image 0 over the first `count` parameters, 2 or 6, in place on motions (N, 6).

    Also into squares (N,), the mean squares that are left (inf where the window has no structure), and contrast (N,):
    the smaller eigenvalue of the window's mean of g g^T.
    """
    size = (2 * radius + 1) ** 2
    for n in numba.prange(points.shape[0]):
        values, descents, change = np.empty(size), np.empty((size, 6)), np.empty(size)
        window(image0, points[n, 0], points[n, 1], radius, values, descents)
        squares[n] = descend(image1, motions[n], radius, count, iterations, values, descents, change)
        xx, xy, yy = 0.0, 0.0, 0.0
        for k in range(size):
            xx += descents[k, 0] * descents[k, 0] / size
            xy += descents[k, 0] * descents[k, 1] / size
            yy += descents[k, 1] * descents[k, 1] / size
        contrast[n] = 0.5 * (xx + yy) - np.sqrt(0.25 * (xx - yy) ** 2 + xy * xy)
