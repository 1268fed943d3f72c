"""Small products in vector instructions, for kernels.

    rank2_add       out[i, :] += sum_q left[q, i] * right[q, :],  q = 0, 1
    rank3_subtract  out[i, :] -= sum_q left[q, i] * right[q, :],  q = 0, 1, 2

for i < rows, over `lanes` columns, a multiple of `LANE`. Numba does not vectorise loops this short on its own, and
they are where bundle adjustment spends its time, so they are spelled in LLVM's vector type, which it compiles to
the width of any processor. Arguments are flat arrays, the place of the first element in each and the distance from
one row to the next; nothing is checked against the arrays' ends.

`rank_update_reference` is what they compute. Used through geo3d.util.jit.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANE = 8  # doubles of a vector

_INDEX = ir.IntType(64)
_VECTOR = ir.VectorType(ir.DoubleType(), LANE)
_FLAT = types.Array(types.float64, 1, "C")


def rank_update_reference(
    out: np.ndarray, left: np.ndarray, right: np.ndarray, rows: int, sign: float
) -> np.ndarray:
    """`out[:rows] + sign * left[:, :rows].T @ right` for out (n, m), left (k, n), right (k, m)."""
    result = out.copy()
    result[:rows] += sign * left[:, :rows].T @ right
    return result


def _vector_at(builder: ir.IRBuilder, base: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(base, [offset]), _VECTOR.as_pointer())


def _splat(builder: ir.IRBuilder, value: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    lane = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        lane, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANE), [0] * LANE)
    )


def _rank_update(rank: int, subtract: bool) -> Any:
    """An intrinsic `f(out, at, stride, rows, lanes, left, left_at, left_stride, right, right_at, right_stride)`."""

    def emit(
        builder: ir.IRBuilder, data: list, place: Any, rows: Any, stride: Any, left: list, right: list
    ) -> None:
        """All rows of one or two vectors side by side, whose factors `right` [vector][q] stay in registers."""
        with cgutils.for_range(builder, rows, intp=_INDEX) as loop:
            values = []
            for row in left:
                value = builder.load(builder.gep(data[1], [builder.add(row, loop.index)]))
                values.append(_splat(builder, builder.fneg(value) if subtract else value))
            start = builder.add(place, builder.mul(loop.index, stride))
            for v, factors in enumerate(right):
                target = _vector_at(builder, data[0], builder.add(start, _INDEX(v * LANE)))
                total = builder.load(target, align=8)
                for value, factor in zip(values, factors):
                    product = builder.fmul(value, factor, flags=("contract",))  # pyright: ignore[reportCallIssue]
                    total = builder.fadd(total, product, flags=("contract",))  # pyright: ignore[reportCallIssue]
                builder.store(total, target, align=8)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Constant:
        out, at, stride, rows, lanes, left, left_at, left_stride, right, right_at, right_stride = arguments
        data = [context.make_array(_FLAT)(context, builder, array).data for array in (out, left, right)]
        left_rows = [builder.add(left_at, builder.mul(left_stride, _INDEX(q))) for q in range(rank)]
        right_rows = [builder.add(right_at, builder.mul(right_stride, _INDEX(q))) for q in range(rank)]
        even = builder.and_(lanes, _INDEX(-2 * LANE))
        for vectors, start, stop in ((2, _INDEX(0), even), (1, even, lanes)):
            with cgutils.for_range_slice(builder, start, stop, _INDEX(vectors * LANE), intp=_INDEX) as (
                lane,
                _,
            ):
                factors = [
                    [
                        builder.load(
                            _vector_at(
                                builder, data[2], builder.add(row, builder.add(lane, _INDEX(v * LANE)))
                            ),
                            align=8,
                        )
                        for row in right_rows
                    ]
                    for v in range(vectors)
                ]
                emit(builder, data, builder.add(at, lane), rows, stride, left_rows, factors)
        return context.get_dummy_value()

    def typing(
        typingctx, out, at, stride, rows, lanes, left, left_at, left_stride, right, right_at, right_stride
    ):
        i = types.int64
        return types.none(_FLAT, i, i, i, i, _FLAT, i, i, _FLAT, i, i), codegen

    return intrinsic(typing)


rank2_add = _rank_update(2, subtract=False)
rank3_subtract = _rank_update(3, subtract=True)
