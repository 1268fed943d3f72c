"""One pixel of the semi-global recursion in vector instructions, for kernels.

    L_k(p, d) = C(p, d) + min(L_k(q, d), L_k(q, d - 1) + P1, L_k(q, d + 1) + P1, m_k + P2_k) - m_k,   q = p - r_k,
    m_k = min_d L_k(q, d),      S(p, d) (+)= sum_k L_k(p, d)

for 2, 4 or 8 directions r_k at once (Hirschmueller 2008, equation 13). All is unsigned 16 bit, costs 8 bit. It is
spelled in LLVM's vector types, which it compiles to the widest instructions of any processor: a loop over the
disparities whose loads are `d - 1, d, d + 1` of four arrays is more than numba's own vectoriser takes on.

Arguments are flat arrays and places in them; nothing is checked against their ends. The values before the first and
after the last disparity of a predecessor have to be there and high. Used through geo3d.util.jit.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 16
HIGH = (
    0x3FFF  # of what lies outside of the range of disparities: never the smallest, and P1 can be added to it
)

_BYTES = types.Array(types.uint8, 1, "C")
_SHORTS = types.Array(types.uint16, 1, "C")
_NUMBERS = types.Array(types.int64, 1, "C")
_INDEX, _SHORT, _BYTE = ir.IntType(64), ir.IntType(16), ir.IntType(8)
_VECTOR = ir.VectorType(_SHORT, LANES)
_BYTE_VECTOR = ir.VectorType(_BYTE, LANES)


def path_step_reference(costs: np.ndarray, previous: np.ndarray, small: int, large: int) -> np.ndarray:
    """L(p, :) of one direction from C(p, :) and L(q, :), both (D,); `small` is P1, `large` P2."""
    before = previous.astype(np.int64)
    low = before.min()
    padded = np.concatenate([[HIGH], before, [HIGH]])
    beside = np.minimum(padded[:-2], padded[2:]) + small
    return costs + np.minimum(np.minimum(before, beside), low + large) - low


def _at(builder: ir.IRBuilder, data: Any, offset: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())


def _splat(builder: ir.IRBuilder, value: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    lane = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        lane, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    )


def _smaller(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_unsigned("<", a, b), a, b)


def _smallest_lane(builder: ir.IRBuilder, vector: Any) -> Any:
    """The smallest of all lanes, by halves."""
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    half = LANES // 2
    while half:
        order = [(i + half) % LANES for i in range(LANES)]
        turned = builder.shuffle_vector(
            vector, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), order)
        )
        vector = _smaller(builder, vector, turned)
        half //= 2
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


def _cheapest(builder: ir.IRBuilder, paths: Any, place: Any, penalty: Any, jump: Any) -> Any:
    """min(L(q, d), min(L(q, d - 1), L(q, d + 1)) + P1, m + P2)."""
    same, left, right = (
        builder.load(_at(builder, paths, builder.add(place, _INDEX(shift)), _VECTOR), align=2)
        for shift in (0, -1, 1)
    )
    beside = builder.add(_smaller(builder, left, right), penalty)
    return _smaller(builder, _smaller(builder, same, beside), jump)


def _step(count: int, add: bool) -> Any:
    """An intrinsic `f(costs, cell_at, paths, state, small, sums, lanes)` for `count` directions.

    state, 4 rows of `count`: place of L_k(q, 0) in `paths`, place for L_k(p, 0), m_k (replaced by that of p), P2_k.
    `cell_at` is the place of C(p, 0) and of S(p, 0).
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        costs, cell_at, paths, state, small, sums, lanes = arguments
        cost_data, path_data, state_data, sum_data = (
            context.make_array(kind)(context, builder, array).data
            for kind, array in ((_BYTES, costs), (_SHORTS, paths), (_NUMBERS, state), (_SHORTS, sums))
        )

        def entry(row: int, k: int) -> Any:
            return builder.gep(state_data, [_INDEX(row * count + k)])

        def constant(number: Any) -> Any:
            return _splat(builder, builder.trunc(number, _SHORT))

        before = [builder.load(entry(0, k)) for k in range(count)]
        after = [builder.load(entry(1, k)) for k in range(count)]
        lows = [builder.load(entry(2, k)) for k in range(count)]
        jumps = [constant(builder.add(low, builder.load(entry(3, k)))) for k, low in enumerate(lows)]
        low_vectors = [constant(low) for low in lows]
        penalty = constant(small)
        start = builder.block
        loop, end = (builder.append_basic_block(name) for name in ("disparities", "lows"))
        builder.branch(loop)
        builder.position_at_end(loop)
        d = builder.phi(_INDEX)
        d.add_incoming(_INDEX(0), start)
        minima = [builder.phi(_VECTOR) for _ in range(count)]
        place = builder.add(cell_at, d)
        cost = builder.zext(builder.load(_at(builder, cost_data, place, _BYTE_VECTOR), align=1), _VECTOR)
        total_at = _at(builder, sum_data, place, _VECTOR)
        total = builder.load(total_at, align=2) if add else None
        for k in range(count):
            best = _cheapest(builder, path_data, builder.add(before[k], d), penalty, jumps[k])
            value = builder.add(cost, builder.sub(best, low_vectors[k]))
            builder.store(value, _at(builder, path_data, builder.add(after[k], d), _VECTOR), align=2)
            total = value if total is None else builder.add(total, value)
            minima[k].add_incoming(ir.Constant(_VECTOR, [0xFFFF] * LANES), start)
            minima[k].add_incoming(_smaller(builder, minima[k], value), loop)
        builder.store(total, total_at, align=2)
        following = builder.add(d, _INDEX(LANES))
        d.add_incoming(following, loop)
        builder.cbranch(builder.icmp_unsigned("<", following, lanes), loop, end)
        builder.position_at_end(end)
        for k in range(count):
            lowest = _smallest_lane(builder, minima[k].incomings[1][0])
            builder.store(builder.zext(lowest, _INDEX), entry(2, k))
        return context.get_dummy_value()

    def typing(typingctx, costs, cell_at, paths, state, small, sums, lanes):
        i = types.int64
        return types.none(_BYTES, i, _SHORTS, _NUMBERS, i, _SHORTS, i), codegen

    return intrinsic(typing)


write_2, add_2 = _step(2, add=False), _step(2, add=True)
write_4, add_4 = _step(4, add=False), _step(4, add=True)
write_8, add_8 = _step(8, add=False), _step(8, add=True)
