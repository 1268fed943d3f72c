"""Products of small matrices that stay in registers, and transposition, on the vectors of `geo3d.util.lanes`.

    products(a, start, row, step, b, start, step, c, start, row, count, TILE, END)

        C[r, j] (+)= sum over k < count of  a[start + r row + k step] * b[start + k step + j]

of a tile of r < rows, j < 16 columns, all in flat float32 arrays. `TILE` = 256 rows + columns is a constant, as is what
`END` does with the sums:

    SET    they are stored               RELU   max(sums, 0) is stored
    ADD    they are added to c           GATE   they are stored where c is positive, 0 elsewhere

GATE is the way back through a RELU: c holds its outputs and then the gradient by its inputs.

    transpose(a, start, step, c, start, step)    sixteen rows of sixteen numbers to columns; may be done in place

A tile is read once a step: `rows` numbers of a, spread, and `columns` vectors of b; each pays for itself by as many
products as the tile has rows or columns. 6 x 4 vectors fill the 32 registers of AVX-512. Used through geo3d.util.jit.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import extending
from numba.core import cgutils, types

from geo3d.util.lanes import FLAT, LANES

_intrinsic: Any = extending.intrinsic

SET, RELU, ADD, GATE = range(4)

_F32, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_F32, LANES)
_FUSE = ("contract",)


def _wide_registers() -> bool:
    """Whether a vector is one register, of which there are 32."""
    return bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))


WIDE = 256 * 6 + 4 if _wide_registers() else 256 * 6 + 1
"""The tile for many rows and columns."""
NARROW = 256 * 12 + 1 if _wide_registers() else 256 * 6 + 1
"""The tile for many rows and 16 columns. 12 rows come out even in both."""
OUTER = 256 * 4 + 4 if _wide_registers() else 256 * 4 + 1
"""The tile for 16 rows and many columns."""
OUTER_NARROW = 256 * 8 + 1 if _wide_registers() else 256 * 4 + 1
"""The tile for 16 rows and 16 columns."""
THREE = 256 * 3 + 4 if _wide_registers() else 256 * 3 + 1
"""The tile for 3 rows and many columns."""
THREE_NARROW = 256 * 3 + 1
"""The tile for 3 rows and 16 columns."""


def _vector_at(builder: Any, data: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(data, [offset]), _VECTOR.as_pointer())


def _spread(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def _finished(builder: Any, end: int, total: Any, place: Any) -> Any:
    """What is stored, of a tile's vector of sums."""
    zero = ir.Constant(_VECTOR, [0.0] * LANES)
    if end == RELU:
        return builder.select(builder.fcmp_unordered(">", total, zero), total, zero)  # NaN stays
    if end == ADD:
        return builder.fadd(builder.load(place, align=4), total)
    if end == GATE:
        return builder.select(builder.fcmp_ordered(">", builder.load(place, align=4), zero), total, zero)
    return total


def _emit_products(builder: Any, data: tuple, numbers: tuple, tile: int, end: int) -> None:
    a, b, c = data
    a_start, a_row, a_step, b_start, b_step, c_start, c_row, count = numbers
    rows, columns = divmod(tile, 256)
    sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(columns)] for _ in range(rows)]
    for place in (p for row in sums for p in row):
        builder.store(ir.Constant(_VECTOR, [0.0] * LANES), place)
    offsets = [builder.mul(a_row, ir.Constant(_I64, r)) for r in range(rows)]
    with cgutils.for_range(builder, count) as loop:
        b_at = builder.add(b_start, builder.mul(loop.index, b_step))
        a_at = builder.add(a_start, builder.mul(loop.index, a_step))
        right = []
        for j in range(columns):
            offset = builder.add(b_at, ir.Constant(_I64, LANES * j))
            right.append(builder.load(_vector_at(builder, b, offset), align=4))
        for r in range(rows):
            left = _spread(builder, builder.load(builder.gep(a, [builder.add(a_at, offsets[r])])))
            for j in range(columns):
                product = builder.fmul(left, right[j], flags=_FUSE)
                builder.store(builder.fadd(builder.load(sums[r][j]), product, flags=_FUSE), sums[r][j])
    for r in range(rows):
        for j in range(columns):
            offset = builder.add(builder.mul(c_row, ir.Constant(_I64, r)), ir.Constant(_I64, LANES * j))
            place = _vector_at(builder, c, builder.add(c_start, offset))
            builder.store(_finished(builder, end, builder.load(sums[r][j]), place), place, align=4)


@_intrinsic
def products(typingctx, a, a_start, a_row, a_step, b, b_start, b_step, c, c_start, c_row, count, tile, end):
    """A tile of the product of two matrices, see above."""
    if not isinstance(tile, types.IntegerLiteral) or not isinstance(end, types.IntegerLiteral):
        return None

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        data = tuple(context.make_array(FLAT)(context, builder, values[k]).data for k in (0, 4, 7))
        numbers = values[1:4] + values[5:7] + values[8:11]
        _emit_products(builder, data, tuple(numbers), tile.literal_value, end.literal_value)
        return context.get_dummy_value()

    i = types.int64
    return types.none(FLAT, i, i, i, FLAT, i, i, FLAT, i, i, i, tile, end), emit


@_intrinsic
def transpose(typingctx, a, a_start, a_step, c, c_start, c_step):
    """`c[c_start + j c_step + i] = a[a_start + i a_step + j]` for i, j < 16, flat float32 arrays."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        a, c = (context.make_array(FLAT)(context, builder, values[k]).data for k in (0, 3))
        rows = []
        for k in range(LANES):
            offset = builder.add(values[1], builder.mul(values[2], ir.Constant(_I64, k)))
            rows.append(builder.load(_vector_at(builder, a, offset), align=4))
        for width in (8, 4, 2, 1):  # swaps the blocks off the diagonal, of half the size each time
            for k in (k for k in range(LANES) if not k & width):
                upper, lower = rows[k], rows[k + width]
                lanes = [[], []]
                for lane in range(LANES):
                    inside = lane & width
                    lanes[0].append(LANES + lane - width if inside else lane)
                    lanes[1].append(LANES + lane if inside else lane + width)
                rows[k], rows[k + width] = (
                    builder.shuffle_vector(upper, lower, ir.Constant(ir.VectorType(_I32, LANES), which))
                    for which in lanes
                )
        for k in range(LANES):
            offset = builder.add(values[4], builder.mul(values[5], ir.Constant(_I64, k)))
            builder.store(rows[k], _vector_at(builder, c, offset), align=4)
        return context.get_dummy_value()

    i = types.int64
    return types.none(FLAT, i, i, FLAT, i, i), emit
