"""Costs of one pixel against a row of the other image, in vector instructions, for kernels.

    C(d) = min(255, census_weight * popcount(bits ^ row_bits(d))
                    + (difference_weight * min(sum_c |color_c - row_c(d)|, limit) >> 4))

for d in whole vectors of LANES. Neighbouring disparities lie in neighbouring places of the row, which is reversed.
Arguments are flat arrays and places in them; nothing is checked against their ends. Used through geo3d.util.jit.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from geo3d.stereo.path_step import LANES

_BYTES = types.Array(types.uint8, 1, "C")
_WORDS = types.Array(types.uint64, 1, "C")
_INDEX, _SHORT, _BYTE, _INT = ir.IntType(64), ir.IntType(16), ir.IntType(8), ir.IntType(32)
_BYTE_LANES = ir.VectorType(_BYTE, LANES)
_SHORT_LANES = ir.VectorType(_SHORT, LANES)
_WORD_LANES = ir.VectorType(_INDEX, LANES)


def cost_row_reference(
    bits: int, color: np.ndarray, row_bits: np.ndarray, row_colors: np.ndarray, weights: tuple[int, int, int]
) -> np.ndarray:
    """(D,) costs of a pixel with census `bits` and `color` (3,) against row_bits (D,) and row_colors (3, D)."""
    census_weight, difference_weight, limit = weights
    ones = np.bitwise_count(row_bits ^ np.uint64(bits)).astype(np.int64)
    difference = np.abs(row_colors.astype(np.int64) - color.astype(np.int64)[:, None]).sum(axis=0)
    return np.minimum(ones * census_weight + (np.minimum(difference, limit) * difference_weight >> 4), 255)


def _splat(builder: ir.IRBuilder, value: Any, kind: Any) -> Any:
    undefined = ir.Constant(kind, ir.Undefined)
    lane = builder.insert_element(undefined, value, _INT(0))
    return builder.shuffle_vector(lane, undefined, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES))


def _smaller(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_unsigned("<", a, b), a, b)


def _larger(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_unsigned(">", a, b), a, b)


def _cost_row(typingctx, bits, color, row_bits, colors, at, stride, weights, out, out_at, lanes):
    """C(0 ... lanes - 1) into `out` from `out_at` on.

    bits: census of the pixel. color: its channels, a byte each from the lowest. row_bits: from `at` on. colors: three
    rows, `stride` apart, from `at` on. weights: census_weight, difference_weight and limit, 16 bits each from the
    lowest.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        bits, color, row_bits, colors, at, stride, weights, out, out_at, lanes = arguments
        bit_data, color_data, out_data = (
            context.make_array(kind)(context, builder, array).data
            for kind, array in ((_WORDS, row_bits), (_BYTES, colors), (_BYTES, out))
        )

        def part(value: Any, shift: int, kind: Any, lanes_kind: Any) -> Any:
            return _splat(builder, builder.trunc(builder.lshr(value, _INDEX(shift)), kind), lanes_kind)

        own_bits = _splat(builder, bits, _WORD_LANES)
        own = [part(color, 8 * c, _BYTE, _BYTE_LANES) for c in range(3)]
        census_weight, difference_weight, limit = (
            part(weights, 16 * k, _SHORT, _SHORT_LANES) for k in range(3)
        )
        start = builder.block
        loop, end = (builder.append_basic_block(name) for name in ("row", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        d = builder.phi(_INDEX)
        d.add_incoming(_INDEX(0), start)
        here = builder.add(at, d)

        def load(data: Any, place: Any, kind: Any, align: int) -> Any:
            return builder.load(builder.bitcast(builder.gep(data, [place]), kind.as_pointer()), align=align)

        count_ones = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_WORD_LANES, [_WORD_LANES]), f"llvm.ctpop.v{LANES}i64"
        )
        ones = builder.call(count_ones, [builder.xor(own_bits, load(bit_data, here, _WORD_LANES, 8))])
        cost = builder.mul(builder.trunc(ones, _SHORT_LANES), census_weight)
        total = None
        for c in range(3):
            place = builder.add(here, builder.mul(stride, _INDEX(c)))
            other = load(color_data, place, _BYTE_LANES, 1)
            apart = builder.sub(_larger(builder, own[c], other), _smaller(builder, own[c], other))
            apart = builder.zext(apart, _SHORT_LANES)
            total = apart if total is None else builder.add(total, apart)
        total = builder.mul(_smaller(builder, total, limit), difference_weight)
        cost = builder.add(cost, builder.lshr(total, ir.Constant(_SHORT_LANES, [4] * LANES)))
        cost = builder.trunc(_smaller(builder, cost, ir.Constant(_SHORT_LANES, [255] * LANES)), _BYTE_LANES)
        target = builder.gep(out_data, [builder.add(out_at, d)])
        builder.store(cost, builder.bitcast(target, _BYTE_LANES.as_pointer()), align=1)
        following = builder.add(d, _INDEX(LANES))
        d.add_incoming(following, loop)
        builder.cbranch(builder.icmp_unsigned("<", following, lanes), loop, end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    i = types.int64
    return types.none(types.uint64, i, _WORDS, _BYTES, i, i, i, _BYTES, i, i), codegen


cost_row: Any = intrinsic(_cost_row)
