"""Eight values at a place between the pixels, in vector instructions, for kernels.

    out[k] = sum_j sum_i b_j a_i values[row_j + column_i + k],   i, j = 0 ... 3, k = 0 ... 7

values and out are flat float32; row_j + column_i is where the eight values of a pixel begin. Numba's vectoriser does
not see that the sixteen loads are vectors. Nothing is checked against the arrays' ends. Used through geo3d.util.jit.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending
from numba.core import types

LANES = 8

_intrinsic: Any = extending.intrinsic  # its annotation hides what it returns

_FLOATS = types.Array(types.float32, 1, "C")
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_FAST = ("contract",)


def bicubic_reference(
    values: np.ndarray, rows: tuple, columns: tuple, a: tuple, b: tuple, out: np.ndarray, at: int
) -> None:
    """The same in NumPy: `out[at : at + 8]` from four rows and columns and their weights b and a."""
    out[at : at + LANES] = sum(
        weight_y * weight_x * values[row + column : row + column + LANES]
        for row, weight_y in zip(rows, b)
        for column, weight_x in zip(columns, a)
    )


def _codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    values, rows, columns, a, b, out, at = arguments
    data = context.make_array(_FLOATS)(context, builder, values).data

    def parts(group: Any) -> list:
        return [builder.extract_value(group, i) for i in range(4)]

    def spread(value: Any) -> Any:
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        lane = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(
            lane, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        )

    def place(pointer: Any, index: Any) -> Any:
        return builder.bitcast(builder.gep(pointer, [index]), _VECTOR.as_pointer())

    def plus(total: Any, x: Any, y: Any) -> Any:
        product = builder.fmul(x, y, flags=_FAST)
        return product if total is None else builder.fadd(total, product, flags=_FAST)

    across, total = [spread(weight) for weight in parts(a)], None
    for row, weight in zip(parts(rows), parts(b)):
        line = None
        for column, share in zip(parts(columns), across):
            line = plus(line, share, builder.load(place(data, builder.add(row, column)), align=4))
        total = plus(total, spread(weight), line)
    target = context.make_array(_FLOATS)(context, builder, out).data
    builder.store(total, place(target, at), align=4)
    return context.get_dummy_value()


@_intrinsic
def bicubic(typingctx, values, rows, columns, a, b, out, at):
    """`bicubic_reference`: rows and columns are four int64, a and b four float32."""
    four, weights = types.UniTuple(types.int64, 4), types.UniTuple(types.float32, 4)
    return types.none(_FLOATS, four, four, weights, weights, _FLOATS, types.int64), _codegen
