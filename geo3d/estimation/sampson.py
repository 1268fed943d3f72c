"""Sampson residuals in pixels: costs of many matrices, and refinement of one on its manifold.

`r = C / |n|`, `C = d2^T M d1`, `n = (D1^T M^T d2, D2^T M d1)` for a fundamental or essential matrix M, where `d` is
the ray (or homogeneous pixel) and `D = dd/du` its Jacobian with respect to the pixel (see `pixel_rays`). For pixels,
d = (x, y, 1), this is the classical Sampson error (Hartley and Zisserman, section 11.4); in general the tangent
Sampson error of Terekhov and Larsson, ICCV 2023.

Refinement is Levenberg-Marquardt on `sum rho(r^2 / max_error^2)`, reweighted in each step, over
E = [t]x R with R in SO(3), t on the sphere (5 degrees of freedom), or F = U diag(1, sigma, 0) V^T with U, V in SO(3)
(7 degrees; Bartoli and Sturm, PAMI 2004).
"""

import numpy as np

from geo3d.estimation.scores import rho, rho_weight
from geo3d.estimation.small_linalg import orthonormalise, rotate_left, solve_damped
from geo3d.util.jit import njit

ESSENTIAL, FUNDAMENTAL = 0, 1
_BLOCK = 64  # correspondences between two looks at the bound


@njit(nogil=True)
def _squared_range(m, data, begin, end, out):
    """Squared residuals of the correspondences [begin, end) of `data` (18, N), written to out[0:]."""
    m0, m1, m2, m3, m4, m5, m6, m7, m8 = m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8]
    ax, ay, az = data[0], data[1], data[2]
    p00, p01, p10, p11, p20, p21 = data[3], data[4], data[5], data[6], data[7], data[8]
    bx, by, bz = data[9], data[10], data[11]
    q00, q01, q10, q11, q20, q21 = data[12], data[13], data[14], data[15], data[16], data[17]
    for i in range(begin, end):
        x = m0 * ax[i] + m1 * ay[i] + m2 * az[i]
        y = m3 * ax[i] + m4 * ay[i] + m5 * az[i]
        z = m6 * ax[i] + m7 * ay[i] + m8 * az[i]
        u = m0 * bx[i] + m3 * by[i] + m6 * bz[i]
        v = m1 * bx[i] + m4 * by[i] + m7 * bz[i]
        w = m2 * bx[i] + m5 * by[i] + m8 * bz[i]
        c = x * bx[i] + y * by[i] + z * bz[i]
        n0 = p00[i] * u + p10[i] * v + p20[i] * w
        n1 = p01[i] * u + p11[i] * v + p21[i] * w
        n2 = q00[i] * x + q10[i] * y + q20[i] * z
        n3 = q01[i] * x + q11[i] * y + q21[i] * z
        out[i - begin] = c * c / (n0 * n0 + n1 * n1 + n2 * n2 + n3 * n3 + 1e-200)


@njit(nogil=True)
def sampson_costs(matrices, data, coefficients, max_error, bound):
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
def sampson_squared(matrix, data):
    """Squared residuals (N,) in pixels^2 of the matrix (9,)."""
    out = np.empty(data.shape[1])
    _squared_range(matrix, data, 0, data.shape[1], out)
    return out


@njit(nogil=True)
def _tangent(kind, state, m, basis):
    """M (9,) of the state and dM/dparameter in `basis` (7, 9). State: R, t or U, V, sigma. Return the dimension."""
    if kind == ESSENTIAL:
        t = state[9:12]
        for j in range(3):
            x, y, z = state[j], state[3 + j], state[6 + j]
            m[j], m[3 + j], m[6 + j] = t[1] * z - t[2] * y, t[2] * x - t[0] * z, t[0] * y - t[1] * x
        b = _sphere_basis(t)
        for k in range(3):  # R -> exp(w) R: dM = [t]x [e_k]x R
            k1, k2 = (k + 1) % 3, (k + 2) % 3
            for j in range(3):
                v = np.zeros(3)
                v[k1], v[k2] = -state[3 * k2 + j], state[3 * k1 + j]
                basis[k, j] = t[1] * v[2] - t[2] * v[1]
                basis[k, 3 + j] = t[2] * v[0] - t[0] * v[2]
                basis[k, 6 + j] = t[0] * v[1] - t[1] * v[0]
        for k in range(2):
            for j in range(3):
                x, y, z = state[j], state[3 + j], state[6 + j]
                basis[3 + k, j] = b[k, 1] * z - b[k, 2] * y
                basis[3 + k, 3 + j] = b[k, 2] * x - b[k, 0] * z
                basis[3 + k, 6 + j] = b[k, 0] * y - b[k, 1] * x
        return 5
    u, v, sigma = state[:9], state[9:18], state[18]
    for i in range(3):
        for j in range(3):
            m[3 * i + j] = u[3 * i] * v[3 * j] + sigma * u[3 * i + 1] * v[3 * j + 1]
            basis[6, 3 * i + j] = u[3 * i + 1] * v[3 * j + 1]
    for k in range(3):  # U -> exp(w) U: dM = [e_k]x M; V -> exp(w) V: dM = -M [e_k]x
        k1, k2 = (k + 1) % 3, (k + 2) % 3
        for j in range(3):
            basis[k, 3 * k + j], basis[k, 3 * k1 + j], basis[k, 3 * k2 + j] = (
                0.0,
                -m[3 * k2 + j],
                m[3 * k1 + j],
            )
            basis[3 + k, 3 * j + k] = 0.0
            basis[3 + k, 3 * j + k1], basis[3 + k, 3 * j + k2] = -m[3 * j + k2], m[3 * j + k1]
    return 7


@njit(nogil=True)
def _sphere_basis(t):
    """Two unit vectors (2, 3) orthogonal to t and to each other."""
    b = np.empty((2, 3))
    k = 0
    for i in range(1, 3):
        if abs(t[i]) < abs(t[k]):
            k = i
    length = np.sqrt(t[0] * t[0] + t[1] * t[1] + t[2] * t[2])
    for i in range(3):
        b[0, i] = (1.0 if i == k else 0.0) - t[k] * t[i] / (length * length)
    norm = np.sqrt(b[0, 0] * b[0, 0] + b[0, 1] * b[0, 1] + b[0, 2] * b[0, 2])
    for i in range(3):
        b[0, i] /= norm
    for i in range(3):
        i1, i2 = (i + 1) % 3, (i + 2) % 3
        b[1, i] = (t[i1] * b[0, i2] - t[i2] * b[0, i1]) / length
    return b


@njit(nogil=True)
def _retract(kind, state, step, out):
    rotate_left(step[:3], state[:9], out[:9])
    orthonormalise(out[:9])
    if kind == ESSENTIAL:
        b = _sphere_basis(state[9:12])
        norm = 0.0
        for i in range(3):
            out[9 + i] = state[9 + i] + step[3] * b[0, i] + step[4] * b[1, i]
            norm += out[9 + i] * out[9 + i]
        norm = 1.0 / np.sqrt(norm)
        for i in range(3):
            out[9 + i] *= norm
    else:
        rotate_left(step[3:6], state[9:18], out[9:18])
        orthonormalise(out[9:18])
        out[18] = state[18] + step[6]


@njit(nogil=True)
def _cost(m, data, coefficients, scale, squared):
    n = data.shape[1]
    _squared_range(m, data, 0, n, squared)
    cost = 0.0
    for i in range(n):
        cost += rho(coefficients, squared[i] * scale)
    return cost


@njit(nogil=True)
def _normal_equations(m, basis, dof, data, coefficients, scale, squared, h, g):
    """J^T W J (dof, dof) and J^T W r of the correspondences within the threshold."""
    h9, g9 = np.zeros((9, 9)), np.zeros(9)
    d = np.empty(9)
    for i in range(data.shape[1]):
        weight = rho_weight(coefficients, squared[i] * scale)
        if weight <= 0.0:
            continue
        ax, ay, az = data[0, i], data[1, i], data[2, i]
        bx, by, bz = data[9, i], data[10, i], data[11, i]
        x = m[0] * ax + m[1] * ay + m[2] * az
        y = m[3] * ax + m[4] * ay + m[5] * az
        z = m[6] * ax + m[7] * ay + m[8] * az
        u = m[0] * bx + m[3] * by + m[6] * bz
        v = m[1] * bx + m[4] * by + m[7] * bz
        w = m[2] * bx + m[5] * by + m[8] * bz
        c = x * bx + y * by + z * bz
        n0 = data[3, i] * u + data[5, i] * v + data[7, i] * w
        n1 = data[4, i] * u + data[6, i] * v + data[8, i] * w
        n2 = data[12, i] * x + data[14, i] * y + data[16, i] * z
        n3 = data[13, i] * x + data[15, i] * y + data[17, i] * z
        inverse = 1.0 / np.sqrt(n0 * n0 + n1 * n1 + n2 * n2 + n3 * n3 + 1e-200)
        r = c * inverse
        # dr/dM = (b (a - c' D1 n1)^T - c' (D2 n2) a^T) / |n|, with c' = c / |n|^2
        k = c * inverse * inverse
        px = (ax - k * (data[3, i] * n0 + data[4, i] * n1)) * inverse
        py = (ay - k * (data[5, i] * n0 + data[6, i] * n1)) * inverse
        pz = (az - k * (data[7, i] * n0 + data[8, i] * n1)) * inverse
        k *= inverse
        qx = k * (data[12, i] * n2 + data[13, i] * n3)
        qy = k * (data[14, i] * n2 + data[15, i] * n3)
        qz = k * (data[16, i] * n2 + data[17, i] * n3)
        d[0], d[1], d[2] = bx * px - qx * ax, bx * py - qx * ay, bx * pz - qx * az
        d[3], d[4], d[5] = by * px - qy * ax, by * py - qy * ay, by * pz - qy * az
        d[6], d[7], d[8] = bz * px - qz * ax, bz * py - qz * ay, bz * pz - qz * az
        for p in range(9):
            wd = weight * d[p]
            g9[p] += wd * r
            for q in range(9):
                h9[p, q] += wd * d[q]
    for p in range(dof):
        g[p] = 0.0
        for i in range(9):
            g[p] += basis[p, i] * g9[i]
        for q in range(p + 1):
            total = 0.0
            for i in range(9):
                for j in range(9):
                    total += basis[p, i] * h9[i, j] * basis[q, j]
            h[p, q] = total
            h[q, p] = total


@njit(nogil=True)
def refine_sampson(kind, start, data, coefficients, max_error, iterations):
    """The state (see `_tangent`) after at most `iterations` accepted or refused steps; its cost is never higher."""
    state, trial = start.copy(), start.copy()
    m, basis = np.empty(9), np.empty((7, 9))
    squared, trial_squared = np.empty(data.shape[1]), np.empty(data.shape[1])
    h, l, g, step = np.empty((7, 7)), np.empty((7, 7)), np.empty(7), np.empty(7)
    scale = 1.0 / (max_error * max_error)
    dof = _tangent(kind, state, m, basis)
    cost = _cost(m, data, coefficients, scale, squared)
    damping = 1e-4
    fresh = True
    for _ in range(iterations):
        if fresh:
            _normal_equations(m, basis, dof, data, coefficients, scale, squared, h, g)
        if not solve_damped(h, g, damping, dof, l, step):
            break
        for i in range(dof):
            step[i] = -step[i]
        _retract(kind, state, step, trial)
        _tangent(kind, trial, m, basis)
        trial_cost = _cost(m, data, coefficients, scale, trial_squared)
        fresh = trial_cost < cost
        if fresh:
            gain = cost - trial_cost
            state, trial = trial, state
            squared, trial_squared = trial_squared, squared
            cost = trial_cost
            damping = max(damping * 0.1, 1e-10)
            if gain < 1e-7 * cost:
                break
        else:
            damping *= 10.0
            if damping > 1e6:
                break
    return state
