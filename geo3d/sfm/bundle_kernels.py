"""Kernels of bundle adjustment: residual `r = project(camera, R X + t) - xy` in pixels, its normal equations.

A pose moves by a tangent (w, v): `R <- exp(w) R`, `t <- t + v`. With x = R X + t and A = d project / d x,

    dr/dw = -A [R X]_x,    dr/dv = A,    dr/dX = A R.

A residual is multiplied by `obs_scale`, the inverse of its standard deviation, before its loss `obs_loss`; a point
with a prior adds `1/2 sum weight (X - x)^2`.

An observation that does not project (behind its camera) counts zero and has no derivative. `obs_cost` remembers
which observations counted when the system was built, -1 for those that did not: a trial is compared over them only.

Observations are sorted by point, then view. A kernel takes points first..last.
"""

import numpy as np

from geo3d.cameras.kernels import MAX_PARAMS, project_with_jacobians
from geo3d.optim.losses import evaluate_loss
from geo3d.optim.schur_kernels import solve_point
from geo3d.optim.simd import rank2_add
from geo3d.util.jit import njit

FULL = 6 + MAX_PARAMS  # columns of an observation's full row: rotation, translation, camera parameters
_POINT_STEPS = 2  # of each point on its own, after the common step
_POINT_GAIN = 1e-5  # and only while the model promises to lower the point's cost by this fraction


@njit(nogil=True)
def sort_observations(obs_point, obs_view, points):
    """`(offsets (points + 1,), order (O,))`: observations by point, then view, then as they came."""
    offsets = np.zeros(points + 1, np.int64)
    for o in range(len(obs_point)):
        offsets[obs_point[o] + 1] += 1
    offsets = np.cumsum(offsets)
    following = offsets[:-1].copy()
    order = np.empty(len(obs_point), np.int64)
    for o in range(len(obs_point)):
        p = obs_point[o]
        at = following[p]
        following[p] += 1
        while at > offsets[p] and obs_view[order[at - 1]] > obs_view[o]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = o
    return offsets, order


@njit(nogil=True)
def list_entries(point_obs, obs_view, view_camera, free_point, view_block, camera_block):
    """Couplings of points with blocks of columns, sorted by point, then block.

    Returns `point_entries` (P + 1,), `entry_block` (E,) and, of each observation, its entry with the view's block
    and with the camera's block, or -1. A point has one entry a camera, however many views share that. Camera blocks
    come before view blocks.
    """
    points, observations = len(point_obs) - 1, len(obs_view)
    point_entries = np.zeros(points + 1, np.int64)
    entry_block = np.empty(2 * observations, np.int64)
    view_entry = np.full(observations, -1)
    camera_entry = np.full(observations, -1)
    n = 0
    for p in range(points):
        start = n
        if free_point[p]:
            for o in range(point_obs[p], point_obs[p + 1]):
                block = camera_block[view_camera[obs_view[o]]]
                at = n
                while at > start and entry_block[at - 1] >= block:
                    at -= 1
                if block >= 0 and (at == n or entry_block[at] != block):
                    for e in range(n, at, -1):
                        entry_block[e] = entry_block[e - 1]
                    entry_block[at] = block
                    n += 1
            cameras = n
            for o in range(point_obs[p], point_obs[p + 1]):
                block = camera_block[view_camera[obs_view[o]]]
                for e in range(start, cameras):
                    if entry_block[e] == block:
                        camera_entry[o] = e
                if view_block[obs_view[o]] >= 0:
                    entry_block[n] = view_block[obs_view[o]]
                    view_entry[o] = n
                    n += 1
        point_entries[p + 1] = n
    return point_entries, entry_block[:n].copy(), view_entry, camera_entry


@njit(nogil=True, error_model="numpy")
def _to_camera(rotations, translations, v, x, y, z):
    return (
        rotations[v, 0, 0] * x + rotations[v, 0, 1] * y + rotations[v, 0, 2] * z + translations[v, 0],
        rotations[v, 1, 0] * x + rotations[v, 1, 1] * y + rotations[v, 1, 2] * z + translations[v, 1],
        rotations[v, 2, 0] * x + rotations[v, 2, 1] * y + rotations[v, 2, 2] * z + translations[v, 2],
    )


@njit(nogil=True, error_model="numpy")
def _times_rotation(a0, a1, a2, rotations, v):
    return (
        a0 * rotations[v, 0, 0] + a1 * rotations[v, 1, 0] + a2 * rotations[v, 2, 0],
        a0 * rotations[v, 0, 1] + a1 * rotations[v, 1, 1] + a2 * rotations[v, 2, 1],
        a0 * rotations[v, 0, 2] + a1 * rotations[v, 1, 2] + a2 * rotations[v, 2, 2],
    )


@njit(nogil=True, error_model="numpy")
def _point_prior(prior_points, prior_weights, p, x, y, z):
    """Twice the cost of a point's prior, the diagonal of its V and its gradient."""
    w0, w1, w2 = prior_weights[p, 0], prior_weights[p, 1], prior_weights[p, 2]
    d0, d1, d2 = x - prior_points[p, 0], y - prior_points[p, 1], z - prior_points[p, 2]
    g0, g1, g2 = w0 * d0, w1 * d1, w2 * d2
    return g0 * d0 + g1 * d1 + g2 * d2, w0, w1, w2, g0, g1, g2


@njit(nogil=True, error_model="numpy")
def linearize(
    first, last, rotations, translations, params, points, view_camera, model_ids, point_obs, obs_view, obs_xy,
    obs_scale, obs_loss, loss_scale, prior_points, prior_weights, free_point, view_block, camera_block,
    block_columns, widths, point_entries, view_entry, camera_entry, U, cross, gc, V, gp, W, obs_cost,
):  # fmt: skip
    """Normal equations of points first..last; returns their cost.

    U, cross and gc are added to (clear them first), the rest is written over. `block_columns` (blocks, lanes)
    says which columns of an observation's full row (six of the pose, then the camera's parameters) a block has.
    prior_points, prior_weights (P, 3), or no rows without priors.
    """
    lanes = block_columns.shape[1]
    uv, A, K = np.empty(2), np.empty((2, 3)), np.empty((2, MAX_PARAMS))
    rows = np.empty(
        4 * lanes
    )  # an observation's two rows in the columns of its view's block, of its camera's
    pose, J, residual = np.empty(12), np.empty(6), np.empty(2)
    intrinsics, current = np.empty(MAX_PARAMS), -1
    U_flat, cross_flat, gc_flat, W_flat = U.reshape(-1), cross.reshape(-1), gc.reshape(-1), W.reshape(-1)
    total = 0.0
    for p in range(first, last):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        free = free_point[p]
        v00 = v10 = v11 = v20 = v21 = v22 = g0 = g1 = g2 = 0.0
        if len(prior_points) > 0:
            rho, v00, v11, v22, g0, g1, g2 = _point_prior(prior_points, prior_weights, p, x, y, z)
            total += rho
        # Unsigned: an index that cannot be negative needs no wrap-around, and the loop becomes one memset.
        for k in range(np.uint64(3 * lanes * point_entries[p]), np.uint64(3 * lanes * point_entries[p + 1])):
            W_flat[k] = 0.0
        for o in range(point_obs[p], point_obs[p + 1]):
            v = obs_view[o]
            c = view_camera[v]
            rx = rotations[v, 0, 0] * x + rotations[v, 0, 1] * y + rotations[v, 0, 2] * z
            ry = rotations[v, 1, 0] * x + rotations[v, 1, 1] * y + rotations[v, 1, 2] * z
            rz = rotations[v, 2, 0] * x + rotations[v, 2, 1] * y + rotations[v, 2, 2] * z
            xc, yc, zc = rx + translations[v, 0], ry + translations[v, 1], rz + translations[v, 2]
            if c != current:
                for q in range(MAX_PARAMS):
                    intrinsics[q] = params[c, q]
                current = c
            if not project_with_jacobians(model_ids[c], intrinsics, xc, yc, zc, uv, A, K):
                obs_cost[o] = -1.0
                continue
            scale = obs_scale[o]
            r0, r1 = scale * (uv[0] - obs_xy[o, 0]), scale * (uv[1] - obs_xy[o, 1])
            rho, weight = evaluate_loss(obs_loss[o], loss_scale, r0 * r0 + r1 * r1)
            obs_cost[o] = rho
            total += rho
            if weight == 0.0:
                continue
            root = np.sqrt(weight)
            r0 *= root
            r1 *= root
            root *= scale
            a0, a1, a2 = root * A[0, 0], root * A[0, 1], root * A[0, 2]
            b0, b1, b2 = root * A[1, 0], root * A[1, 1], root * A[1, 2]
            if free:
                j0, j1, j2 = _times_rotation(a0, a1, a2, rotations, v)
                k0, k1, k2 = _times_rotation(b0, b1, b2, rotations, v)
                J[0], J[1], J[2], J[3], J[4], J[5] = j0, j1, j2, k0, k1, k2
                v00 += j0 * j0 + k0 * k0
                v10 += j1 * j0 + k1 * k0
                v11 += j1 * j1 + k1 * k1
                v20 += j2 * j0 + k2 * k0
                v21 += j2 * j1 + k2 * k1
                v22 += j2 * j2 + k2 * k2
                g0 += j0 * r0 + k0 * r1
                g1 += j1 * r0 + k1 * r1
                g2 += j2 * r0 + k2 * r1
            of_view, of_camera = view_block[v], camera_block[c]
            if of_view < 0 and of_camera < 0:
                continue
            residual[0], residual[1] = r0, r1
            pose[0], pose[1], pose[2] = a2 * ry - a1 * rz, a0 * rz - a2 * rx, a1 * rx - a0 * ry
            pose[3], pose[4], pose[5] = a0, a1, a2
            pose[6], pose[7], pose[8] = b2 * ry - b1 * rz, b0 * rz - b2 * rx, b1 * rx - b0 * ry
            pose[9], pose[10], pose[11] = b0, b1, b2
            for side in range(2):
                block = of_view if side == 0 else of_camera
                if block < 0:
                    continue
                entry = view_entry[o] if side == 0 else camera_entry[o]
                width, at = widths[block], 2 * lanes * side
                for j in range(width):
                    column = block_columns[block, j]
                    if column < 6:
                        rows[at + j] = pose[column]
                        rows[at + lanes + j] = pose[6 + column]
                    else:
                        rows[at + j] = root * K[0, column - 6]
                        rows[at + lanes + j] = root * K[1, column - 6]
                for j in range(width, lanes):
                    rows[at + j] = 0.0
                    rows[at + lanes + j] = 0.0
                rank2_add(
                    U_flat, block * lanes * lanes, lanes, width, lanes, rows, at, lanes, rows, at, lanes
                )
                rank2_add(gc_flat, block * lanes, lanes, 1, lanes, residual, 0, 1, rows, at, lanes)
                if free:
                    rank2_add(W_flat, 3 * lanes * entry, lanes, 3, lanes, J, 0, 3, rows, at, lanes)
            if of_view >= 0 and of_camera >= 0:
                at, width = lanes * lanes * of_view, widths[of_view]
                rank2_add(cross_flat, at, lanes, width, lanes, rows, 0, lanes, rows, 2 * lanes, lanes)
        V[p, 0], V[p, 1], V[p, 2], V[p, 3], V[p, 4], V[p, 5] = v00, v10, v11, v20, v21, v22
        gp[p, 0], gp[p, 1], gp[p, 2] = g0, g1, g2
    return 0.5 * total


@njit(nogil=True, error_model="numpy")
def trial_cost(
    first, last, damping, rotations, translations, params, points, point_step, free_point, view_camera,
    model_ids, point_obs, obs_view, obs_xy, obs_scale, obs_loss, loss_scale, prior_points, prior_weights,
    obs_cost, moved,
):  # fmt: skip
    """Cost of points first..last after their steps, written to `moved` (P, 3), at poses and cameras after theirs.

    A point that its step would take out of sight of a view that saw it goes only a fraction of the way. Where no
    fraction helps, the observation keeps its old cost: losing sight is neither rewarded nor punished.

    From there the point, which depends on no other, takes Gauss-Newton steps of its own while they pay.
    """
    uv, A, K, intrinsics = np.empty(2), np.empty((2, 3)), np.empty((2, MAX_PARAMS)), np.empty(MAX_PARAMS)
    total = 0.0
    for p in range(first, last):
        fraction, own_steps = 1.0, -1  # -1: still looking for the fraction
        x, y, z = (
            points[p, 0] + point_step[p, 0],
            points[p, 1] + point_step[p, 1],
            points[p, 2] + point_step[p, 2],
        )
        best = 0.0
        current = -1
        while True:
            cost = 0.0
            lost = False
            v00 = v10 = v11 = v20 = v21 = v22 = g0 = g1 = g2 = 0.0
            if len(prior_points) > 0:
                cost, v00, v11, v22, g0, g1, g2 = _point_prior(prior_points, prior_weights, p, x, y, z)
            for o in range(point_obs[p], point_obs[p + 1]):
                if obs_cost[o] < 0.0:
                    continue
                v = obs_view[o]
                c = view_camera[v]
                if c != current:
                    for q in range(MAX_PARAMS):
                        intrinsics[q] = params[c, q]
                    current = c
                xc, yc, zc = _to_camera(rotations, translations, v, x, y, z)
                if not project_with_jacobians(model_ids[c], intrinsics, xc, yc, zc, uv, A, K):
                    lost = True
                    cost += obs_cost[o]
                    continue
                scale = obs_scale[o]
                r0, r1 = scale * (uv[0] - obs_xy[o, 0]), scale * (uv[1] - obs_xy[o, 1])
                rho, weight = evaluate_loss(obs_loss[o], loss_scale, r0 * r0 + r1 * r1)
                cost += rho
                weight *= scale
                r0 *= weight
                r1 *= weight
                weight *= scale
                j0, j1, j2 = _times_rotation(A[0, 0], A[0, 1], A[0, 2], rotations, v)
                k0, k1, k2 = _times_rotation(A[1, 0], A[1, 1], A[1, 2], rotations, v)
                v00 += weight * (j0 * j0 + k0 * k0)
                v10 += weight * (j1 * j0 + k1 * k0)
                v11 += weight * (j1 * j1 + k1 * k1)
                v20 += weight * (j2 * j0 + k2 * k0)
                v21 += weight * (j2 * j1 + k2 * k1)
                v22 += weight * (j2 * j2 + k2 * k2)
                g0 += j0 * r0 + k0 * r1
                g1 += j1 * r0 + k1 * r1
                g2 += j2 * r0 + k2 * r1
            if own_steps < 0:
                if lost and free_point[p] and fraction > 0.0:
                    fraction = 0.5 * fraction if fraction > 0.2 else 0.0
                    x = points[p, 0] + fraction * point_step[p, 0]
                    y = points[p, 1] + fraction * point_step[p, 1]
                    z = points[p, 2] + fraction * point_step[p, 2]
                    continue
            elif lost or not cost < best:
                break
            moved[p, 0], moved[p, 1], moved[p, 2] = x, y, z
            best = cost
            own_steps += 1
            if own_steps == _POINT_STEPS or not free_point[p]:
                break
            gain, d0, d1, d2 = solve_point(damping, v00, v10, v11, v20, v21, v22, g0, g1, g2)
            if not gain > _POINT_GAIN * cost:
                break
            x, y, z = x + d0, y + d1, z + d2
        total += best
    return 0.5 * total


@njit(nogil=True, error_model="numpy")
def errors(
    rotations, translations, params, points, view_camera, model_ids, obs_point, obs_view, obs_xy, squared
):  # fmt: skip
    """Squared reprojection errors (O,) in px^2 of observations in any order; NaN where they do not project."""
    # With Jacobians that nobody asks for: compiling the models once more would take longer than all of them.
    uv, A, K, intrinsics = np.empty(2), np.empty((2, 3)), np.empty((2, MAX_PARAMS)), np.empty(MAX_PARAMS)
    current = -1
    for o in range(len(obs_point)):
        v = obs_view[o]
        p = obs_point[o]
        c = view_camera[v]
        xc, yc, zc = _to_camera(rotations, translations, v, points[p, 0], points[p, 1], points[p, 2])
        if c != current:
            for q in range(MAX_PARAMS):
                intrinsics[q] = params[c, q]
            current = c
        squared[o] = np.nan
        if project_with_jacobians(model_ids[c], intrinsics, xc, yc, zc, uv, A, K):
            squared[o] = (uv[0] - obs_xy[o, 0]) ** 2 + (uv[1] - obs_xy[o, 1]) ** 2


@njit(nogil=True, error_model="numpy")
def move_views(
    rotations, translations, params, dense_step, columns, block_columns, widths, block_view, block_camera,
    new_rotations, new_translations, new_params,
):  # fmt: skip
    """Poses and camera parameters after the step; only those that have columns are written.

    Block b belongs to view `block_view[b]` (or -1), and its parameters to camera `block_camera[b]` (or -1).
    """
    tangent = np.empty(6)
    step = np.empty((3, 3))
    for b in range(len(widths)):
        v, c = block_view[b], block_camera[b]
        if c >= 0:
            for q in range(MAX_PARAMS):
                new_params[c, q] = params[c, q]
        for q in range(6):
            tangent[q] = 0.0
        for j in range(widths[b]):
            column = block_columns[b, j]
            if column < 6:
                tangent[column] = dense_step[columns[b] + j]
            else:
                new_params[c, column - 6] = params[c, column - 6] + dense_step[columns[b] + j]
        if v < 0:
            continue
        for i in range(3):
            new_translations[v, i] = translations[v, i] + tangent[3 + i]
        w0, w1, w2 = tangent[0], tangent[1], tangent[2]
        angle2 = w0 * w0 + w1 * w1 + w2 * w2
        angle = np.sqrt(angle2)
        s = np.sin(angle) / angle if angle > 1e-8 else 1.0
        h = 2.0 * (np.sin(0.5 * angle) / angle) ** 2 if angle > 1e-8 else 0.5
        step[0, 0], step[1, 1], step[2, 2] = (
            1.0 - h * (w1 * w1 + w2 * w2),
            1.0 - h * (w0 * w0 + w2 * w2),
            1.0 - h * (w0 * w0 + w1 * w1),
        )
        step[0, 1], step[1, 0] = h * w0 * w1 - s * w2, h * w0 * w1 + s * w2
        step[0, 2], step[2, 0] = h * w0 * w2 + s * w1, h * w0 * w2 - s * w1
        step[1, 2], step[2, 1] = h * w1 * w2 - s * w0, h * w1 * w2 + s * w0
        for i in range(3):
            for j in range(3):
                new_rotations[v, i, j] = (
                    step[i, 0] * rotations[v, 0, j]
                    + step[i, 1] * rotations[v, 1, j]
                    + step[i, 2] * rotations[v, 2, j]
                )
