"""Samples where a grid says that something is: rays march through it in steps and leap over empty cells.

    step(t) = clamp(t cone_angle, smallest, largest)
    sample [t, t + step]  if the cell of the middle is occupied
    else the next middle is `jitter` steps behind the end of what is known to be empty

What is known to be empty around an empty cell is a cube: the grid holds for each cell its distance to the nearest
occupied one, in cells, the largest of the three coordinates' (`empty_distances`). Every run of occupied cells so begins
with the phase of its ray, 0 <= jitter < 1, and over random phases each place of the run is sampled alike. In the
contracted part of an unbounded box, where a ray is not straight, empty cells are passed step by step. Two passes: the
first counts, the second writes. What a ray gets depends on the ray, the grid and its jitter alone. Mueller et al.,
Instant-NGP, SIGGRAPH 2022, section "Accelerated ray marching".

Rays come in the world frame; t is in world units. The march is in double precision, the outputs in single.
"""

import numpy as np
from numba import prange

from geo3d.nerf import contraction
from geo3d.util.jit import njit

FARTHEST = 8  # cells; a longer way through the empty is told as this
_TINY = 1e-30  # slope of a coordinate that stays

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
def _march(ray, rays, box, steps, empty, phase, most, begin, writing, at, out):
    """March one ray, from the range `begin` on if `writing`.

    Returns how many samples it has, the range at which the march ended (inf: where the ray does), and that at which its
    first sample begins, before it is cut to the ray. `out`: starts, ends, positions, directions, ray indices, written
    from row `at` on if `writing`. Intervals are cut to those of the ray.
    """
    origins, directions, nears, fars = rays
    unbounded = box[4] != 0.0
    ox, dx = _line(origins[ray, 0], directions[ray, 0], box[0], box[3])
    oy, dy = _line(origins[ray, 1], directions[ray, 1], box[1], box[3])
    oz, dz = _line(origins[ray, 2], directions[ray, 2], box[2], box[3])
    cone, smallest, largest = steps
    near, far = np.float64(nears[ray]), np.float64(fars[ray])
    if not unbounded:
        near, far = _span(ox, dx, box[5], box[8], near, far)
        near, far = _span(oy, dy, box[6], box[9], near, far)
        near, far = _span(oz, dz, box[7], box[10], near, far)
    n = empty.shape[0]
    scale, shift = (
        (0.5 * n, 0.25 * n) if unbounded else (1.0 * n, 0.0)
    )  # to cells, where space is not contracted
    ux0, uy0, uz0 = ox * scale + shift, oy * scale + shift, oz * scale + shift
    ux1, uy1, uz1 = dx * scale, dy * scale, dz * scale
    ix, iy, iz = 1.0 / ux1, 1.0 / uy1, 1.0 / uz1
    ahead_x, ahead_y, ahead_z = 1.0 * (ux1 < 0.0), 1.0 * (uy1 < 0.0), 1.0 * (uz1 < 0.0)
    found, first = 0, 0.0
    step = min(max(near * cone, smallest), largest)
    t = begin if writing else near + (phase - 0.5) * step
    while found < most:
        if cone > 0.0:
            step = min(max(t * cone, smallest), largest)
        middle = t + 0.5 * step
        if not middle < far:
            return found, np.inf, first
        ux, uy, uz = ux0 + middle * ux1, uy0 + middle * uy1, uz0 + middle * uz1
        inner = not unbounded or max(abs(ux - 0.5 * n), abs(uy - 0.5 * n), abs(uz - 0.5 * n)) < 0.25 * n
        if not inner:
            ux, uy, uz = _contract(ox + middle * dx, oy + middle * dy, oz + middle * dz)
            ux, uy, uz = ux * n, uy * n, uz * n
        i, j, k = min(max(int(ux), 0), n - 1), min(max(int(uy), 0), n - 1), min(max(int(uz), 0), n - 1)
        distance = np.float64(empty[i, j, k])
        if distance == 0.0:
            if writing:
                row = at + found
                start, end = max(t, near), min(t + step, far)
                middle = 0.5 * (start + end)
                px, py, pz = ox + middle * dx, oy + middle * dy, oz + middle * dz
                if unbounded:
                    px, py, pz = _contract(px, py, pz)
                out[0][row], out[1][row] = start, end
                out[2][row, 0], out[2][row, 1], out[2][row, 2] = px, py, pz
                for axis in range(3):
                    out[3][row, axis] = directions[ray, axis]
                out[4][row] = ray
            elif found == 0:
                first = t
            found += 1
            t += step
        elif (
            inner
        ):  # along x the empty cube ends at i + distance, or at i + 1 - distance where the ray runs back
            leap_x = (i + ahead_x - ux) * ix + distance * abs(ix)
            leap_y = (j + ahead_y - uy) * iy + distance * abs(iy)
            leap_z = (k + ahead_z - uz) * iz + distance * abs(iz)
            following = middle + max(min(leap_x, leap_y, leap_z), 0.05 * step)
            if cone > 0.0:
                step = min(max(following * cone, smallest), largest)
            t = max(following + (phase - 0.5) * step, t + 0.05 * step)
        else:
            t += step
    return found, t, first


@njit(parallel=True, **_OPTIONS)
def count_samples(rays, box, steps, empty, jitter, most, counts, begins, ends):
    """First pass: (R,) int64 `counts` of samples, and float64 the range at which the first begins and the march ended.

    `rays`: origins (R, 3), directions (R, 3), near (R,), far (R,). `box` (11,): center, side, unbounded,
    and the smallest and the largest corner of what is occupied, box frame, which count if not unbounded. `steps` (3,):
    cone_angle, smallest, largest. `empty` (N, N, N): `empty_distances`. `jitter` (R,). `most`: samples a
    ray. A march that saw its ray's end has the end inf.
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
