"""Rays against patches (a bounding volume hierarchy) and against the ground (a grid of bilinear cells).

A patch is hit where o + t d = p + u a + v b (Moeller and Trumbore 1997) with u, v inside its shape. The ground is
z = h(x, y), bilinear in each cell of the grid, so that along a ray it is a quadratic in t: both intersections are
exact in float64. `hit_patches_reference` and `ground_height` are the plain versions.

Arrays, small so that they stay in the caches: `frames` (N, 9) float32 rows p, a, b in the order of the hierarchy;
`kinds` (N, 2) int32 shape, material; `nodes` (M, 8) float32: low and high corner, then the left child and 0 (the
right one is left + 1), or first row and count of a leaf. Children are pairs in one cache line; node 1 is not used.
"""

from __future__ import annotations

import math

import numpy as np

from geo3d.synthetic.patches import ELLIPSE, TRIANGLE
from geo3d.util.jit import njit

LEAF_SIZE = 2
BLOCK = 16  # cells of a block of the ground
STACK = 64
FAR = 1e30


def build_hierarchy(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hierarchy of boxes (N, 3), (N, 3): (nodes, order), split at 8 planes by the surface-area heuristic."""
    count = len(low)
    nodes = np.zeros((2 * count + 2, 8), np.float32)
    order = np.arange(count)
    used = _build(low, high, order, nodes)
    # the boxes are float32: a step outward keeps them around their float64 contents
    nodes[:, :3] = np.nextafter(nodes[:, :3], np.float32(-np.inf))
    nodes[:, 3:6] = np.nextafter(nodes[:, 3:6], np.float32(np.inf))
    return nodes[:used], order


@njit(nogil=True)
def _build(low, high, order, nodes):
    todo = np.empty((STACK * 8, 3), np.int64)
    todo[0, 0], todo[0, 1], todo[0, 2] = 0, 0, len(order)
    depth, used = 1, 2
    while depth > 0:
        depth -= 1
        node, first, last = todo[depth, 0], todo[depth, 1], todo[depth, 2]
        for k in range(3):
            lo, hi = FAR, -FAR
            for i in range(first, last):
                lo, hi = min(lo, low[order[i], k]), max(hi, high[order[i], k])
            nodes[node, k], nodes[node, k + 3] = lo, hi
        middle = first
        if last - first > LEAF_SIZE:
            middle = _partition(low, high, order, first, last)
        if middle in (first, last):
            nodes[node, 6], nodes[node, 7] = first, last - first
            continue
        nodes[node, 6], nodes[node, 7] = used, 0
        todo[depth, 0], todo[depth, 1], todo[depth, 2] = used, first, middle
        todo[depth + 1, 0], todo[depth + 1, 1], todo[depth + 1, 2] = used + 1, middle, last
        used += 2
        depth += 2
    return used


@njit(nogil=True)
def _partition(low, high, order, first, last):
    """Order rows first..last so that the cheapest of 3 x 8 splits is at the returned row."""
    best, best_axis, best_cut = FAR, -1, 0.0
    box = np.empty((2, 6))
    for axis in range(3):
        lo, hi = FAR, -FAR
        for i in range(first, last):
            centre = low[order[i], axis] + high[order[i], axis]
            lo, hi = min(lo, centre), max(hi, centre)
        for step in range(1, 9):
            cut = lo + (hi - lo) * step / 9.0
            number = np.zeros(2)
            box[:, :3], box[:, 3:] = FAR, -FAR
            stride = 1 + (last - first) // 512  # a sample is enough to choose
            for i in range(first, last, stride):
                row = order[i]
                side = 1 if low[row, axis] + high[row, axis] > cut else 0
                number[side] += 1
                for k in range(3):
                    box[side, k] = min(box[side, k], low[row, k])
                    box[side, k + 3] = max(box[side, k + 3], high[row, k])
            if number[0] == 0 or number[1] == 0:
                continue
            cost = 0.0
            for side in range(2):
                x, y, z = (
                    box[side, 3] - box[side, 0],
                    box[side, 4] - box[side, 1],
                    box[side, 5] - box[side, 2],
                )
                cost += number[side] * (x * y + y * z + z * x)
            if cost < best:
                best, best_axis, best_cut = cost, axis, cut
    if best_axis < 0:
        return first
    i, j = first, last - 1
    while i <= j:
        if low[order[i], best_axis] + high[order[i], best_axis] <= best_cut:
            i += 1
        else:
            order[i], order[j] = order[j], order[i]
            j -= 1
    return i


@njit(nogil=True)
def hit_patch(frames, kinds, row, ox, oy, oz, dx, dy, dz):
    """(t, u, v) of the ray o + t d with one patch; t = FAR when it misses."""
    ax, ay, az = frames[row, 3], frames[row, 4], frames[row, 5]
    bx, by, bz = frames[row, 6], frames[row, 7], frames[row, 8]
    px, py, pz = dy * bz - dz * by, dz * bx - dx * bz, dx * by - dy * bx
    det = ax * px + ay * py + az * pz
    if abs(det) < 1e-14:
        return FAR, 0.0, 0.0
    det = 1.0 / det
    sx, sy, sz = ox - frames[row, 0], oy - frames[row, 1], oz - frames[row, 2]
    u = (sx * px + sy * py + sz * pz) * det
    if u < 0.0 or u > 1.0:
        return FAR, 0.0, 0.0
    qx, qy, qz = sy * az - sz * ay, sz * ax - sx * az, sx * ay - sy * ax
    v = (dx * qx + dy * qy + dz * qz) * det
    if v < 0.0 or v > 1.0:
        return FAR, 0.0, 0.0
    shape = kinds[row, 0]
    if shape == TRIANGLE and u + v > 1.0:
        return FAR, 0.0, 0.0
    if shape == ELLIPSE and (u - 0.5) ** 2 + (v - 0.5) ** 2 > 0.25:
        return FAR, 0.0, 0.0
    t = (bx * qx + by * qy + bz * qz) * det
    if t <= 0.0:
        return FAR, 0.0, 0.0
    return t, u, v


@njit(nogil=True)
def _enter(nodes, node, ix, iy, iz, sx, sy, sz, far):
    """Distance at which the ray enters a box, FAR when it misses it before `far`; i = 1 / d and s = -o / d."""
    t0, t1 = nodes[node, 0] * ix + sx, nodes[node, 3] * ix + sx
    near, out = min(t0, t1), max(t0, t1)
    t0, t1 = nodes[node, 1] * iy + sy, nodes[node, 4] * iy + sy
    near, out = max(near, min(t0, t1)), min(out, max(t0, t1))
    t0, t1 = nodes[node, 2] * iz + sz, nodes[node, 5] * iz + sz
    near, out = max(near, min(t0, t1)), min(out, max(t0, t1))
    return near if out >= max(near, 0.0) and near < far else FAR


@njit(nogil=True)
def inverse(d):
    """1 / d, finite."""
    return 1.0 / d if abs(d) > 1e-12 else math.copysign(1e12, d)


@njit(nogil=True)
def hit_patches(frames, kinds, nodes, ox, oy, oz, dx, dy, dz, far, any_hit, stack):
    """(t, row, u, v) of the nearest patch before `far` (or of any patch); row is -1 when there is none."""
    ix, iy, iz = inverse(dx), inverse(dy), inverse(dz)
    sx, sy, sz = -ox * ix, -oy * iy, -oz * iz
    best, best_row, best_u, best_v = far, -1, 0.0, 0.0
    top, node = 0, 0
    if _enter(nodes, 0, ix, iy, iz, sx, sy, sz, best) == FAR:
        return best, best_row, best_u, best_v
    while True:
        count = int(nodes[node, 7])
        descend = -1
        if count > 0:
            first = int(nodes[node, 6])
            for row in range(first, first + count):
                t, u, v = hit_patch(frames, kinds, row, ox, oy, oz, dx, dy, dz)
                if t < best:
                    best, best_row, best_u, best_v = t, row, u, v
            if any_hit and best_row >= 0:
                return best, best_row, best_u, best_v
        else:
            left = int(nodes[node, 6])
            near_left = _enter(nodes, left, ix, iy, iz, sx, sy, sz, best)
            near_right = _enter(nodes, left + 1, ix, iy, iz, sx, sy, sz, best)
            if near_left < FAR and near_right < FAR:
                near_first = near_left <= near_right
                descend = left if near_first else left + 1
                stack[top] = left + 1 if near_first else left
                top += 1
            elif near_left < FAR:
                descend = left
            elif near_right < FAR:
                descend = left + 1
        if descend < 0:
            if top == 0:
                return best, best_row, best_u, best_v
            top -= 1
            descend = stack[top]
        node = descend


def hit_patches_reference(frames: np.ndarray, kinds: np.ndarray, origin, direction) -> tuple[float, int]:
    """(t, row) of the nearest patch, by solving [a b -d] (u, v, t) = o - p for each of them."""
    matrix = np.stack(
        [frames[:, 3:6], frames[:, 6:9], np.broadcast_to(-np.asarray(direction), frames[:, :3].shape)], 2
    )
    u, v, t = np.linalg.solve(matrix, (np.asarray(origin) - frames[:, :3])[..., None])[..., 0].T
    inside = (u >= 0) & (v >= 0) & (u <= 1) & (v <= 1) & (t > 0)
    inside &= (kinds[:, 0] != TRIANGLE) | (u + v <= 1)
    inside &= (kinds[:, 0] != ELLIPSE) | ((u - 0.5) ** 2 + (v - 0.5) ** 2 <= 0.25)
    t = np.where(inside, t, np.inf)
    return float(t.min()), int(t.argmin())


@njit(nogil=True)
def ground_height(heights, origin, cell, x, y):
    """Height of the bilinear ground at x, y; the grid's node (row j, column i) is at origin + cell (i, j)."""
    n = heights.shape[0] - 1
    gx = min(max((x - origin) / cell, 0.0), n - 1e-9)
    gy = min(max((y - origin) / cell, 0.0), n - 1e-9)
    i, j = int(gx), int(gy)
    u, v = gx - i, gy - j
    h00, h10 = float(heights[j, i]), float(heights[j, i + 1])
    h01, h11 = float(heights[j + 1, i]), float(heights[j + 1, i + 1])
    low, high = h00 + (h10 - h00) * u, h01 + (h11 - h01) * u
    return low + (high - low) * v


@njit(nogil=True)
def _hit_cell(heights, i, j, ox, oy, oz, dx, dy, dz, t0, t1):
    """First t in [t0, t1] at which the ray goes below the cell; ox, oy, dx, dy in cells. FAR when it does not."""
    h00, h10 = float(heights[j, i]), float(heights[j, i + 1])  # sums in float64
    h01, h11 = float(heights[j + 1, i]), float(heights[j + 1, i + 1])
    if min(oz + t0 * dz, oz + t1 * dz) > max(max(h00, h10), max(h01, h11)):
        return FAR
    k = h11 - h10 - h01 + h00
    u, v = ox + t0 * dx - i, oy + t0 * dy - j
    # f(s) = ray - ground at t0 + s: c + b s + a s^2
    c = oz + t0 * dz - (h00 + (h10 - h00) * u + (h01 - h00) * v + k * u * v)
    if c <= 0.0:
        return t0
    b = dz - ((h10 - h00) * dx + (h01 - h00) * dy + k * (u * dy + v * dx))
    a = -k * dx * dy
    root = b * b - 4.0 * a * c
    if root < 0.0:
        return FAR
    # the smaller positive root, without cancellation
    q = -0.5 * (b + math.copysign(math.sqrt(root), b))
    s = FAR
    if q != 0.0 and c / q > 0.0:
        s = c / q
    if a != 0.0 and 0.0 < q / a < s:
        s = q / a
    return t0 + s if s <= t1 - t0 + 1e-9 else FAR


@njit(nogil=True)
def hit_ground(heights, blocks, origin, cell, ox, oy, oz, dx, dy, dz):
    """Distance along the ray to the ground, FAR when it misses: blocks that the ray passes above are skipped."""
    n = heights.shape[0] - 1
    ox, oy, dx, dy = (ox - origin) / cell, (oy - origin) / cell, dx / cell, dy / cell
    ix, iy = inverse(dx), inverse(dy)
    ta, tb = -ox * ix, (n - ox) * ix
    start, end = max(min(ta, tb), 0.0), max(ta, tb)
    ta, tb = -oy * iy, (n - oy) * iy
    start, end = max(start, min(ta, tb)), min(end, max(ta, tb))
    t = start
    while t < end:
        x, y = ox + (t + 1e-9) * dx, oy + (t + 1e-9) * dy
        i, j = min(max(int(x), 0), n - 1), min(max(int(y), 0), n - 1)
        bi, bj = i // BLOCK, j // BLOCK
        side_x = (bi + 1 if dx > 0 else bi) * BLOCK
        side_y = (bj + 1 if dy > 0 else bj) * BLOCK
        out = min(min((side_x - ox) * ix, (side_y - oy) * iy), end)
        if min(oz + t * dz, oz + out * dz) <= blocks[bj, bi]:
            while t < out:
                tx = ((i + 1 if dx > 0 else i) - ox) * ix
                ty = ((j + 1 if dy > 0 else j) - oy) * iy
                leave = min(min(tx, ty), out)
                hit = _hit_cell(heights, i, j, ox, oy, oz, dx, dy, dz, t, leave)
                if hit < FAR:
                    return hit
                if tx < ty:
                    i += 1 if dx > 0 else -1
                else:
                    j += 1 if dy > 0 else -1
                if i < 0 or j < 0 or i >= n or j >= n:
                    return FAR
                t = max(leave, t + 1e-9)
        t = max(out, t) + 1e-9
    return FAR
