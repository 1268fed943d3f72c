"""Multi-resolution hash grid: features of positions, and gradients by entries and positions; 16 positions at once.

The formulas are those of hash_grid. An index is built from three parts, one an axis:

    index = (x xor 2654435761 y xor 805459861 z) and (entries - 1)      hashed
          = x + (N + 1) y + (N + 1)^2 z                                 where all vertices have their own entry

`levels` (L, 4) int64 holds a level's resolution N, its entries, its first entry in the grid and whether it is hashed.
Positions are flat float32 arrays of x, y, z, features stand feature by feature in a buffer: feature k of position i at
k stride + i.
"""

import numpy as np

from geo3d.nerf.field_parameters import FieldShape
from geo3d.util.jit import njit
from geo3d.util.lane_integers import add_pairs, integers, load_pairs, load_points, reals, store_points
from geo3d.util.lanes import load, minimum, multiply_add, next_item, select, spread, store

f4 = np.float32

CHUNK = 2048  # positions that a thread takes at a time

_PRIME_Y, _PRIME_Z = 2654435761, 805459861
_RESOLUTION, _ENTRIES, _START, _HASHED = range(4)

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_INLINE = {**_OPTIONS, "forceinline": True}


def level_table(shape: FieldShape) -> np.ndarray:
    """(L, 4) int64, the levels of `shape` as the kernels take them."""
    return np.array(
        [shape.resolutions, shape.level_entries, shape.level_starts, shape.hashed], np.int64
    ).T.copy()


@njit(**_INLINE)
def _axis(coordinate, resolution):
    """Cell and fraction within it; what lies outside of the cube is held to its faces, NaN to 0.

    The product is rounded once, with the cell taken off: rounded before, it would lose what is fine.
    """
    held = minimum(select(coordinate > f4(0), coordinate, f4(0)), f4(1))
    cell = integers(minimum(held * resolution, resolution - f4(1)))
    return cell, multiply_add(held, resolution, reals(cell) * f4(-1))


@njit(**_INLINE)
def _cell(level, x, y, z):
    """Of a level: both index parts of each axis, and the fractions."""
    resolution = f4(level[_RESOLUTION])
    i, fx = _axis(x, resolution)
    j, fy = _axis(y, resolution)
    k, fz = _axis(z, resolution)
    if level[_HASHED]:
        step_y, step_z = _PRIME_Y, _PRIME_Z
    else:
        step_y = level[_RESOLUTION] + 1
        step_z = step_y * step_y
    j, k = j * step_y, k * step_z
    return (i, i + 1, j, j + step_y, k, k + step_z), (fx, fy, fz)


@njit(**_INLINE)
def _index(level, x, y, z):
    """Entry of a vertex within its level, by its three index parts."""
    if level[_HASHED]:
        return (x ^ y ^ z) & (level[_ENTRIES] - 1)
    return x + y + z


@njit(**_INLINE)
def _edge(grid, level, x0, x1, y, z, fx):
    """Both features halfway: interpolated along x."""
    start = 2 * level[_START]
    a, b = load_pairs(grid, start, _index(level, x0, y, z))
    c, d = load_pairs(grid, start, _index(level, x1, y, z))
    return a + fx * (c - a), b + fx * (d - b)


@njit(**_OPTIONS)
def encode(counter, points, grid, levels, stride, features):
    """Features of `stride` positions, a multiple of 16, to `features` (2 L * stride,).

    A piece is a level of some positions, level after level: a level's table stays in the cache.
    """
    pieces = (stride + CHUNK - 1) // CHUNK
    piece = next_item(counter)
    while piece < levels.shape[0] * pieces:
        l = piece // pieces
        level, first = levels[l], (piece - l * pieces) * CHUNK
        for at in range(first, min(first + CHUNK, stride), 16):
            x, y, z = load_points(points, 3 * at)
            (x0, x1, y0, y1, z0, z1), (fx, fy, fz) = _cell(level, x, y, z)
            a, b = _edge(grid, level, x0, x1, y0, z0, fx)
            c, d = _edge(grid, level, x0, x1, y1, z0, fx)
            a, b = a + fy * (c - a), b + fy * (d - b)
            c, d = _edge(grid, level, x0, x1, y0, z1, fx)
            e, f = _edge(grid, level, x0, x1, y1, z1, fx)
            c, d = c + fy * (e - c), d + fy * (f - d)
            store(features, 2 * l * stride + at, a + fz * (c - a))
            store(features, (2 * l + 1) * stride + at, b + fz * (d - b))
        piece = next_item(counter)


@njit(**_INLINE)
def _add_edge(gradient, start, level, x0, x1, y, z, fx, a, b):
    """Gradients of both ends of an edge along x."""
    add_pairs(gradient, start, _index(level, x0, y, z), a - fx * a, b - fx * b)
    add_pairs(gradient, start, _index(level, x1, y, z), fx * a, fx * b)


@njit(**_OPTIONS)
def grid_backward(counter, points, d_features, stride, levels, gradient):
    """Gradient by the entries, a level a piece: each level is one thread's, position after position.

    `points` and `d_features` reach to a multiple of 16 positions, the gradients beyond the last are 0. `gradient`
    (entries * 2,) is set.
    """
    l = next_item(counter)
    while l < levels.shape[0]:
        level = levels[l]
        start = 2 * level[_START]
        gradient[start : start + 2 * level[_ENTRIES]] = f4(0)
        for at in range(0, stride, 16):
            x, y, z = load_points(points, 3 * at)
            a, b = load(d_features, 2 * l * stride + at), load(d_features, (2 * l + 1) * stride + at)
            (x0, x1, y0, y1, z0, z1), (fx, fy, fz) = _cell(level, x, y, z)
            c, d = fz * a, fz * b
            a, b = a - c, b - d
            _add_edge(gradient, start, level, x0, x1, y0, z0, fx, a - fy * a, b - fy * b)
            _add_edge(gradient, start, level, x0, x1, y1, z0, fx, fy * a, fy * b)
            _add_edge(gradient, start, level, x0, x1, y0, z1, fx, c - fy * c, d - fy * d)
            _add_edge(gradient, start, level, x0, x1, y1, z1, fx, fy * c, fy * d)
        l = next_item(counter)


@njit(**_INLINE)
def _sloped_edge(grid, level, x0, x1, y, z, fx, a, b):
    """Of an edge along x: a times the first feature and b times the second, interpolated, and its slope."""
    start = 2 * level[_START]
    c, d = load_pairs(grid, start, _index(level, x0, y, z))
    e, f = load_pairs(grid, start, _index(level, x1, y, z))
    value, end = a * c + b * d, a * e + b * f
    return value + fx * (end - value), end - value


@njit(**_OPTIONS)
def positions_backward(counter, points, d_features, stride, grid, levels, gradient):
    """Gradient by the positions (3 * stride,); along an axis on which a position lies outside of the cube it is 0."""
    pieces = (stride + CHUNK - 1) // CHUNK
    zero, one = f4(0), f4(1)
    piece = next_item(counter)
    while piece < pieces:
        for at in range(piece * CHUNK, min((piece + 1) * CHUNK, stride), 16):
            x, y, z = load_points(points, 3 * at)
            gx, gy, gz = spread(zero), spread(zero), spread(zero)
            for l in range(levels.shape[0]):
                level = levels[l]
                a, b = load(d_features, 2 * l * stride + at), load(d_features, (2 * l + 1) * stride + at)
                (x0, x1, y0, y1, z0, z1), (fx, fy, fz) = _cell(level, x, y, z)
                v00, s00 = _sloped_edge(grid, level, x0, x1, y0, z0, fx, a, b)
                v10, s10 = _sloped_edge(grid, level, x0, x1, y1, z0, fx, a, b)
                v01, s01 = _sloped_edge(grid, level, x0, x1, y0, z1, fx, a, b)
                v11, s11 = _sloped_edge(grid, level, x0, x1, y1, z1, fx, a, b)
                n, slope0, slope1 = f4(level[_RESOLUTION]), v10 - v00, v11 - v01
                low, high = s00 + fy * (s10 - s00), s01 + fy * (s11 - s01)
                gx = gx + n * (low + fz * (high - low))
                gy = gy + n * (slope0 + fz * (slope1 - slope0))
                gz = gz + n * ((v01 + fy * slope1) - (v00 + fy * slope0))
            gx = select((x >= zero) & (x <= one), gx, zero)
            gy = select((y >= zero) & (y <= one), gy, zero)
            gz = select((z >= zero) & (z <= one), gz, zero)
            store_points(gradient, 3 * at, gx, gy, gz)
        piece = next_item(counter)
