"""Transfer residuals of homographies: `r = (u, v) / w - x2`, `(u, v, w) = H (x1, y1, 1)`; costs and refinement.

Points with `w <= 0` count as outliers. Refinement is Levenberg-Marquardt on `sum rho(r^2 / max_error^2)`, reweighted
in each step, over H of norm one.
"""

import numpy as np

from geo3d.estimation.scores import rho, rho_weight
from geo3d.estimation.small_linalg import solve_damped
from geo3d.util.jit import njit

_BLOCK = 64
_BEHIND = 1e60  # the squared residual of a point beyond the line at infinity


@njit(nogil=True)
def _squared_range(h, data, begin, end, out):
    """Squared residuals of the correspondences [begin, end) of `data` (4, N): x1, y1, x2, y2."""
    h0, h1, h2, h3, h4, h5, h6, h7, h8 = h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]
    ax, ay, bx, by = data[0], data[1], data[2], data[3]
    for i in range(begin, end):
        w = h6 * ax[i] + h7 * ay[i] + h8
        u = h0 * ax[i] + h1 * ay[i] + h2 - w * bx[i]
        v = h3 * ax[i] + h4 * ay[i] + h5 - w * by[i]
        squared = (u * u + v * v) / (w * w + 1e-200)
        out[i - begin] = squared if w > 0.0 else _BEHIND


@njit(nogil=True)
def transfer_costs(matrices, data, coefficients, max_error, bound):
    """Costs (K,) of the matrices (K, 9); a matrix whose cost passes the least so far (or `bound`) is left."""
    costs = np.empty(len(matrices))
    buffer = np.empty(_BLOCK)
    n = data.shape[1]
    scale = 1.0 / (max_error * max_error)
    for k in range(len(matrices)):
        cost, begin = 0.0, 0
        while begin < n and cost <= bound:
            end = min(begin + _BLOCK, n)
            _squared_range(matrices[k], data, begin, end, buffer)
            for i in range(end - begin):
                cost += rho(coefficients, buffer[i] * scale)
            begin = end
        costs[k] = cost
        bound = min(bound, cost)
    return costs


@njit(nogil=True)
def transfer_squared(h, data):
    """Squared residuals (N,) of the homography (9,), in the units of x2."""
    out = np.empty(data.shape[1])
    _squared_range(h, data, 0, data.shape[1], out)
    return out


@njit(nogil=True)
def _normal_equations(h, data, coefficients, scale, squared, a, g):
    """J^T W J (9, 9) and J^T W r, with the direction of h, which changes nothing, held."""
    a[:, :] = 0.0
    g[:] = 0.0
    j = np.empty(9)
    trace = 0.0
    for i in range(data.shape[1]):
        weight = rho_weight(coefficients, squared[i] * scale)
        if weight <= 0.0:
            continue
        x, y = data[0, i], data[1, i]
        inverse = 1.0 / (h[6] * x + h[7] * y + h[8])
        for row in range(2):
            f = (h[3 * row] * x + h[3 * row + 1] * y + h[3 * row + 2]) * inverse
            r = f - data[2 + row, i]
            for p in range(9):
                j[p] = 0.0
            j[3 * row], j[3 * row + 1], j[3 * row + 2] = x * inverse, y * inverse, inverse
            j[6], j[7], j[8] = -f * x * inverse, -f * y * inverse, -f * inverse
            for p in range(9):
                wj = weight * j[p]
                g[p] += wj * r
                trace += wj * j[p]
                for q in range(9):
                    a[p, q] += wj * j[q]
    for p in range(9):
        for q in range(9):
            a[p, q] += trace * h[p] * h[q]


@njit(nogil=True)
def _cost(h, data, coefficients, scale, squared):
    n = data.shape[1]
    _squared_range(h, data, 0, n, squared)
    cost = 0.0
    for i in range(n):
        cost += rho(coefficients, squared[i] * scale)
    return cost


@njit(nogil=True)
def refine_transfer(start, data, coefficients, max_error, iterations):
    """The homography (9,) after at most `iterations` accepted or refused steps; its cost is never higher."""
    h, trial = start.copy(), start.copy()
    squared, trial_squared = np.empty(data.shape[1]), np.empty(data.shape[1])
    a, l, g, step = np.empty((9, 9)), np.empty((9, 9)), np.empty(9), np.empty(9)
    scale = 1.0 / (max_error * max_error)
    cost = _cost(h, data, coefficients, scale, squared)
    damping, fresh = 1e-4, True
    for _ in range(iterations):
        if fresh:
            _normal_equations(h, data, coefficients, scale, squared, a, g)
        if not solve_damped(a, g, damping, 9, l, step):
            break
        norm = 0.0
        for i in range(9):
            trial[i] = h[i] - step[i]
            norm += trial[i] * trial[i]
        norm = 1.0 / np.sqrt(norm)
        for i in range(9):
            trial[i] *= norm
        trial_cost = _cost(trial, data, coefficients, scale, trial_squared)
        fresh = trial_cost < cost
        if fresh:
            gain = cost - trial_cost
            h, trial = trial, h
            squared, trial_squared = trial_squared, squared
            cost = trial_cost
            damping = max(damping * 0.1, 1e-10)
            if gain < 1e-7 * cost:
                break
        else:
            damping *= 10.0
            if damping > 1e6:
                break
    return h
