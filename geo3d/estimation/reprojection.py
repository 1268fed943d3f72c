"""Reprojection residuals in pixels for any camera: costs of many poses, and refinement of one.

`r = W q / (p . q)`, `q = R X + t`, with `W = du/dd` (2x3) and the plane `p` of the observed pixel (see `pixel_rays`):
exact for a pinhole, first order in the residual for every other camera, defined over the whole sphere. A point with
`p . q <= 0` is behind and counts as an outlier. Refinement is Levenberg-Marquardt on `sum rho(r^2 / max_error^2)`,
reweighted in each step, over SE(3).
"""

import numpy as np

from geo3d.estimation.scores import rho, rho_weight
from geo3d.estimation.small_linalg import orthonormalise, rotate_left, solve_damped
from geo3d.util.jit import njit

_BLOCK = 64
_BEHIND = 1e60  # the squared residual of a point behind the camera


@njit(nogil=True)
def _squared_range(pose, data, begin, end, out):
    """Squared residuals of the observations [begin, end) of `data` (12, N): X, W row by row, p."""
    r0, r1, r2, r3, r4, r5, r6, r7, r8 = (
        pose[0], pose[1], pose[2], pose[3], pose[4], pose[5], pose[6], pose[7], pose[8],
    )  # fmt: skip
    t0, t1, t2 = pose[9], pose[10], pose[11]
    px, py, pz = data[0], data[1], data[2]
    w0, w1, w2, w3, w4, w5 = data[3], data[4], data[5], data[6], data[7], data[8]
    n0, n1, n2 = data[9], data[10], data[11]
    for i in range(begin, end):
        x = r0 * px[i] + r1 * py[i] + r2 * pz[i] + t0
        y = r3 * px[i] + r4 * py[i] + r5 * pz[i] + t1
        z = r6 * px[i] + r7 * py[i] + r8 * pz[i] + t2
        depth = n0[i] * x + n1[i] * y + n2[i] * z
        u = w0[i] * x + w1[i] * y + w2[i] * z
        v = w3[i] * x + w4[i] * y + w5[i] * z
        squared = (u * u + v * v) / (depth * depth + 1e-200)
        out[i - begin] = squared if depth > 0.0 else _BEHIND


@njit(nogil=True)
def reprojection_costs(poses, data, coefficients, max_error, bound):
    """Costs (K,) of the poses (K, 12); a pose whose cost passes the least so far (or `bound`) is left."""
    costs = np.empty(len(poses))
    buffer = np.empty(_BLOCK)
    n = data.shape[1]
    scale = 1.0 / (max_error * max_error)
    for k in range(len(poses)):
        cost, begin = 0.0, 0
        while begin < n and cost <= bound:
            end = min(begin + _BLOCK, n)
            _squared_range(poses[k], data, begin, end, buffer)
            for i in range(end - begin):
                cost += rho(coefficients, buffer[i] * scale)
            begin = end
        costs[k] = cost
        bound = min(bound, cost)
    return costs


@njit(nogil=True)
def reprojection_squared(pose, data):
    """Squared residuals (N,) in pixels^2 of the pose (12,)."""
    out = np.empty(data.shape[1])
    _squared_range(pose, data, 0, data.shape[1], out)
    return out


@njit(nogil=True)
def _normal_equations(pose, data, coefficients, scale, squared, h, g):
    """J^T W J (6, 6) and J^T W r, for rotation then translation."""
    h[:, :] = 0.0
    g[:] = 0.0
    j = np.empty(6)
    for i in range(data.shape[1]):
        weight = rho_weight(coefficients, squared[i] * scale)
        if weight <= 0.0:
            continue
        px, py, pz = data[0, i], data[1, i], data[2, i]
        x = pose[0] * px + pose[1] * py + pose[2] * pz  # R X
        y = pose[3] * px + pose[4] * py + pose[5] * pz
        z = pose[6] * px + pose[7] * py + pose[8] * pz
        qx, qy, qz = x + pose[9], y + pose[10], z + pose[11]
        inverse = 1.0 / (data[9, i] * qx + data[10, i] * qy + data[11, i] * qz)
        for row in range(2):
            a, b, c = data[3 + 3 * row, i], data[4 + 3 * row, i], data[5 + 3 * row, i]
            r = (a * qx + b * qy + c * qz) * inverse
            jx, jy, jz = (
                (a - r * data[9, i]) * inverse,
                (b - r * data[10, i]) * inverse,
                (c - r * data[11, i]) * inverse,
            )
            j[0], j[1], j[2] = y * jz - z * jy, z * jx - x * jz, x * jy - y * jx
            j[3], j[4], j[5] = jx, jy, jz
            for p in range(6):
                wj = weight * j[p]
                g[p] += wj * r
                for q in range(6):
                    h[p, q] += wj * j[q]


@njit(nogil=True)
def _cost(pose, data, coefficients, scale, squared):
    n = data.shape[1]
    _squared_range(pose, data, 0, n, squared)
    cost = 0.0
    for i in range(n):
        cost += rho(coefficients, squared[i] * scale)
    return cost


@njit(nogil=True)
def refine_reprojection(start, data, coefficients, max_error, iterations):
    """The pose (12,) after at most `iterations` accepted or refused steps; its cost is never higher."""
    pose, trial = start.copy(), start.copy()
    squared, trial_squared = np.empty(data.shape[1]), np.empty(data.shape[1])
    h, l, g, step = np.empty((6, 6)), np.empty((6, 6)), np.empty(6), np.empty(6)
    scale = 1.0 / (max_error * max_error)
    cost = _cost(pose, data, coefficients, scale, squared)
    damping, fresh = 1e-4, True
    for _ in range(iterations):
        if fresh:
            _normal_equations(pose, data, coefficients, scale, squared, h, g)
        if not solve_damped(h, g, damping, 6, l, step):
            break
        for i in range(6):
            step[i] = -step[i]
        rotate_left(step[:3], pose[:9], trial[:9])
        orthonormalise(trial[:9])
        for i in range(3):
            trial[9 + i] = pose[9 + i] + step[3 + i]
        trial_cost = _cost(trial, data, coefficients, scale, trial_squared)
        fresh = trial_cost < cost
        if fresh:
            gain = cost - trial_cost
            pose, trial = trial, pose
            squared, trial_squared = trial_squared, squared
            cost = trial_cost
            damping = max(damping * 0.1, 1e-10)
            if gain < 1e-7 * cost:
                break
        else:
            damping *= 10.0
            if damping > 1e6:
                break
    return pose
