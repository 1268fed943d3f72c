"""Kernels of global positioning: residual `r = v - s (X - c)` of an observation, its normal equations.

v is the unit ray of the observation in the world, c the centre of its view, X its point, s > 0 its own inverse
distance. With w = X - c, q = w / |w| and the weight a of the loss,

    dr/dX = -s I,   dr/dc = s I,   dr/ds = -w.

s is eliminated within each observation, damped by lambda: with k = 1 / (1 + lambda) and M = a s^2 (I - k q q^T) an
observation adds M to the blocks of X and of c, -M to their coupling, and the gradient -+ a s (r - k q (q . r)).

Observations are sorted by point. A kernel takes points first..last.
"""

import numpy as np

from geo3d.optim.losses import evaluate_loss
from geo3d.util.jit import njit

_NEAREST = 1e-12  # squared distance below which an observation has no direction


@njit(nogil=True, error_model="numpy")
def cost(first, last, centres, points, scales, point_obs, obs_view, rays, loss_id, loss_scale):
    """`1/2 sum rho(|r|^2)` over points first..last."""
    total = 0.0
    for p in range(first, last):
        for o in range(point_obs[p], point_obs[p + 1]):
            i, s = obs_view[o], scales[o]
            r0 = rays[o, 0] - s * (points[p, 0] - centres[i, 0])
            r1 = rays[o, 1] - s * (points[p, 1] - centres[i, 1])
            r2 = rays[o, 2] - s * (points[p, 2] - centres[i, 2])
            rho, _ = evaluate_loss(loss_id, loss_scale, r0 * r0 + r1 * r1 + r2 * r2)
            total += rho
    return 0.5 * total


@njit(nogil=True, error_model="numpy")
def linearize(
    first, last, damping, centres, points, scales, point_obs, obs_view, rays, loss_id, loss_scale,
    U, gc, V, gp, W,
):  # fmt: skip
    """Normal equations of points first..last without the scales, which are eliminated; U and gc are added to.

    An entry of W belongs to the observation of the same row.
    """
    k = 1.0 / (1.0 + damping)
    M, g = np.empty(6), np.empty(3)
    for p in range(first, last):
        for j in range(6):
            V[p, j] = 0.0
        for j in range(3):
            gp[p, j] = 0.0
        for o in range(point_obs[p], point_obs[p + 1]):
            i, s = obs_view[o], scales[o]
            w0, w1, w2 = (
                points[p, 0] - centres[i, 0],
                points[p, 1] - centres[i, 1],
                points[p, 2] - centres[i, 2],
            )
            r0, r1, r2 = rays[o, 0] - s * w0, rays[o, 1] - s * w1, rays[o, 2] - s * w2
            _, a = evaluate_loss(loss_id, loss_scale, r0 * r0 + r1 * r1 + r2 * r2)
            norm2 = w0 * w0 + w1 * w1 + w2 * w2
            along = 0.0
            if norm2 > _NEAREST:
                along = k * (w0 * r0 + w1 * r1 + w2 * r2) / norm2
                shrink = k / norm2
            else:
                shrink = 0.0
            b = a * s * s
            M[0], M[1], M[2] = (
                b * (1.0 - shrink * w0 * w0),
                -b * shrink * w1 * w0,
                b * (1.0 - shrink * w1 * w1),
            )
            M[3], M[4], M[5] = -b * shrink * w2 * w0, -b * shrink * w2 * w1, b * (1.0 - shrink * w2 * w2)
            g[0], g[1], g[2] = a * s * (r0 - along * w0), a * s * (r1 - along * w1), a * s * (r2 - along * w2)
            for j in range(6):
                V[p, j] += M[j]
            for j in range(3):
                gp[p, j] -= g[j]
                gc[i, j] += g[j]
            U[i, 0, 0] += M[0]
            U[i, 1, 0] += M[1]
            U[i, 0, 1] += M[1]
            U[i, 1, 1] += M[2]
            U[i, 2, 0] += M[3]
            U[i, 0, 2] += M[3]
            U[i, 2, 1] += M[4]
            U[i, 1, 2] += M[4]
            U[i, 2, 2] += M[5]
            W[o, 0, 0], W[o, 0, 1], W[o, 0, 2] = -M[0], -M[1], -M[3]
            W[o, 1, 0], W[o, 1, 1], W[o, 1, 2] = -M[1], -M[2], -M[4]
            W[o, 2, 0], W[o, 2, 1], W[o, 2, 2] = -M[3], -M[4], -M[5]


@njit(nogil=True, error_model="numpy")
def move_scales(
    first, last, damping, centres, points, scales, centre_step, point_step, point_obs, obs_view, rays, loss_id,
    loss_scale, smallest, new_scales,
):  # fmt: skip
    """Steps of the scales of points first..last, written to `new_scales`.

    Returns by how much the quadratic model falls, `|d|^2` and `|state|^2` of the scales.
    """
    k = 1.0 / (1.0 + damping)
    fall, squared, state = 0.0, 0.0, 0.0
    for p in range(first, last):
        for o in range(point_obs[p], point_obs[p + 1]):
            i, s = obs_view[o], scales[o]
            w0, w1, w2 = (
                points[p, 0] - centres[i, 0],
                points[p, 1] - centres[i, 1],
                points[p, 2] - centres[i, 2],
            )
            d0 = point_step[p, 0] - centre_step[i, 0]
            d1 = point_step[p, 1] - centre_step[i, 1]
            d2 = point_step[p, 2] - centre_step[i, 2]
            r0, r1, r2 = rays[o, 0] - s * w0, rays[o, 1] - s * w1, rays[o, 2] - s * w2
            norm2 = w0 * w0 + w1 * w1 + w2 * w2
            step = 0.0
            if norm2 > _NEAREST:
                step = k * (w0 * (r0 - s * d0) + w1 * (r1 - s * d1) + w2 * (r2 - s * d2)) / norm2
            step = max(s + step, smallest) - s
            new_scales[o] = s + step
            m0, m1, m2 = r0 - s * d0 - step * w0, r1 - s * d1 - step * w1, r2 - s * d2 - step * w2
            before = r0 * r0 + r1 * r1 + r2 * r2
            _, a = evaluate_loss(loss_id, loss_scale, before)
            fall += a * (before - (m0 * m0 + m1 * m1 + m2 * m2))
            squared += step * step
            state += s * s
    return 0.5 * fall, squared, state
