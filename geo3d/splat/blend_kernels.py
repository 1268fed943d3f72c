"""Blending of the Gaussians of a tile, front to back, and the gradient back; sixteen pixels at a time.

    alpha_i = min(0.999, exp2(LOG2_OPACITY + QXX dx^2 + QXY dx dy + QYY dy^2)), 0 below 1/255
    colour += T alpha_i c_i;  T *= 1 - alpha_i             T: transmittance, 1 at the start
    image = colour + T background

A pixel ends before the Gaussian that would bring T to 1e-4 or less. A tile is two strips of 8 columns and 16 rows; a
vector holds two rows of a strip. A strip takes of a Gaussian only the rows that the ellipse reaches there. A negative T
in the buffer marks a pixel that has ended; its size is kept.

The gradient runs front to back as well: with v the gradient by the colour of a pixel and S the part of image . v that
comes from behind Gaussian i, the gradient by ln(alpha_i) is

    g_i = alpha_i (T c_i . v - S / (1 - alpha_i))

and the gradients by what makes alpha_i are sums over pixels of g, g dx, ..., g dy^2 (projection_kernels).
"""

import math

import numpy as np

from geo3d.splat.binning_kernels import rows_reached
from geo3d.splat.lanes import (
    absolute,
    any_lane,
    exp2,
    load,
    minimum,
    next_item,
    select,
    spread,
    store,
    total,
    totals,
)
from geo3d.splat.projection_kernels import (
    BLUE,
    GREEN,
    LN2,
    LOG2_255,
    LOG2_OPACITY,
    QXX,
    QXY,
    QYY,
    RED,
    SUM_ABS_U,
    SUM_ABS_V,
    SUM_BLUE,
    SUMS,
    TILE,
    U,
    V,
)
from geo3d.util.jit import njit

f4 = np.float32

STRIP = 8  # columns
PAIRS = 8  # vectors of a strip, two rows each
SIZE = TILE * TILE  # pixels of a tile
CHECK = 16  # Gaussians after which a strip looks which of its rows still live
MOST = f4(0.999)
LEAST = -LOG2_255
END = f4(1e-4)

# The buffer of a thread: channels of SIZE numbers each.
T, TOTAL = 0, SIZE
FORWARD_CHANNELS = 4
BACKWARD_CHANNELS = 5

GRID = np.concatenate([np.tile(np.arange(8) + 0.5, 2), np.repeat([0.5, 1.5], 8)]).astype(np.float32)
"""Centres of the pixels of a vector: sixteen x, then sixteen y."""

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}


@njit(**_OPTIONS)
def _pairs_reached(record, strip_x, tile_y):
    """First and last + 1 vector of a strip that the Gaussian reaches."""
    left = strip_x + f4(0.5) - record[U]
    low, high = rows_reached(record, left, left + f4(STRIP - 1))
    shift = record[V] - tile_y - f4(0.5)
    low = math.ceil(min(max(shift + low, f4(0)), f4(TILE)))
    high = math.floor(min(max(shift + high, f4(-1)), f4(TILE - 1)))
    return int(low) >> 1, (int(high) + 2) >> 1


@njit(**_OPTIONS)
def _live(buffer, base, begin, end):
    """The part of the vectors [begin, end) of a strip between the first and the last with a living pixel."""
    while begin < end and not any_lane(load(buffer, base + 16 * begin) > f4(0)):
        begin += 1
    while begin < end and not any_lane(load(buffer, base + 16 * (end - 1)) > f4(0)):
        end -= 1
    return begin, end


@njit(**_OPTIONS)
def _start_tile(buffer, tile_x, tile_y, width, height):
    """T = 1 in pixels of the image, ended with T = 1 outside."""
    for p in range(SIZE):
        x = tile_x + (p >> 7) * STRIP + (p & 7)
        y = tile_y + ((p & 127) >> 3)
        buffer[p] = f4(1) if x < width and y < height else f4(-1)


@njit(**_OPTIONS)
def _blend_strip(buffer, base, begin, end, record, dx, rows):
    """One Gaussian over the vectors [begin, end) of a strip; dx, and rows: dy of the first vector."""
    across = dx * (dx * record[QXX]) + record[LOG2_OPACITY]
    slope, fall = dx * record[QXY], record[QYY]
    red, green, blue = record[RED], record[GREEN], record[BLUE]
    for pair in range(begin, end):
        at = base + 16 * pair
        dy = rows + f4(2 * pair)
        power = across + dy * (slope + dy * fall)
        alpha = select(power >= LEAST, minimum(exp2(power), MOST), f4(0))
        t = load(buffer, at)
        left = t - alpha * t
        on = left > END
        weight = select(on, alpha * t, f4(0))
        store(buffer, at, select(on, left, f4(0) - absolute(t)))
        store(buffer, at + SIZE, load(buffer, at + SIZE) + weight * red)
        store(buffer, at + 2 * SIZE, load(buffer, at + 2 * SIZE) + weight * green)
        store(buffer, at + 3 * SIZE, load(buffer, at + 3 * SIZE) + weight * blue)


@njit(**_OPTIONS)
def _blend_tile(buffer, grid, ids, first, end, records, tile_x, tile_y):
    """All Gaussians of a tile until its pixels have ended; where it stopped."""
    columns, rows = load(grid, 0), load(grid, 16)
    begin0, end0, begin1, end1 = 0, PAIRS, 0, PAIRS
    k = first
    while k < end:
        record = records[ids[k]]
        x, y = tile_x - record[U], rows + (tile_y - record[V])
        if begin0 < end0:
            low, high = _pairs_reached(record, tile_x, tile_y)
            _blend_strip(buffer, 0, max(low, begin0), min(high, end0), record, columns + x, y)
        if begin1 < end1:
            low, high = _pairs_reached(record, tile_x + f4(STRIP), tile_y)
            low, high = max(low, begin1), min(high, end1)
            _blend_strip(buffer, SIZE // 2, low, high, record, columns + (x + f4(STRIP)), y)
        k += 1
        if (k - first) % CHECK == 0:
            begin0, end0 = _live(buffer, 0, begin0, end0)
            begin1, end1 = _live(buffer, SIZE // 2, begin1, end1)
            if begin0 >= end0 and begin1 >= end1:
                break
    return k


@njit(**_OPTIONS)
def blend(counter, grid, buffer, starts, ids, records, columns, background, color, transmittance, stops):
    """Images of all tiles: `color` (H, W, 3), `transmittance` (H, W) and, for the gradient, `stops` (tiles,).

    `buffer` (FORWARD_CHANNELS * SIZE,) is this thread's own.
    """
    height, width = transmittance.shape
    tile = next_item(counter)
    while tile < stops.shape[0]:
        row = tile // columns
        tile_x, tile_y = (tile - row * columns) * TILE, row * TILE
        buffer[:] = f4(0)
        _start_tile(buffer, tile_x, tile_y, width, height)
        stops[tile] = _blend_tile(
            buffer, grid, ids, starts[tile], starts[tile + 1], records, f4(tile_x), f4(tile_y)
        )
        for y in range(tile_y, min(tile_y + TILE, height)):
            for x in range(tile_x, min(tile_x + TILE, width)):
                column = x - tile_x
                p = (column >> 3) * (SIZE // 2) + (y - tile_y) * STRIP + (column & 7)
                t = abs(buffer[p])
                transmittance[y, x] = t
                for channel in range(3):
                    color[y, x, channel] = buffer[p + (channel + 1) * SIZE] + t * background[channel]
        tile = next_item(counter)


@njit(**_OPTIONS)
def _blend_strip_backward(buffer, base, begin, end, record, dx, rows, conic, absolute_too):
    """Sums over one Gaussian's pixels in a strip: g, g dy, g dy^2, red, green, blue, |du|, |dv|."""
    across = dx * (dx * record[QXX]) + record[LOG2_OPACITY]
    slope, fall = dx * record[QXY], record[QYY]
    red, green, blue = record[RED], record[GREEN], record[BLUE]
    zero = spread(f4(0))
    sum_g = sum_gy = sum_gyy = sum_red = sum_green = sum_blue = sum_u = sum_v = zero
    for pair in range(begin, end):
        at = base + 16 * pair
        dy = rows + f4(2 * pair)
        power = across + dy * (slope + dy * fall)
        raw = exp2(power)
        alpha = select(power >= LEAST, minimum(raw, MOST), f4(0))
        t = load(buffer, at)
        left = t - alpha * t
        on = left > END
        store(buffer, at, select(on, left, f4(0) - absolute(t)))
        alpha = select(on, alpha, f4(0))
        weight = alpha * t
        v_red, v_green, v_blue = (
            load(buffer, at + 2 * SIZE),
            load(buffer, at + 3 * SIZE),
            load(buffer, at + 4 * SIZE),
        )
        own = weight * (v_red * red + v_green * green + v_blue * blue)
        behind = load(buffer, at + SIZE) - own
        store(buffer, at + SIZE, behind)
        g = select(raw < MOST, own - behind * (alpha / (f4(1) - alpha)), f4(0))
        sum_red += weight * v_red
        sum_green += weight * v_green
        sum_blue += weight * v_blue
        gy = g * dy
        sum_g += g
        sum_gy += gy
        sum_gyy += gy * dy
        if absolute_too:
            sum_u += absolute(g * (dx * conic[0] + dy * conic[1]))
            sum_v += absolute(g * (dx * conic[1] + dy * conic[2]))
    return sum_g, sum_gy, sum_gyy, sum_red, sum_green, sum_blue, sum_u, sum_v


@njit(**_OPTIONS)
def _blend_tile_backward(buffer, grid, ids, first, end, records, tile_x, tile_y, absolute_too, sums):
    """The sums of each Gaussian of a tile into its row of `sums`, flat."""
    columns, rows = load(grid, 0), load(grid, 16)
    begin0, end0, begin1, end1 = 0, PAIRS, 0, PAIRS
    for k in range(first, end):
        record = records[ids[k]]
        x, y = tile_x - record[U], rows + (tile_y - record[V])
        conic = (f4(-2) * LN2 * record[QXX], -LN2 * record[QXY], f4(-2) * LN2 * record[QYY])
        low, high = _pairs_reached(record, tile_x, tile_y)
        low, high = max(low, begin0), min(high, end0)
        dx = columns + x
        g, gy, gyy, red, green, blue, u, v = _blend_strip_backward(
            buffer, 0, low, high, record, dx, y, conic, absolute_too
        )
        low, high = _pairs_reached(record, tile_x + f4(STRIP), tile_y)
        low, high = max(low, begin1), min(high, end1)
        right = columns + (x + f4(STRIP))
        g1, gy1, gyy1, red1, green1, blue1, u1, v1 = _blend_strip_backward(
            buffer, SIZE // 2, low, high, record, right, y, conic, absolute_too
        )
        gx, gx1 = g * dx, g1 * right
        at = k * SUMS
        row = totals(
            g + g1, gx + gx1, gy + gy1, gx * dx + gx1 * right, gy * dx + gy1 * right, gyy + gyy1,
            red + red1, green + green1,
        )  # fmt: skip
        store(sums, at, row)
        sums[at + SUM_BLUE] = total(blue + blue1)
        if absolute_too:
            sums[at + SUM_ABS_U], sums[at + SUM_ABS_V] = total(u + u1), total(v + v1)
        if (k - first) % CHECK == CHECK - 1:
            begin0, end0 = _live(buffer, 0, begin0, end0)
            begin1, end1 = _live(buffer, SIZE // 2, begin1, end1)


@njit(**_OPTIONS)
def blend_backward(
    counter, grid, buffer, starts, ids, records, columns, stops, color, transmittance, d_color, d_alpha, absolute_too,
    sums,
):  # fmt: skip
    """Gradient by every instance into the rows of `sums` (M * SUMS,), those behind `stops` zero.

    `d_color` (H, W, 3) and `d_alpha` (H, W, or with no rows for zero) are by the images that `blend` wrote;
    `buffer` (BACKWARD_CHANNELS * SIZE,) is this thread's own.
    """
    height, width = transmittance.shape
    tile = next_item(counter)
    while tile < stops.shape[0]:
        row = tile // columns
        tile_x, tile_y = (tile - row * columns) * TILE, row * TILE
        buffer[:] = f4(0)
        _start_tile(buffer, tile_x, tile_y, width, height)
        for y in range(tile_y, min(tile_y + TILE, height)):
            for x in range(tile_x, min(tile_x + TILE, width)):
                column = x - tile_x
                p = (column >> 3) * (SIZE // 2) + (y - tile_y) * STRIP + (column & 7)
                behind = f4(0)
                for channel in range(3):
                    v = d_color[y, x, channel]
                    behind += v * color[y, x, channel]
                    buffer[p + (channel + 2) * SIZE] = v
                if d_alpha.shape[0] > 0:
                    behind -= d_alpha[y, x] * transmittance[y, x]
                buffer[p + TOTAL] = behind
        _blend_tile_backward(
            buffer, grid, ids, starts[tile], stops[tile], records, f4(tile_x), f4(tile_y), absolute_too, sums
        )
        sums[stops[tile] * SUMS : starts[tile + 1] * SUMS] = f4(0)
        tile = next_item(counter)
