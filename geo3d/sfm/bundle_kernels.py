"""Kernels of bundle adjustment: residual `r = project(camera, R X + t) - xy` in pixels, its normal equations.

A pose moves by a tangent (w, v): `R <- exp(w) R`, `t <- t + v`. With x = R X + t and A = d project / d x,

    dr/dw = -A [R X]_x,    dr/dv = A,    dr/dX = A R.

An observation that does not project (behind its camera) counts zero and has no derivative. `obs_cost` remembers
which observations counted when the system was built, -1 for those that did not: a trial is compared over them only.

Observations are sorted by point, then view. A kernel takes points first..last.
"""

import numpy as np

from geo3d.cameras.kernels import MAX_PARAMS, project, project_with_jacobians
from geo3d.optim.losses import evaluate_loss
from geo3d.optim.schur_kernels import LANE
from geo3d.util.jit import njit

FULL = 6 + MAX_PARAMS  # columns of an observation's full row: rotation, translation, camera parameters
_FAST = {"nsz", "contract", "reassoc", "arcp"}
_STEP_FRACTIONS = np.array([1.0, 0.5, 0.25, 0.125, 0.0])


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


@njit(nogil=True, error_model="numpy", fastmath=_FAST)
def _pick(full0, full1, columns, row0, row1):
    for j in range(len(columns)):
        row0[j] = full0[columns[j]]
        row1[j] = full1[columns[j]]


@njit(nogil=True, error_model="numpy", fastmath=_FAST)
def _add_square(row0, row1, width, U):
    for i in range(width):
        a, b = row0[i], row1[i]
        for lane in range(0, len(row0), LANE):
            out, x, y = U[i, lane : lane + LANE], row0[lane : lane + LANE], row1[lane : lane + LANE]
            for j in range(LANE):
                out[j] += a * x[j] + b * y[j]


@njit(nogil=True, error_model="numpy", fastmath=_FAST)
def _add_gradient(row0, row1, r0, r1, gradient):
    for j in range(len(row0)):
        gradient[j] += row0[j] * r0 + row1[j] * r1


@njit(nogil=True, error_model="numpy", fastmath=_FAST)
def _add_coupling(row0, row1, point0, point1, W):
    for q in range(3):
        a, b = point0[q], point1[q]
        for lane in range(0, len(row0), LANE):
            out, x, y = W[q, lane : lane + LANE], row0[lane : lane + LANE], row1[lane : lane + LANE]
            for j in range(LANE):
                out[j] += a * x[j] + b * y[j]


@njit(nogil=True, error_model="numpy", fastmath=_FAST)
def linearize(
    first, last, rotations, translations, params, points, view_camera, model_ids, point_obs, obs_view, obs_xy,
    loss_id, loss_scale, free_point, view_block, camera_block, block_columns, widths, point_entries, view_entry,
    camera_entry, U, cross, gc, V, gp, W, obs_cost,
):  # fmt: skip
    """Normal equations of points first..last; returns their cost.

    U, cross and gc are added to (clear them first), the rest is written over. `block_columns` (blocks, lanes) says
    which of an observation's FULL columns a block has; its surplus points to one more column, which is zero.
    """
    lanes = block_columns.shape[1]
    uv, A, K = np.empty(2), np.empty((2, 3)), np.empty((2, MAX_PARAMS))
    full0, full1 = np.zeros(FULL + 1), np.zeros(FULL + 1)
    view0, view1, camera0, camera1 = np.empty(lanes), np.empty(lanes), np.empty(lanes), np.empty(lanes)
    point0, point1 = np.empty(3), np.empty(3)
    total = 0.0
    for p in range(first, last):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        free = free_point[p]
        v00 = v10 = v11 = v20 = v21 = v22 = g0 = g1 = g2 = 0.0
        W[point_entries[p] : point_entries[p + 1]] = 0.0
        for o in range(point_obs[p], point_obs[p + 1]):
            v = obs_view[o]
            c = view_camera[v]
            R = rotations[v]
            rx = R[0, 0] * x + R[0, 1] * y + R[0, 2] * z
            ry = R[1, 0] * x + R[1, 1] * y + R[1, 2] * z
            rz = R[2, 0] * x + R[2, 1] * y + R[2, 2] * z
            xc, yc, zc = rx + translations[v, 0], ry + translations[v, 1], rz + translations[v, 2]
            if not project_with_jacobians(model_ids[c], params[c], xc, yc, zc, uv, A, K):
                obs_cost[o] = -1.0
                continue
            r0, r1 = uv[0] - obs_xy[o, 0], uv[1] - obs_xy[o, 1]
            rho, weight = evaluate_loss(loss_id, loss_scale, r0 * r0 + r1 * r1)
            obs_cost[o] = rho
            total += rho
            if weight == 0.0:
                continue
            root = np.sqrt(weight)
            r0 *= root
            r1 *= root
            a0, a1, a2 = root * A[0, 0], root * A[0, 1], root * A[0, 2]
            b0, b1, b2 = root * A[1, 0], root * A[1, 1], root * A[1, 2]
            if free:
                for q in range(3):
                    point0[q] = a0 * R[0, q] + a1 * R[1, q] + a2 * R[2, q]
                    point1[q] = b0 * R[0, q] + b1 * R[1, q] + b2 * R[2, q]
                v00 += point0[0] * point0[0] + point1[0] * point1[0]
                v10 += point0[1] * point0[0] + point1[1] * point1[0]
                v11 += point0[1] * point0[1] + point1[1] * point1[1]
                v20 += point0[2] * point0[0] + point1[2] * point1[0]
                v21 += point0[2] * point0[1] + point1[2] * point1[1]
                v22 += point0[2] * point0[2] + point1[2] * point1[2]
                g0 += point0[0] * r0 + point1[0] * r1
                g1 += point0[1] * r0 + point1[1] * r1
                g2 += point0[2] * r0 + point1[2] * r1
            of_view, of_camera = view_block[v], camera_block[c]
            if of_view < 0 and of_camera < 0:
                continue
            full0[0], full0[1], full0[2] = a2 * ry - a1 * rz, a0 * rz - a2 * rx, a1 * rx - a0 * ry
            full1[0], full1[1], full1[2] = b2 * ry - b1 * rz, b0 * rz - b2 * rx, b1 * rx - b0 * ry
            full0[3], full0[4], full0[5] = a0, a1, a2
            full1[3], full1[4], full1[5] = b0, b1, b2
            for q in range(MAX_PARAMS):
                full0[6 + q] = root * K[0, q]
                full1[6 + q] = root * K[1, q]
            if of_view >= 0:
                _pick(full0, full1, block_columns[of_view], view0, view1)
                _add_square(view0, view1, widths[of_view], U[of_view])
                _add_gradient(view0, view1, r0, r1, gc[of_view])
                if free:
                    _add_coupling(view0, view1, point0, point1, W[view_entry[o]])
            if of_camera >= 0:
                _pick(full0, full1, block_columns[of_camera], camera0, camera1)
                _add_square(camera0, camera1, widths[of_camera], U[of_camera])
                _add_gradient(camera0, camera1, r0, r1, gc[of_camera])
                if free:
                    _add_coupling(camera0, camera1, point0, point1, W[camera_entry[o]])
                if of_view >= 0:
                    block = cross[of_view]
                    for i in range(widths[of_view]):
                        for j in range(lanes):
                            block[i, j] += view0[i] * camera0[j] + view1[i] * camera1[j]
        V[p, 0], V[p, 1], V[p, 2], V[p, 3], V[p, 4], V[p, 5] = v00, v10, v11, v20, v21, v22
        gp[p, 0], gp[p, 1], gp[p, 2] = g0, g1, g2
    return 0.5 * total


@njit(nogil=True, error_model="numpy", fastmath=_FAST)
def trial_cost(
    first, last, rotations, translations, params, points, point_step, view_camera, model_ids, point_obs, obs_view,
    obs_xy, loss_id, loss_scale, obs_cost, moved,
):  # fmt: skip
    """Cost of points first..last after their steps, written to `moved` (P, 3), at poses and cameras after theirs.

    A point that its step would take out of sight of a view that saw it goes only a fraction of the way. Where no
    fraction helps, the observation keeps its old cost: losing sight is neither rewarded nor punished.
    """
    uv = np.empty(2)
    total = 0.0
    for p in range(first, last):
        for fraction in _STEP_FRACTIONS:
            x = points[p, 0] + fraction * point_step[p, 0]
            y = points[p, 1] + fraction * point_step[p, 1]
            z = points[p, 2] + fraction * point_step[p, 2]
            cost = 0.0
            lost = False
            for o in range(point_obs[p], point_obs[p + 1]):
                if obs_cost[o] < 0.0:
                    continue
                v = obs_view[o]
                c = view_camera[v]
                R = rotations[v]
                xc = R[0, 0] * x + R[0, 1] * y + R[0, 2] * z + translations[v, 0]
                yc = R[1, 0] * x + R[1, 1] * y + R[1, 2] * z + translations[v, 1]
                zc = R[2, 0] * x + R[2, 1] * y + R[2, 2] * z + translations[v, 2]
                if project(model_ids[c], params[c], xc, yc, zc, uv):
                    r0, r1 = uv[0] - obs_xy[o, 0], uv[1] - obs_xy[o, 1]
                    rho, _ = evaluate_loss(loss_id, loss_scale, r0 * r0 + r1 * r1)
                    cost += rho
                else:
                    lost = True
                    cost += obs_cost[o]
            if not lost:
                break
        moved[p, 0], moved[p, 1], moved[p, 2] = x, y, z
        total += cost
    return 0.5 * total


@njit(nogil=True, error_model="numpy", fastmath=_FAST)
def errors(
    rotations, translations, params, points, view_camera, model_ids, obs_point, obs_view, obs_xy, squared
):  # fmt: skip
    """Squared reprojection errors (O,) in px^2 of observations in any order; NaN where they do not project."""
    uv = np.empty(2)
    for o in range(len(obs_point)):
        v = obs_view[o]
        R, X, t = rotations[v], points[obs_point[o]], translations[v]
        c = view_camera[v]
        xc = R[0, 0] * X[0] + R[0, 1] * X[1] + R[0, 2] * X[2] + t[0]
        yc = R[1, 0] * X[0] + R[1, 1] * X[1] + R[1, 2] * X[2] + t[1]
        zc = R[2, 0] * X[0] + R[2, 1] * X[1] + R[2, 2] * X[2] + t[2]
        squared[o] = np.nan
        if project(model_ids[c], params[c], xc, yc, zc, uv):
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
            new_params[c] = params[c]
        tangent[:] = 0.0
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
