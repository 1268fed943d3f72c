"""Samples where a grid says that something is: rays march through it in steps and leap over empty cells.

    step(t) = clamp(t cone_angle, smallest, largest)
    sample [t, t + step]  if the cell of the middle is occupied
    else the next middle is `jitter` steps behind the end of what is known to be empty

What is known to be empty around an empty cell is a cube: the grid holds for each cell its distance to the nearest
occupied one, in cells, the largest of the three coordinates' (`empty_distances`). Every run of occupied cells so begins
with the phase of its ray, 0 <= jitter < 1, and over random phases each place of the run is sampled alike. In the
contracted part of an unbounded box a ray is not straight, and leaps only as far as it is sure to be in the empty cube
(`_contracted_leap`); however far it may go, it ends where its place can no longer be told from the face of the cube.
Two passes: the first counts, the second writes. What a ray gets depends on the ray, the grid and its jitter alone.
Mueller et al., Instant-NGP, SIGGRAPH 2022, section "Accelerated ray marching".

Rays come in the world frame; t is in world units. The march is in double precision, the outputs in single.
"""

import numpy as np
from numba import prange

from geo3d.nerf import contraction
from geo3d.util.jit import njit

FARTHEST = 8  # cells; a longer way through the empty is told as this
_TINY = 1e-30  # slope of a coordinate that stays
_INFINITY = 1e7  # sides of an unbounded box from its middle, where in float32 the face of the cube is reached

_OPTIONS = {"error_model": "numpy", "_nrt": False}
_contract = njit(**_OPTIONS)(contraction.contract)


def empty_distances(occupied: np.ndarray) -> np.ndarray:
    """(N, N, N) uint8 distance of each cell to the nearest occupied one, at most `FARTHEST`; 0 where it is occupied.

    Parameters
    ----------
    occupied : (N, N, N) bool
    """
    found = np.where(occupied, np.uint8(0), np.uint8(FARTHEST))
    for axis in range(3):
        line = np.moveaxis(found.copy(), axis, 0)
        result = np.moveaxis(found, axis, 0)
        for away in range(1, min(FARTHEST, len(line))):
            farther = np.maximum(line, np.uint8(away))
            np.minimum(result[away:], farther[:-away], out=result[away:])
            np.minimum(result[:-away], farther[away:], out=result[:-away])
    return found


@njit(**_OPTIONS)
def _span(o, slope, low, high, near, far):
    """Range at which a coordinate enters and leaves low to high, within near and far."""
    a, b = (low - o) / slope, (high - o) / slope
    return max(near, min(a, b)), min(far, max(a, b))


@njit(**_OPTIONS)
def _line(origin, direction, middle, side):
    """A coordinate of a ray in the box frame: where it starts, and its slope, never 0."""
    slope = direction / np.float64(side)
    return (origin - middle) / side + 0.5, slope if slope != 0.0 else _TINY


@njit(**_OPTIONS)
def _enter(ray, rays, box):
    """Origin and slopes of a ray in the box frame, and the ranges between which there may be something."""
    origins, directions, nears, fars = rays
    ox, dx = _line(origins[ray, 0], directions[ray, 0], box[0], box[3])
    oy, dy = _line(origins[ray, 1], directions[ray, 1], box[1], box[3])
    oz, dz = _line(origins[ray, 2], directions[ray, 2], box[2], box[3])
    near, far = np.float64(nears[ray]), np.float64(fars[ray])
    if box[4] == 0.0:
        near, far = _span(ox, dx, box[5], box[8], near, far)
        near, far = _span(oy, dy, box[6], box[9], near, far)
        near, far = _span(oz, dz, box[7], box[10], near, far)
    else:
        far = min(far, box[3] * (abs(ox - 0.5) + abs(oy - 0.5) + abs(oz - 0.5) + _INFINITY))
    return (ox, oy, oz), (dx, dy, dz), near, far


@njit(**_OPTIONS)
def _at(o, d, t):
    return o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]


@njit(**_OPTIONS)
def _in_cells(p, n, unbounded):
    """A point of the box frame in cells, and whether space is not contracted there."""
    if not unbounded:
        return (p[0] * n, p[1] * n, p[2] * n), True
    if max(abs(p[0] - 0.5), abs(p[1] - 0.5), abs(p[2] - 0.5)) < 0.5:
        half, quarter = 0.5 * n, 0.25 * n
        return (p[0] * half + quarter, p[1] * half + quarter, p[2] * half + quarter), True
    ux, uy, uz = _contract(p[0], p[1], p[2])
    return (ux * n, uy * n, uz * n), False


@njit(**_OPTIONS)
def _straight_leap(u, cell, distance, slope, inverse):
    """How far a straight coordinate u, in cells, runs until it leaves the cells nearer than `distance` to its own.

    They end at cell + distance, or at cell + 1 - distance where it runs back. `inverse`: 1 / slope, cells.
    """
    return (cell + (1.0 if slope < 0.0 else 0.0) - u) * inverse + distance * abs(inverse)


@njit(**_OPTIONS)
def _widest(o, d):
    """K of `_contracted_leap`: 2 |a x b| + |b|, largest coordinates, for q = a + t b with q = 2 x - 1."""
    ax, ay, az, bx, by, bz = 2 * o[0] - 1, 2 * o[1] - 1, 2 * o[2] - 1, 2 * d[0], 2 * d[1], 2 * d[2]
    turn = max(abs(ay * bz - az * by), abs(az * bx - ax * bz), abs(ax * by - ay * bx))
    return 2 * turn + max(abs(bx), abs(by), abs(bz))


@njit(**_OPTIONS)
def _contracted_leap(p, d, widest, room):
    """How far the ray at the point p of the box frame is sure to go before its contracted place has moved by `room`.

    With q = 2 x - 1 = a + t b and r = |q|_inf, the contraction (2 - 1 / r) q / r moves by at most K / r^2 for each t,
    K = 2 |a x b| + |b|, as d(q_j / q_k) = (b_j q_k - q_j b_k) / q_k^2 and q x b = a x b. r is convex: r >= r0 + r' t.
    So the way is at most K t / (r0 (r0 + r' t)).
    """
    r, slope = 0.0, 0.0
    for axis in range(3):
        q = 2 * p[axis] - 1
        if abs(q) > r:
            r, slope = abs(q), 2 * d[axis] * np.sign(q)
    rest = widest - room * r * slope
    return room * r * r / rest if rest > 0.0 else np.inf


@njit(**_OPTIONS)
def _write(out, row, ray, start, end, o, d, directions, unbounded):
    """A sample into the row of `out`."""
    x, y, z = _at(o, d, 0.5 * (start + end))
    if unbounded:
        x, y, z = _contract(x, y, z)
    out[0][row], out[1][row] = start, end
    out[2][row, 0], out[2][row, 1], out[2][row, 2] = x, y, z
    for axis in range(3):
        out[3][row, axis] = directions[ray, axis]
    out[4][row] = ray


@njit(**_OPTIONS)
def _march(ray, rays, box, steps, empty, phase, most, begin, writing, at, out):
    """March one ray, from the range `begin` on if `writing`.

    Returns how many samples it has, the range at which the march ended (inf: where the ray does), and that at which its
    first sample begins, before it is cut to the ray. `out`: starts, ends, positions, directions, ray indices, written
    from row `at` on if `writing`. Intervals are cut to near and far of the ray.
    """
    o, d, near, far = _enter(ray, rays, box)
    unbounded, n = box[4] != 0.0, empty.shape[0]
    widest = _widest(o, d)
    scale = 0.5 * n if unbounded else 1.0 * n  # cells along an edge of the box
    ix, iy, iz = 1.0 / (scale * d[0]), 1.0 / (scale * d[1]), 1.0 / (scale * d[2])
    cone, smallest, largest = steps
    found, first = 0, 0.0
    step = min(max(near * cone, smallest), largest)
    t = begin if writing else near + (phase - 0.5) * step
    while found < most:
        if cone > 0.0:
            step = min(max(t * cone, smallest), largest)
        middle = t + 0.5 * step
        if not t < middle < far:  # what is too far away for a step to count ends, too
            return found, np.inf, first
        p = _at(o, d, middle)
        (ux, uy, uz), straight = _in_cells(p, n, unbounded)
        i, j, k = min(max(int(ux), 0), n - 1), min(max(int(uy), 0), n - 1), min(max(int(uz), 0), n - 1)
        distance = np.float64(empty[i, j, k])
        if distance == 0.0:
            if writing:
                start, end = max(t, np.float64(rays[2][ray])), min(t + step, np.float64(rays[3][ray]))
                _write(out, at + found, ray, start, end, o, d, rays[1], unbounded)
            elif found == 0:
                first = t
            found += 1
            t += step
        elif straight:
            leap_x = _straight_leap(ux, i, distance, d[0], ix)
            leap_y = _straight_leap(uy, j, distance, d[1], iy)
            leap_z = _straight_leap(uz, k, distance, d[2], iz)
            following = middle + max(min(leap_x, leap_y, leap_z), 0.05 * step)
            if cone > 0.0:
                step = min(max(following * cone, smallest), largest)
            t = max(following + (phase - 0.5) * step, t + 0.05 * step)
        else:
            off = max(abs(ux - i - 0.5), abs(uy - j - 0.5), abs(uz - k - 0.5))
            leap = _contracted_leap(p, d, widest, (distance - 0.5 - off) * 4 / n)
            t += leap - phase * step if leap > 2.0 * step else step
    return found, t, first


@njit(parallel=True, **_OPTIONS)
def count_samples(rays, box, steps, empty, jitter, most, counts, begins, ends):
    """First pass: (R,) int64 `counts` of samples, and float64 the range at which the first begins and the march ended.

    `rays`: origins (R, 3), directions (R, 3), near (R,), far (R,). `box` (11,): center, side, unbounded, and the
    smallest and the largest corner of what is occupied, box frame, which count if not unbounded. `steps` (3,):
    cone_angle, smallest, largest. `empty` (N, N, N): `empty_distances`. `jitter` (R,). `most`: samples a ray. A march
    that saw its ray's end has the end inf.
    """
    nothing = (jitter, jitter, rays[0], rays[0], counts)
    for ray in prange(len(counts)):
        counts[ray], ends[ray], begins[ray] = _march(
            ray, rays, box, steps, empty, jitter[ray], most, 0.0, False, 0, nothing
        )


@njit(parallel=True, **_OPTIONS)
def write_samples(rays, box, steps, empty, jitter, offsets, begins, out):
    """Second pass: fill `out`, see `_march`, from `offsets` (R + 1,) on; the other arguments as in the first pass."""
    for ray in prange(len(begins)):
        at, most = offsets[ray], offsets[ray + 1] - offsets[ray]
        _march(ray, rays, box, steps, empty, jitter[ray], most, begins[ray], True, at, out)
