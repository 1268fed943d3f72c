"""Blending of the Gaussians of a tile, front to back; sixteen pixels at a time.

    alpha_i = min(0.999, exp2(LOG2_OPACITY + QXX dx^2 + QXY dx dy + QYY dy^2)), 0 below 1/255
    colour += T alpha_i c_i;  T *= 1 - alpha_i             T: transmittance, 1 at the start
    image = colour + T background

A pixel ends before the Gaussian that would bring T to 1e-4 or less. A tile is two strips of 8 columns and 16 rows; a
vector holds two rows of a strip. A strip takes of a Gaussian only the rows that the ellipse reaches there. A negative T
in the buffer marks a pixel that has ended; its size is kept.

With `faces` (normals of the Gaussians, camera frame) depth, median depth and normals are blended too; without (None)
the compiler leaves all of that out. blend_backward_kernels goes the same way again for the gradient.
"""

import math

import numpy as np

from geo3d.splat.binning_kernels import rows_reached
from geo3d.splat.projection_kernels import (
    BLUE,
    DEPTH,
    GREEN,
    LOG2_255,
    LOG2_OPACITY,
    QXX,
    QXY,
    QYY,
    RECORD,
    RED,
    TILE,
    U,
    V,
)
from geo3d.util.jit import njit
from geo3d.util.lanes import (
    any_lane,
    exp2,
    load,
    minimum,
    minus_absolute,
    next_item,
    prefetch,
    select,
    spread,
    store,
)

f4 = np.float32
unsigned = np.uint64  # indices that need no look at whether they are negative

STRIP = 8  # columns
PAIRS = 8  # vectors of a strip, two rows each
HALF = TILE * STRIP  # pixels of a strip
SIZE = TILE * TILE  # pixels of a tile
BATCH = 16  # Gaussians that are planned together; after each batch a strip looks which of its rows still live
MOST = f4(0.999)
LEAST = -LOG2_255
END = f4(1e-4)

# Channels of a thread's buffer, SIZE numbers each: T, colour, z and normal, median depth.
_T, _COLOR, _FACE, _MEDIAN = 0, SIZE, 4 * SIZE, 8 * SIZE
CHANNELS = 9

GRID = np.concatenate([np.tile(np.arange(8) + 0.5, 2), np.repeat([0.5, 1.5], 8)]).astype(np.float32)
"""Centres of the pixels of a vector: sixteen x, then sixteen y."""

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_INLINE = {**_OPTIONS, "forceinline": True}


@njit(**_INLINE)
def _pairs_reached(record, strip_x, tile_y):
    """First and last + 1 vector of a strip that the Gaussian reaches."""
    left = strip_x + f4(0.5) - record[U]
    low, high = rows_reached(record, left, left + f4(STRIP - 1))
    shift = record[V] - tile_y - f4(0.5)
    low = math.ceil(min(max(shift + low, f4(0)), f4(TILE)))
    high = math.floor(min(max(shift + high, f4(-1)), f4(TILE - 1)))
    return int(low) >> 1, (int(high) + 2) >> 1


@njit(**_OPTIONS)
def plan_batch(plan, ids, records, first, end, last, tile_x, tile_y, begin0, end0, begin1, end1):
    """What the Gaussians ids[first:end] reach of both strips' living vectors: four numbers each into `plan`.

    All of a batch before the first is blended: inside of the blending the processor would wait for these roots whenever
    it had guessed a loop's length wrong. The records of the next batch, up to ids[last], are asked for.
    """
    flat = records.reshape(-1)
    for k in range(first, end):
        prefetch(flat, RECORD * np.int64(ids[min(k + BATCH, last - 1)]))
        record, at = records[ids[k]], 4 * (k - first)
        low, high = _pairs_reached(record, tile_x, tile_y)
        plan[at], plan[at + 1] = max(low, begin0), min(high, end0)
        low, high = _pairs_reached(record, tile_x + f4(STRIP), tile_y)
        plan[at + 2], plan[at + 3] = max(low, begin1), min(high, end1)


@njit(**_INLINE)
def live_pairs(buffer, base, begin, end):
    """The part of the vectors [begin, end) of a strip between the first and the last with a living pixel."""
    while begin < end and not any_lane(load(buffer, base + 16 * begin) > f4(0)):
        begin += 1
    while begin < end and not any_lane(load(buffer, base + 16 * (end - 1)) > f4(0)):
        end -= 1
    return begin, end


@njit(**_OPTIONS)
def start_tile(buffer, channels, tile_x, tile_y, width, height):
    """T = 1 in pixels of the image, ended with T = 1 outside; the other `channels` 0."""
    one, zero = spread(f4(1)), spread(f4(0))
    for p in range(0, SIZE, 16):
        store(buffer, p, one)
    for p in range(SIZE, channels * SIZE, 16):
        store(buffer, p, zero)
    if tile_x + TILE > width or tile_y + TILE > height:
        for row in range(TILE):
            for column in range(TILE):
                if tile_x + column >= width or tile_y + row >= height:
                    buffer[(column // STRIP) * HALF + row * STRIP + column % STRIP] = f4(-1)


@njit(**_INLINE)
def _blend_strip(buffer, base, begin, end, record, faces, i, dx, rows):
    """Gaussian i over the vectors [begin, end) of a strip; dx, and rows: dy of the first vector."""
    across = dx * (dx * record[QXX]) + record[LOG2_OPACITY]
    slope, fall = dx * record[QXY], record[QYY]
    red, green, blue, z = record[RED], record[GREEN], record[BLUE], record[DEPTH]
    dy = rows + f4(2 * begin)
    for pair in range(begin, end):
        at = base + 16 * pair
        power = across + dy * (slope + dy * fall)
        dy = dy + f4(2)
        alpha = select(power >= LEAST, minimum(exp2(power), MOST), f4(0))
        t = load(buffer, at)
        left = t - alpha * t
        on = left > END
        weight = select(on, alpha * t, f4(0))
        store(buffer, at, select(on, left, minus_absolute(t)))
        store(buffer, at + _COLOR, load(buffer, at + _COLOR) + weight * red)
        store(buffer, at + _COLOR + SIZE, load(buffer, at + _COLOR + SIZE) + weight * green)
        store(buffer, at + _COLOR + 2 * SIZE, load(buffer, at + _COLOR + 2 * SIZE) + weight * blue)
        if faces is not None:
            store(buffer, at + _FACE, load(buffer, at + _FACE) + weight * z)
            for axis in range(3):
                place = at + _FACE + (axis + 1) * SIZE
                store(buffer, place, load(buffer, place) + weight * faces[i, axis])
            crossing = on & (t > f4(0.5)) & (left <= f4(0.5))
            median = load(buffer, at + _MEDIAN)
            store(buffer, at + _MEDIAN, median + select(crossing, z - median, f4(0)))


@njit(**_OPTIONS)
def _blend_tile(buffer, plan, grid, ids, first, last, records, faces, tile_x, tile_y):
    """All Gaussians of a tile until its pixels have ended; where it stopped."""
    columns, rows = load(grid, 0), load(grid, 16)
    begin0, end0, begin1, end1 = 0, PAIRS, 0, PAIRS
    batch = first
    while batch < last and (begin0 < end0 or begin1 < end1):
        end = min(batch + BATCH, last)
        plan_batch(plan, ids, records, batch, end, last, tile_x, tile_y, begin0, end0, begin1, end1)
        for k in range(batch, end):
            i, at = ids[k], 4 * (k - batch)
            record = records[i]
            x, y = tile_x - record[U], rows + (tile_y - record[V])
            _blend_strip(buffer, 0, plan[at], plan[at + 1], record, faces, i, columns + x, y)
            x += f4(STRIP)
            _blend_strip(buffer, HALF, plan[at + 2], plan[at + 3], record, faces, i, columns + x, y)
        begin0, end0 = live_pairs(buffer, 0, begin0, end0)
        begin1, end1 = live_pairs(buffer, HALF, begin1, end1)
        batch = end
    return batch


@njit(**_INLINE)
def _write_row(buffer, base, count, pixel, background, color, transmittance, geometry, median):
    """`count` pixels of a strip's row into the flat images, from `pixel` on."""
    red, green, blue = background[0], background[1], background[2]
    for column in range(unsigned(count)):
        p, q = unsigned(base) + column, unsigned(pixel) + column
        t = abs(buffer[p])
        transmittance[q] = t
        q3 = unsigned(3) * q
        color[q3] = buffer[p + unsigned(_COLOR)] + t * red
        color[q3 + unsigned(1)] = buffer[p + unsigned(_COLOR + SIZE)] + t * green
        color[q3 + unsigned(2)] = buffer[p + unsigned(_COLOR + 2 * SIZE)] + t * blue
        if geometry is not None:
            for channel in range(4):
                geometry[4 * q + channel] = buffer[p + _FACE + channel * SIZE]
            median[q] = buffer[p + _MEDIAN]


@njit(**_OPTIONS)
def blend(
    counter, grid, buffer, plan, starts, ids, records, faces, columns, width, background, color, transmittance, stops,
    geometry, median,
):  # fmt: skip
    """Images of all tiles: `color` (H * W * 3,), `transmittance` (H * W,) and, for the gradient, `stops` (tiles,).

    With `faces` (N, 3) also `geometry` (H * W * 4,), the sums of w z and w n, and `median` (H * W,); else these are
    None. `buffer` (CHANNELS * SIZE,) and `plan` (4 * BATCH,) int64 are this thread's own.
    """
    height = transmittance.shape[0] // width
    channels = 4 if faces is None else CHANNELS
    tile = next_item(counter)
    while tile < stops.shape[0]:
        row = tile // columns
        tile_x, tile_y = (tile - row * columns) * TILE, row * TILE
        start_tile(buffer, channels, tile_x, tile_y, width, height)
        stops[tile] = _blend_tile(
            buffer, plan, grid, ids, starts[tile], starts[tile + 1], records, faces, f4(tile_x), f4(tile_y)
        )
        for y in range(tile_y, min(tile_y + TILE, height)):
            for strip in range(2):
                x = tile_x + strip * STRIP
                count = max(min(STRIP, width - x), 0)
                base = strip * HALF + (y - tile_y) * STRIP
                _write_row(
                    buffer, base, count, y * width + x, background, color, transmittance, geometry, median
                )
        tile = next_item(counter)
