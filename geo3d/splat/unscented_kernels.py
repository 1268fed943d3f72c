"""The unscented transform of geo3d.splat.unscented, one Gaussian at a time; float64.

What is computed, and in which order, stands there, in NumPy; the lenses are those of geo3d.cameras.kernels. A Gaussian
is skipped as soon as one of its seven points has no pixel.
"""

import math

import numpy as np

from geo3d.cameras.kernels import MAX_PARAMS, project, project_with_jacobians
from geo3d.util.jit import njit
from geo3d.util.lanes import next_item

CHUNK = 512  # Gaussians that a thread takes at a time
LENS = 7  # columns of an ellipse, see projection_kernels
POSE = 12  # R and T row by row

_ROOT = math.sqrt(3.0)
_OPTIONS = {"nogil": True, "error_model": "numpy"}


@njit(**_OPTIONS)
def _within(x, y, z, limit, slope):
    """Whether a point is finite and at most `limit` radians from the axis, as `geo3d.cameras.evaluate.within` has it;
    `slope` is tan(limit)^2.
    """
    inside = math.isfinite(x + y + z)
    if limit < math.pi:
        rho2, cone = x * x + y * y, slope * z * z
        if abs(limit - 0.5 * math.pi) < 1e-15:
            inside = inside and z >= 0.0
        elif limit < 0.5 * math.pi:
            inside = inside and z > 0.0 and rho2 <= cone
        else:
            inside = inside and (z >= 0.0 or rho2 >= cone)
    return inside


@njit(**_OPTIONS)
def _unit(quaternions, i):
    """Quaternion i divided by its length, and that."""
    w, x = np.float64(quaternions[i, 0]), np.float64(quaternions[i, 1])
    y, z = np.float64(quaternions[i, 2]), np.float64(quaternions[i, 3])
    length = math.sqrt(w * w + x * x + y * y + z * z)
    return w / length, x / length, y / length, z / length, length


@njit(**_OPTIONS)
def _sigma_points(pose, means, quaternions, log_scales, i, turn, points):
    """Fill `points` (7, 3), and `turn` (3, 3) with the rotation of Gaussian i to the world; False without one."""
    w, x, y, z, length = _unit(quaternions, i)
    if not (length > 0.0 and math.isfinite(length)):
        return False
    turn[0, 0], turn[0, 1], turn[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    turn[1, 0], turn[1, 1], turn[1, 2] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    turn[2, 0], turn[2, 1], turn[2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)
    for row in range(3):
        a, b, c = pose[4 * row], pose[4 * row + 1], pose[4 * row + 2]
        t = a * means[i, 0] + b * means[i, 1] + c * means[i, 2] + pose[4 * row + 3]
        points[0, row] = t
        for k in range(3):
            along = a * turn[0, k] + b * turn[1, k] + c * turn[2, k]
            step = _ROOT * along * math.exp(np.float64(log_scales[i, k]))
            points[1 + 2 * k, row] = t + step
            points[2 + 2 * k, row] = t - step
    return True


@njit(**_OPTIONS)
def lens_forward(counter, model, params, limit, slope, pose, near, means, quaternions, log_scales, lens):
    """Fill `lens` (N, 7) float32; rows of NaN are not seen."""
    n = len(means)
    turn, points, pixels = np.empty((3, 3)), np.empty((7, 3)), np.empty((7, 2))
    chunk = next_item(counter)
    while chunk * CHUNK < n:
        for i in range(chunk * CHUNK, min(n, (chunk + 1) * CHUNK)):
            seen = _sigma_points(pose, means, quaternions, log_scales, i, turn, points)
            distance = math.sqrt(points[0, 0] ** 2 + points[0, 1] ** 2 + points[0, 2] ** 2)
            seen = seen and distance >= near
            for j in range(7):
                if seen:
                    x, y, z = points[j, 0], points[j, 1], points[j, 2]
                    seen = _within(x, y, z, limit, slope) and project(model, params, x, y, z, pixels[j])
                    seen = seen and math.isfinite(pixels[j, 0] + pixels[j, 1])
            if not seen:
                lens[i, :] = np.nan
                continue
            u, v = 0.0, 0.0
            for j in range(1, 7):
                u, v = u + pixels[j, 0] / 6, v + pixels[j, 1] / 6
            xx, xy, yy = 0.0, 0.0, 0.0
            for j in range(7):
                weight = 2.0 if j == 0 else 1.0 / 6
                dx, dy = pixels[j, 0] - u, pixels[j, 1] - v
                xx, xy, yy = xx + weight * dx * dx, xy + weight * dx * dy, yy + weight * dy * dy
            lens[i, 0], lens[i, 1] = u, v
            lens[i, 2], lens[i, 3], lens[i, 4], lens[i, 5] = xx, xy, yy, xx * yy - xy * xy
            lens[i, 6] = distance
        chunk = next_item(counter)


@njit(**_OPTIONS)
def lens_gradients(
    counter, model, params, pose, means, quaternions, log_scales, rows, by_ellipse, d_means, d_quaternions,
    d_log_scales, d_poses,
):  # fmt: skip
    """Add the gradients of the Gaussians `rows` to `d_means`, `d_quaternions` and `d_log_scales`; that by [R | t] into
    a row of `d_poses` (chunks, 12) each.
    """
    n = len(rows)
    turn, points, pixels, by_points = np.empty((3, 3)), np.empty((7, 3)), np.empty((7, 2)), np.empty((7, 3))
    d_point, d_params, g = np.empty((7, 2, 3)), np.empty((2, MAX_PARAMS)), np.empty((3, 3))
    chunk = next_item(counter)
    while chunk * CHUNK < n:
        d_pose = d_poses[chunk]
        d_pose[:] = 0.0
        for row in range(chunk * CHUNK, min(n, (chunk + 1) * CHUNK)):
            i = rows[row]
            _sigma_points(pose, means, quaternions, log_scales, i, turn, points)
            u, v = 0.0, 0.0
            for j in range(7):
                x, y, z = points[j, 0], points[j, 1], points[j, 2]
                project_with_jacobians(model, params, x, y, z, pixels[j], d_point[j], d_params)
                if j:
                    u, v = u + pixels[j, 0] / 6, v + pixels[j, 1] / 6
            _point_slopes(by_ellipse[row], pixels, d_point, u, v, by_points)
            _parameter_slopes(pose, means, log_scales, i, turn, by_points, g, d_means, d_log_scales, d_pose)
            _quaternion_slopes(quaternions, i, g, d_quaternions)
        chunk = next_item(counter)


@njit(**_OPTIONS)
def _point_slopes(by_ellipse, pixels, d_point, u, v, by_points):
    """Gradients by the seven points (7, 3): by C = sum c_j d_j d_j^T it is c_j P d_j for a pixel, P twice the gradient;
    the centre takes its part of them along.
    """
    xx, xy, yy = np.float64(by_ellipse[0]), np.float64(by_ellipse[1]), np.float64(by_ellipse[2])
    by_u, by_v = np.float64(by_ellipse[3]), np.float64(by_ellipse[4])
    for j in range(7):
        weight = 2.0 if j == 0 else 1.0 / 6
        dx, dy = pixels[j, 0] - u, pixels[j, 1] - v
        pixels[j, 0], pixels[j, 1] = weight * (xx * dx + xy * dy), weight * (xy * dx + yy * dy)
        by_u, by_v = by_u - pixels[j, 0], by_v - pixels[j, 1]
    for j in range(7):
        du, dv = pixels[j, 0], pixels[j, 1]
        if j:
            du, dv = du + by_u / 6, dv + by_v / 6
        for axis in range(3):
            by_points[j, axis] = d_point[j, 0, axis] * du + d_point[j, 1, axis] * dv


@njit(**_OPTIONS)
def _parameter_slopes(pose, means, log_scales, i, turn, by_points, g, d_means, d_log_scales, d_pose):
    """From the gradients by the points to those by the mean, the scales and the pose; into `g` (3, 3) that by the
    Gaussian's rotation to the world.
    """
    for row in range(3):
        by_mean = 0.0
        for j in range(7):
            by_mean += by_points[j, row]
        d_pose[4 * row + 3] += by_mean
        for axis in range(3):
            d_means[i, axis] += by_mean * pose[4 * row + axis]
            d_pose[4 * row + axis] += by_mean * means[i, axis]
    for k in range(3):
        scale = math.exp(np.float64(log_scales[i, k]))
        for axis in range(3):
            g[axis, k] = 0.0
        along = 0.0
        for row in range(3):
            # By the column k of R Rq: its points stand sqrt(3) scale away, on both sides.
            slope = _ROOT * scale * (by_points[1 + 2 * k, row] - by_points[2 + 2 * k, row])
            for axis in range(3):
                g[axis, k] += pose[4 * row + axis] * slope
                d_pose[4 * row + axis] += slope * turn[axis, k]
        for axis in range(3):
            along += g[axis, k] * turn[axis, k]
        d_log_scales[i, k] += along


@njit(**_OPTIONS)
def _quaternion_slopes(quaternions, i, g, d_quaternions):
    """From the gradient `g` (3, 3) by the rotation to that by the quaternion, of any length."""
    w, x, y, z, length = _unit(quaternions, i)
    dw = x * (g[2, 1] - g[1, 2]) + y * (g[0, 2] - g[2, 0]) + z * (g[1, 0] - g[0, 1])
    dx = y * (g[0, 1] + g[1, 0]) + z * (g[0, 2] + g[2, 0]) + w * (g[2, 1] - g[1, 2])
    dy = x * (g[0, 1] + g[1, 0]) + z * (g[1, 2] + g[2, 1]) + w * (g[0, 2] - g[2, 0])
    dz = x * (g[0, 2] + g[2, 0]) + y * (g[1, 2] + g[2, 1]) + w * (g[1, 0] - g[0, 1])
    dx -= 2 * x * (g[1, 1] + g[2, 2])
    dy -= 2 * y * (g[0, 0] + g[2, 2])
    dz -= 2 * z * (g[0, 0] + g[1, 1])
    along = w * dw + x * dx + y * dy + z * dz
    d_quaternions[i, 0] += 2 * (dw - w * along) / length
    d_quaternions[i, 1] += 2 * (dx - x * along) / length
    d_quaternions[i, 2] += 2 * (dy - y * along) / length
    d_quaternions[i, 3] += 2 * (dz - z * along) / length
