"""The gradient of the blending of a tile, front to back as the blending itself; sixteen pixels at a time.

With v the gradient by the colour of a pixel and S the part of image . v that comes from behind Gaussian i,

    g_i = T alpha_i c_i . v - S alpha_i / (1 - alpha_i)

is the gradient by ln(alpha_i), and those by what makes alpha_i are sums over pixels of g, g dx, ..., g dy^2, which
projection_backward_kernels takes further. S is image . v at the start and loses w_i c_i . v with every Gaussian: no
pixel needs to know its last one. Each Gaussian of each tile has a row of sums of its own: no two threads add
to one.

With `faces` the channels z and normal are colours like the others.
"""

import numpy as np

from geo3d.splat.blend_kernels import (
    BATCH,
    CHANNELS,
    END,
    HALF,
    LEAST,
    MOST,
    PAIRS,
    SIZE,
    STRIP,
    live_pairs,
    plan_batch,
    start_tile,
    unsigned,
)
from geo3d.splat.projection_kernels import (
    BLUE,
    DEPTH,
    GREEN,
    LN2,
    LOG2_OPACITY,
    QXX,
    QXY,
    QYY,
    RED,
    SUM_BLUE,
    SUMS,
    TILE,
    U,
    V,
)
from geo3d.util.jit import njit
from geo3d.util.lanes import (
    absolute,
    exp2,
    join,
    load,
    minimum,
    minus_absolute,
    next_item,
    select,
    spread,
    store,
    total,
    totals,
)

f4 = np.float32

# Channels of a thread's buffer, SIZE numbers each: T, S, v by the colour, v by z and normal.
_BEHIND, _V, _V_FACE = SIZE, 2 * SIZE, 5 * SIZE

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_INLINE = {**_OPTIONS, "forceinline": True}


@njit(**_INLINE)
def _strip_backward(buffer, base, begin, end, record, faces, i, dx, rows, absolute_too):
    """Sums over the pixels of Gaussian i in a strip.

    g, g dy, g dy^2; red, green, blue; |du|, |dv| unless `absolute_too` is None; z, normal unless `faces` is.
    """
    across = dx * (dx * record[QXX]) + record[LOG2_OPACITY]
    slope, fall = dx * record[QXY], record[QYY]
    red, green, blue, z = record[RED], record[GREEN], record[BLUE], record[DEPTH]
    nx = ny = nz = f4(0)
    if faces is not None:
        nx, ny, nz = faces[i, 0], faces[i, 1], faces[i, 2]
    qxx, qxy, qyy = f4(-2) * LN2 * record[QXX], -LN2 * record[QXY], f4(-2) * LN2 * record[QYY]
    zero = spread(f4(0))
    sum_g = sum_gy = sum_gyy = sum_red = sum_green = sum_blue = zero
    sum_u = sum_v = sum_z = sum_nx = sum_ny = sum_nz = zero
    dy = rows + f4(2 * begin)
    for pair in range(begin, end):
        at = base + 16 * pair
        power = across + dy * (slope + dy * fall)
        raw = exp2(power)
        alpha = select(power >= LEAST, minimum(raw, MOST), f4(0))
        t = load(buffer, at)
        left = t - alpha * t
        on = left > END
        store(buffer, at, select(on, left, minus_absolute(t)))
        alpha = select(on, alpha, f4(0))
        weight = alpha * t
        v_red, v_green = load(buffer, at + _V), load(buffer, at + _V + SIZE)
        v_blue = load(buffer, at + _V + 2 * SIZE)
        own = v_red * red + v_green * green + v_blue * blue
        if faces is not None:
            v_z, v_nx = load(buffer, at + _V_FACE), load(buffer, at + _V_FACE + SIZE)
            v_ny, v_nz = load(buffer, at + _V_FACE + 2 * SIZE), load(buffer, at + _V_FACE + 3 * SIZE)
            own += v_z * z + v_nx * nx + v_ny * ny + v_nz * nz
            sum_z += weight * v_z
            sum_nx += weight * v_nx
            sum_ny += weight * v_ny
            sum_nz += weight * v_nz
        own = weight * own
        behind = load(buffer, at + _BEHIND) - own
        store(buffer, at + _BEHIND, behind)
        g = select(raw < MOST, own - behind * (alpha / (f4(1) - alpha)), f4(0))
        sum_red += weight * v_red
        sum_green += weight * v_green
        sum_blue += weight * v_blue
        gy = g * dy
        sum_g += g
        sum_gy += gy
        sum_gyy += gy * dy
        if absolute_too is not None:
            sum_u += absolute(g * (dx * qxx + dy * qxy))
            sum_v += absolute(g * (dx * qxy + dy * qyy))
        dy = dy + f4(2)
    return sum_g, sum_gy, sum_gyy, sum_red, sum_green, sum_blue, sum_u, sum_v, sum_z, sum_nx, sum_ny, sum_nz


@njit(**_INLINE)
def _write_sums(sums, at, a, b, dx, right, plain):
    """The sums over the left strip `a` and the right one `b` into the row at `at`; `plain`: nothing but colour."""
    gx, gx1 = a[0] * dx, b[0] * right
    row = totals(
        a[0] + b[0], gx + gx1, a[1] + b[1], gx * dx + gx1 * right, a[1] * dx + b[1] * right, a[2] + b[2], a[3] + b[3],
        a[4] + b[4],
    )  # fmt: skip
    if plain:
        store(sums, at, row)
        sums[at + SUM_BLUE] = total(a[5] + b[5])
    else:
        rest = totals(
            a[5] + b[5], a[6] + b[6], a[7] + b[7], a[8] + b[8], a[9] + b[9], a[10] + b[10], a[11] + b[11],
            spread(f4(0)),
        )  # fmt: skip
        store(sums, at, join(row, rest))


@njit(**_OPTIONS)
def _tile_backward(buffer, plan, grid, ids, first, last, records, faces, tile_x, tile_y, absolute_too, sums):
    """The sums of each Gaussian of a tile into its row of `sums`, flat, in the order of projection_kernels."""
    columns, rows = load(grid, 0), load(grid, 16)
    plain = faces is None and absolute_too is None
    begin0, end0, begin1, end1 = 0, PAIRS, 0, PAIRS
    batch = first
    while batch < last:
        end = min(batch + BATCH, last)
        plan_batch(plan, ids, records, batch, end, last, tile_x, tile_y, begin0, end0, begin1, end1)
        for k in range(batch, end):
            i, at = ids[k], 4 * (k - batch)
            record = records[i]
            x, y = tile_x - record[U], rows + (tile_y - record[V])
            dx, right = columns + x, columns + (x + f4(STRIP))
            a = _strip_backward(buffer, 0, plan[at], plan[at + 1], record, faces, i, dx, y, absolute_too)
            b = _strip_backward(
                buffer, HALF, plan[at + 2], plan[at + 3], record, faces, i, right, y, absolute_too
            )
            _write_sums(sums, k * SUMS, a, b, dx, right, plain)
        begin0, end0 = live_pairs(buffer, 0, begin0, end0)
        begin1, end1 = live_pairs(buffer, HALF, begin1, end1)
        batch = end


@njit(**_INLINE)
def _read_row(buffer, base, count, pixel, color, transmittance, d_color, d_alpha, geometry, d_geometry):
    """`count` pixels of a strip's row from the flat images, from `pixel` on: v, and S at the start."""
    for column in range(unsigned(count)):
        p, q = unsigned(base) + column, unsigned(pixel) + column
        q3 = unsigned(3) * q
        q4, q5 = q3 + unsigned(1), q3 + unsigned(2)
        red, green, blue = d_color[q3], d_color[q4], d_color[q5]
        buffer[p + unsigned(_V)] = red
        buffer[p + unsigned(_V + SIZE)] = green
        buffer[p + unsigned(_V + 2 * SIZE)] = blue
        behind = red * color[q3] + green * color[q4] + blue * color[q5]
        if d_alpha.shape[0] > 0:
            behind -= d_alpha[q] * transmittance[q]
        if geometry is not None:
            for channel in range(4):
                v = d_geometry[4 * q + channel]
                behind += v * geometry[4 * q + channel]
                buffer[p + _V_FACE + channel * SIZE] = v
        buffer[p + unsigned(_BEHIND)] = behind


@njit(**_OPTIONS)
def blend_backward(
    counter, grid, buffer, plan, starts, ids, records, faces, columns, width, stops, color, transmittance, geometry,
    d_color, d_alpha, d_geometry, absolute_too, sums,
):  # fmt: skip
    """Gradient by every instance into the rows of `sums` (M * SUMS,), those behind `stops` zero.

    `d_color` (H * W * 3,), `d_alpha` (H * W, or none for zero) and `d_geometry` (H * W * 4,) are by the images that
    `blend` wrote, the last one None without `faces`. `absolute_too` is None where the absolute sums are not wanted.
    `buffer` (blend_kernels.CHANNELS * SIZE,) and `plan` (4 * BATCH,) int64 are this thread's own.
    """
    height = transmittance.shape[0] // width
    channels = 5 if faces is None else CHANNELS
    tile = next_item(counter)
    while tile < stops.shape[0]:
        row = tile // columns
        tile_x, tile_y = (tile - row * columns) * TILE, row * TILE
        start_tile(buffer, channels, tile_x, tile_y, width, height)
        for y in range(tile_y, min(tile_y + TILE, height)):
            for strip in range(2):
                x = tile_x + strip * STRIP
                count = max(min(STRIP, width - x), 0)
                base = strip * HALF + (y - tile_y) * STRIP
                _read_row(
                    buffer,
                    base,
                    count,
                    y * width + x,
                    color,
                    transmittance,
                    d_color,
                    d_alpha,
                    geometry,
                    d_geometry,
                )
        _tile_backward(
            buffer, plan, grid, ids, starts[tile], stops[tile], records, faces, f4(tile_x), f4(tile_y), absolute_too,
            sums,
        )  # fmt: skip
        sums[stops[tile] * SUMS : starts[tile + 1] * SUMS] = f4(0)
        tile = next_item(counter)
