"""Dot products of descriptors in vector instructions, and the two largest of them from either side, for kernels.

    dot_tile           S[q, l] = sum_k queries[q, k] * items[l, k]        q < QUERIES, l < ITEMS, k < 128
    keep_two_largest   best, second and where the best was, of each query and of each item, over many tiles
    widen              128 bytes to int16

The descriptors are uint8, the products integers, so every sum is exact and no result depends on the order of the
additions. They are spelled in LLVM's vector types as products of int16 whose neighbours are added, which it
compiles to one multiply-add instruction on x86 (pmaddwd, with VNNI vpdpwssd) and to what there is elsewhere.

Items lie interleaved, a block of ITEMS descriptors as [pair of dimensions][item][2] (`interleave`). Arguments are
flat arrays and places in them; nothing is checked against their ends. Used through geo3d.util.jit.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

QUERIES, ITEMS, LENGTH = 8, 16, 128

_BYTES = types.Array(types.uint8, 1, "C")
_SHORTS = types.Array(types.int16, 1, "C")
_INTS = types.Array(types.int32, 1, "C")
_INDEX, _INT, _SHORT, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(16), ir.IntType(8)
_LANES = ir.VectorType(_INT, ITEMS)
_PAIRS = ir.VectorType(_SHORT, 2 * ITEMS)
_WIDE_PAIRS = ir.VectorType(_INT, 2 * ITEMS)


def dot_tile_reference(queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    """(8, 16) int32 products of queries (8, 128) and items (16, 128)."""
    return queries.astype(np.int32) @ items.astype(np.int32).T


def keep_two_largest_reference(
    values: np.ndarray, numbers: np.ndarray, best: np.ndarray, second: np.ndarray, where: np.ndarray
) -> None:
    """Take rows of `values` (R, C) with their `numbers` (R,) into the two largest of each column; first come wins."""
    for row, number in zip(values, numbers):
        second[:] = np.maximum(second, np.minimum(best, row))
        where[:] = np.where(row > best, number, where)
        best[:] = np.maximum(best, row)


def interleave(descriptors: np.ndarray) -> np.ndarray:
    """(N, 128) uint8, N a multiple of 16 -> flat, block by block [64][16][2]."""
    pairs = np.ascontiguousarray(descriptors).view(np.uint16).reshape(-1, ITEMS, LENGTH // 2)
    return np.ascontiguousarray(pairs.transpose(0, 2, 1)).view(np.uint8).ravel()


def _at(builder: ir.IRBuilder, data: Any, offset: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())


def _splat(builder: ir.IRBuilder, value: Any) -> Any:
    undefined = ir.Constant(_LANES, ir.Undefined)
    lane = builder.insert_element(undefined, value, _INT(0))
    return builder.shuffle_vector(lane, undefined, ir.Constant(_LANES, [0] * ITEMS))


def _multiply_add(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    """a[2i] b[2i] + a[2i+1] b[2i+1]."""
    products = builder.mul(builder.sext(a, _WIDE_PAIRS), builder.sext(b, _WIDE_PAIRS))
    undefined = ir.Constant(_WIDE_PAIRS, ir.Undefined)
    even, odd = (ir.Constant(_LANES, [2 * i + odd for i in range(ITEMS)]) for odd in (0, 1))
    return builder.add(
        builder.shuffle_vector(products, undefined, even), builder.shuffle_vector(products, undefined, odd)
    )


def _larger(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def _smaller(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _data(context: Any, builder: ir.IRBuilder, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _dot_tile(typingctx, queries, items, items_at, out, out_at, out_stride):
    """Products of QUERIES int16 descriptors with the block of items at `items_at`.

    The row of query q goes to `out[out_at + q * out_stride :]`, ITEMS values.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        queries, items, items_at, out, out_at, out_stride = arguments
        query_data, item_data = (_data(context, builder, _SHORTS, array) for array in (queries, items))
        out_data = _data(context, builder, _INTS, out)
        before, loop, after = (
            builder.block,
            builder.append_basic_block("dimensions"),
            builder.append_basic_block("sums"),
        )
        builder.branch(loop)
        builder.position_at_end(loop)
        pair = builder.phi(_INDEX)
        pair.add_incoming(_INDEX(0), before)
        sums = [builder.phi(_LANES) for _ in range(QUERIES)]
        offset = builder.add(items_at, builder.mul(pair, _INDEX(2 * ITEMS)))
        block = builder.load(_at(builder, item_data, offset, _PAIRS), align=2)
        for q, total in enumerate(sums):
            offset = builder.add(builder.mul(pair, _INDEX(2)), _INDEX(q * LENGTH))
            both = builder.load(_at(builder, query_data, offset, _INT), align=2)
            product = _multiply_add(builder, builder.bitcast(_splat(builder, both), _PAIRS), block)
            total.add_incoming(ir.Constant(_LANES, [0] * ITEMS), before)
            total.add_incoming(builder.add(total, product), loop)
        following = builder.add(pair, _INDEX(1))
        pair.add_incoming(following, loop)
        builder.cbranch(builder.icmp_unsigned("<", following, _INDEX(LENGTH // 2)), loop, after)
        builder.position_at_end(after)
        for q, total in enumerate(sums):
            place = builder.add(out_at, builder.mul(out_stride, _INDEX(q)))
            builder.store(total.incomings[1][0], _at(builder, out_data, place, _LANES), align=4)
        return context.get_dummy_value()

    i = types.int64
    return types.none(_SHORTS, _SHORTS, i, _INTS, i, i), codegen


def _keep_two_largest(typingctx, tile, numbers, query_state, block, item_state, item_at, item_stride):
    """Take a tile of products, (QUERIES, ITEMS), into the two largest of its queries and of its items.

    query_state (3, QUERIES, ITEMS): best, second and block of the best, of each query and each place in a block.
    item_state (3, item_stride): best, second and number of the query of the best, of the items from `item_at` on.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        tile, numbers, query_state, block, item_state, item_at, item_stride = arguments
        tile, numbers, query_state, item_state = (
            _data(context, builder, _INTS, array) for array in (tile, numbers, query_state, item_state)
        )

        def update(state: list, value: Any, number: Any) -> list:
            best, second, where = state
            larger = builder.icmp_signed(">", value, best)
            return [
                builder.select(larger, value, best),
                _larger(builder, second, _smaller(builder, best, value)),
                builder.select(larger, number, where),
            ]

        rows = [builder.load(_at(builder, tile, _INDEX(q * ITEMS), _LANES), align=4) for q in range(QUERIES)]
        places = [
            _at(builder, item_state, builder.add(item_at, builder.mul(item_stride, _INDEX(i))), _LANES)
            for i in range(3)
        ]
        state = [builder.load(place, align=4) for place in places]
        for q, row in enumerate(rows):
            state = update(state, row, _splat(builder, builder.load(builder.gep(numbers, [_INDEX(q)]))))
        for place, value in zip(places, state):
            builder.store(value, place, align=4)
        block = _splat(builder, builder.trunc(block, _INT))
        for q, row in enumerate(rows):
            places = [_at(builder, query_state, _INDEX((i * QUERIES + q) * ITEMS), _LANES) for i in range(3)]
            state = update([builder.load(place, align=4) for place in places], row, block)
            for place, value in zip(places, state):
                builder.store(value, place, align=4)
        return context.get_dummy_value()

    i = types.int64
    return types.none(_INTS, _INTS, _INTS, i, _INTS, i, i), codegen


def _widen(typingctx, source, source_at, target, target_at):
    """LENGTH uint8 of `source` as int16 to `target`."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        source, source_at, target, target_at = arguments
        source, target = _data(context, builder, _BYTES, source), _data(context, builder, _SHORTS, target)
        for k in range(0, LENGTH, 2 * ITEMS):
            place = builder.add(source_at, _INDEX(k))
            some = builder.load(_at(builder, source, place, ir.VectorType(_BYTE, 2 * ITEMS)), align=1)
            place = builder.add(target_at, _INDEX(k))
            builder.store(builder.zext(some, _PAIRS), _at(builder, target, place, _PAIRS), align=2)
        return context.get_dummy_value()

    i = types.int64
    return types.none(_BYTES, i, _SHORTS, i), codegen


def _largest(typingctx, values, at):
    """Largest of ITEMS int32."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        values, at = arguments
        rest = builder.load(_at(builder, _data(context, builder, _INTS, values), at, _LANES), align=4)
        count = ITEMS
        while count > 1:
            count //= 2
            undefined = ir.Constant(rest.type, ir.Undefined)
            half = ir.VectorType(_INT, count)
            low, high = (ir.Constant(half, [i + start for i in range(count)]) for start in (0, count))
            rest = _larger(
                builder,
                builder.shuffle_vector(rest, undefined, low),
                builder.shuffle_vector(rest, undefined, high),
            )
        return builder.extract_element(rest, _INT(0))

    return types.int32(_INTS, types.int64), codegen


# As values, because a type checker does not see that the decorator takes the first argument away.
dot_tile: Any = intrinsic(_dot_tile)
keep_two_largest: Any = intrinsic(_keep_two_largest)
widen: Any = intrinsic(_widen)
largest: Any = intrinsic(_largest)
