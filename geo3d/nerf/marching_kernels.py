"""Samples where a grid says that something is: rays march through it in steps and leap over empty cells.

    step(t) = clamp(t cone_angle, smallest, largest)
    sample [t, t + step]  if the cell of the middle is occupied
    else the next middle is `jitter` steps behind the end of the empty cell (of the empty block of 8^3 cells)

Every run of occupied cells so begins with the phase of its ray, 0 <= jitter < 1, and over random phases each place of
the run is sampled alike. In the contracted part of an unbounded box, where a ray is not straight, empty cells are
passed step by step. Two passes: the first counts, the second writes. What a ray gets depends on the ray, the grid and
its jitter alone. Mueller et al., Instant-NGP, SIGGRAPH 2022, section "Accelerated ray marching".

Rays come in the world frame; t is in world units. The march is in double precision, the outputs in single.
"""

import numpy as np
from numba import prange

from geo3d.nerf import contraction
from geo3d.util.jit import njit

BLOCK = 8  # cells along an edge of a block

_OPTIONS = {"error_model": "numpy", "_nrt": False}
_contract = njit(**_OPTIONS)(contraction.contract)


@njit(**_OPTIONS)
def _exit(px, py, pz, dx, dy, dz, cells, scale, shift):
    """How much further along d the point p of the box frame leaves its cell; cells of the size 1 / (cells scale)."""
    leap = np.inf
    for axis in range(3):
        p = px if axis == 0 else (py if axis == 1 else pz)
        d = dx if axis == 0 else (dy if axis == 1 else dz)
        if d != 0.0:
            u = (p * scale + shift) * cells
            border = np.floor(u) + (1.0 if d > 0.0 else 0.0)
            leap = min(leap, (border - u) / (cells * scale * d))
    return leap


@njit(**_OPTIONS)
def _span(ox, oy, oz, dx, dy, dz, near, far):
    """Range at which a ray enters and leaves the unit cube, within near and far."""
    for axis in range(3):
        o = ox if axis == 0 else (oy if axis == 1 else oz)
        d = dx if axis == 0 else (dy if axis == 1 else dz)
        if d != 0.0:
            a, b = -o / d, (1.0 - o) / d
            near, far = max(near, min(a, b)), min(far, max(a, b))
        elif o < 0.0 or o > 1.0:
            far = near
    return near, far


@njit(**_OPTIONS)
def _march(ray, rays, box, steps, cells, blocks, jitter, most, writing, at, out):
    """March one ray; returns how many samples it has and the range at which the march ended (inf: at its end).

    `out`: starts, ends, positions, directions, ray indices, written from row `at` on if `writing`. Intervals are cut to
    those of the ray.
    """
    origins, directions, nears, fars = rays
    side, unbounded = box[3], box[4] != 0.0
    dx, dy, dz = directions[ray, 0] / side, directions[ray, 1] / side, directions[ray, 2] / side
    ox = (origins[ray, 0] - box[0]) / side + 0.5
    oy = (origins[ray, 1] - box[1]) / side + 0.5
    oz = (origins[ray, 2] - box[2]) / side + 0.5
    cone, smallest, largest = steps
    near, far = np.float64(nears[ray]), np.float64(fars[ray])
    if not unbounded:
        near, far = _span(ox, oy, oz, dx, dy, dz, near, far)
    phase = np.float64(jitter[ray])
    n_fine = cells.shape[0]
    n_coarse = blocks.shape[0]
    scale, shift = (0.5, 0.25) if unbounded else (1.0, 0.0)
    found = 0
    step = min(max(near * cone, smallest), largest)
    t = near + (phase - 0.5) * step
    while found < most:
        step = min(max(t * cone, smallest), largest)
        middle = t + 0.5 * step
        if not middle < far:
            return found, np.inf
        px, py, pz = ox + middle * dx, oy + middle * dy, oz + middle * dz
        ux, uy, uz = px, py, pz
        inner = True
        if unbounded:
            ux, uy, uz = _contract(px, py, pz)
            inner = max(abs(px - 0.5), abs(py - 0.5), abs(pz - 0.5)) < 0.5
        i = min(max(int(ux * n_fine), 0), n_fine - 1)
        j = min(max(int(uy * n_fine), 0), n_fine - 1)
        k = min(max(int(uz * n_fine), 0), n_fine - 1)
        block = blocks[i // BLOCK, j // BLOCK, k // BLOCK] != 0
        if block and cells[i, j, k] != 0:
            if writing:
                row = at + found
                start, end = max(t, near), min(t + step, far)
                middle = 0.5 * (start + end)
                ux, uy, uz = ox + middle * dx, oy + middle * dy, oz + middle * dz
                if unbounded:
                    ux, uy, uz = _contract(ux, uy, uz)
                out[0][row], out[1][row] = start, end
                out[2][row, 0], out[2][row, 1], out[2][row, 2] = ux, uy, uz
                for axis in range(3):
                    out[3][row, axis] = directions[ray, axis]
                out[4][row] = ray
            found += 1
            t += step
        elif inner:
            leap = _exit(px, py, pz, dx, dy, dz, n_fine if block else n_coarse, scale, shift)
            following = middle + max(leap, 0.05 * step)
            step = min(max(following * cone, smallest), largest)
            t = max(following + (phase - 0.5) * step, t + 0.05 * step)
        else:
            t += step
    return found, t


@njit(parallel=True, **_OPTIONS)
def count_samples(rays, box, steps, cells, blocks, jitter, most, counts, ends):
    """First pass: (R,) int64 `counts` of samples and (R,) float32 `ends`, the range at which each march ended.

    `rays`: origins (R, 3), directions (R, 3), near (R,), far (R,). `box` (5,): center, side, unbounded. `steps` (3,):
    cone_angle, smallest, largest. `cells` (N, N, N) and `blocks` (N / 8, ...) uint8: not 0 where occupied. `jitter`
    (R,). `most`: samples a ray. A march that saw its ray's end has the end inf.
    """
    for ray in prange(len(counts)):
        nothing = (ends, ends, rays[0], rays[0], counts)
        counts[ray], ends[ray] = _march(ray, rays, box, steps, cells, blocks, jitter, most, False, 0, nothing)


@njit(parallel=True, **_OPTIONS)
def write_samples(rays, box, steps, cells, blocks, jitter, most, offsets, out):
    """Second pass: fill `out`, see `_march`, from `offsets` (R + 1,) on; the other arguments as in the first pass."""
    for ray in prange(len(offsets) - 1):
        if offsets[ray + 1] > offsets[ray]:
            _march(ray, rays, box, steps, cells, blocks, jitter, most, True, offsets[ray], out)
