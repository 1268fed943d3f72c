"""What SIFT spends its time on, in vector instructions, for kernels.

    smooth        out[i] = w_0 in[i] + sum_t w_t (in[i - t step] + in[i + t step])
    gradients     direction and weighted magnitude of the gradient along a row of a level
    spatial_bins  where samples of a row fall in the 4 x 4 grid of a descriptor that is turned
    spread        adds samples to a descriptor's histogram, each to the eight bins around it

Arguments are flat float32 arrays and places in them. All but `spread` work on whole vectors: up to BLOCK values (16
but for `smooth`) beyond `count` are read and written, for which arrays have room. Nothing is checked. The references
below are what they compute. Used through geo3d.util.jit; multiplications and additions are fused where the processor
can, by explicit permission for each, so that the result does not depend on where the compiler inlines.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES, BLOCK = 16, 64
CELLS = 6  # the 4 x 4 grid with a border that takes what falls outside
ORIENTATIONS = 8

_INDEX, _INT, _FLOAT = ir.IntType(64), ir.IntType(32), ir.FloatType()
_FLOATS = types.Array(types.float32, 1, "C")
_INTS = types.Array(types.int32, 1, "C")
_FUSED = ("contract",)
# atan(x) / (2 pi) for 0 <= x <= 1 as an odd polynomial, least largest error: 2e-6 of a turn
_ATAN = (0.15913367, -0.052569635, 0.028673219, -0.013553018, 0.0033175845)


def smooth_reference(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) smoothed by symmetric weights (R + 1,), the first in the middle; values are mirrored at the ends."""
    padded = np.pad(values.astype(np.float64), len(weights) - 1, mode="reflect")
    return np.convolve(padded, np.concatenate([weights[:0:-1], weights]), mode="valid")


def gradients_reference(level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Direction in turns, from x towards y, and magnitude of the gradient, (H - 2, W - 2) of (H, W)."""
    level = level.astype(np.float64)
    dx = level[1:-1, 2:] - level[1:-1, :-2]
    dy = level[2:, 1:-1] - level[:-2, 1:-1]
    return np.arctan2(dy, dx) / (2 * np.pi) % 1, np.hypot(dx, dy)


def spread_reference(
    histogram: np.ndarray, row: float, column: float, orientation: float, magnitude: float
) -> None:
    """Add a sample to a histogram (6, 6, 8) at a place 0 <= row, column < 5, 0 <= orientation < 8, trilinearly."""
    cells = np.arange(CELLS)
    by_row, by_column = (np.maximum(0, 1 - np.abs(cells - place)) for place in (row, column))
    apart = np.abs(np.arange(ORIENTATIONS) - orientation)
    by_orientation = np.maximum(0, 1 - np.minimum(apart, ORIENTATIONS - apart))
    histogram += magnitude * by_row[:, None, None] * by_column[:, None] * by_orientation


def _vector(kind: Any, lanes: int = LANES) -> ir.VectorType:
    return ir.VectorType(kind, lanes)


def _data(context: Any, builder: ir.IRBuilder, array: Any, kind: Any = _FLOATS) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _at(builder: ir.IRBuilder, data: Any, offset: Any, lanes: int = LANES) -> Any:
    return builder.bitcast(builder.gep(data, [offset]), _vector(data.type.pointee, lanes).as_pointer())


def _load(builder: ir.IRBuilder, data: Any, offset: Any) -> Any:
    return builder.load(_at(builder, data, offset), align=4)


def _store(builder: ir.IRBuilder, value: Any, data: Any, offset: Any) -> None:
    builder.store(value, _at(builder, data, offset), align=4)


def _splat(builder: ir.IRBuilder, value: Any, lanes: int = LANES) -> Any:
    kind = _vector(value.type, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    lane = builder.insert_element(undefined, value, _INT(0))
    return builder.shuffle_vector(lane, undefined, ir.Constant(_vector(_INT, lanes), [0] * lanes))


def _constant(value: float, lanes: int = LANES) -> ir.Constant:
    return ir.Constant(_vector(_FLOAT, lanes), [float(np.float32(value))] * lanes)


def _multiply_add(builder: ir.IRBuilder, a: Any, b: Any, c: Any) -> Any:
    """a b + c."""
    return builder.fadd(builder.fmul(a, b, flags=_FUSED), c, flags=_FUSED)  # pyright: ignore[reportCallIssue]


def _select(builder: ir.IRBuilder, a: Any, how: str, b: Any, yes: Any, no: Any) -> Any:
    return builder.select(builder.fcmp_ordered(how, a, b), yes, no)


def _absolute(builder: ir.IRBuilder, a: Any) -> Any:
    negative = builder.fneg(a)
    return _select(builder, a, ">", negative, a, negative)


def _smooth(typingctx, source, at, step, weights, target, target_at, count):
    """`count` values from `source[at]` on; neighbours are `step` apart; at least two weights."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        source, at, step, weights, target, target_at, count = arguments
        radius = builder.sub(
            builder.extract_value(context.make_array(_FLOATS)(context, builder, weights).shape, 0), _INDEX(1)
        )
        source, weights, target = (_data(context, builder, array) for array in (source, weights, target))
        middle = _splat(builder, builder.load(weights))
        with cgutils.for_range_slice(builder, _INDEX(0), count, _INDEX(BLOCK), intp=_INDEX) as (x, _):
            places = [builder.add(builder.add(at, x), _INDEX(v * LANES)) for v in range(BLOCK // LANES)]
            first = [builder.fmul(middle, _load(builder, source, place)) for place in places]
            before, loop, after = (
                builder.block,
                builder.append_basic_block("taps"),
                builder.append_basic_block("sums"),
            )
            builder.branch(loop)
            builder.position_at_end(loop)
            tap = builder.phi(_INDEX)
            tap.add_incoming(_INDEX(1), before)
            totals = [builder.phi(_vector(_FLOAT)) for _ in places]
            offset = builder.mul(tap, step)
            weight = _splat(builder, builder.load(builder.gep(weights, [tap])))
            sums = []
            for total, value, place in zip(totals, first, places):
                both = builder.fadd(
                    _load(builder, source, builder.sub(place, offset)),
                    _load(builder, source, builder.add(place, offset)),
                )
                sums.append(_multiply_add(builder, weight, both, total))
                total.add_incoming(value, before)
                total.add_incoming(sums[-1], loop)
            following = builder.add(tap, _INDEX(1))
            tap.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<=", following, radius), loop, after)
            builder.position_at_end(after)
            for v, total in enumerate(sums):
                _store(builder, total, target, builder.add(builder.add(target_at, x), _INDEX(v * LANES)))
        return context.get_dummy_value()

    i = types.int64
    return types.none(_FLOATS, i, i, _FLOATS, _FLOATS, i, i), codegen


def _gradients(typingctx, level, at, stride, window, window_at, gain, count, turn, magnitude):
    """Of `count` pixels from `level[at]` on; magnitudes are weighted by `gain * window[window_at + i]`."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        level, at, stride, window, window_at, gain, count, turn, magnitude = arguments
        level, window, turn, magnitude = (
            _data(context, builder, array) for array in (level, window, turn, magnitude)
        )
        root = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_vector(_FLOAT), [_vector(_FLOAT)]), f"llvm.sqrt.v{LANES}f32"
        )
        gain, zero = _splat(builder, gain), _constant(0)
        with cgutils.for_range_slice(builder, _INDEX(0), count, _INDEX(LANES), intp=_INDEX) as (x, _):
            here = builder.add(at, x)
            ends = [builder.add(here, _INDEX(1)), builder.sub(here, _INDEX(1))]
            ends += [builder.sub(here, stride), builder.add(here, stride)]
            right, left, up, down = (_load(builder, level, place) for place in ends)
            dx, dy = builder.fsub(right, left), builder.fsub(down, up)
            width, height = _absolute(builder, dx), _absolute(builder, dy)
            steep = builder.fcmp_ordered(">", height, width)
            small = builder.select(steep, width, height)
            large = builder.select(steep, height, width)
            ratio = builder.fdiv(small, builder.fadd(large, _constant(1e-30)))
            square = builder.fmul(ratio, ratio)
            angle = _constant(_ATAN[-1])
            for factor in _ATAN[-2::-1]:
                angle = _multiply_add(builder, angle, square, _constant(factor))
            angle = builder.fmul(angle, ratio)
            angle = builder.select(steep, builder.fsub(_constant(0.25), angle), angle)
            angle = _select(builder, dx, "<", zero, builder.fsub(_constant(0.5), angle), angle)
            angle = _select(builder, dy, "<", zero, builder.fsub(_constant(1), angle), angle)
            _store(builder, angle, turn, x)
            length = builder.call(root, [_multiply_add(builder, dx, dx, builder.fmul(dy, dy))])
            weight = builder.fmul(gain, _load(builder, window, builder.add(window_at, x)))
            _store(builder, builder.fmul(length, weight), magnitude, x)
        return context.get_dummy_value()

    i, f = types.int64, types.float32
    return types.none(_FLOATS, i, i, _FLOATS, i, f, i, _FLOATS, _FLOATS), codegen


def _spatial_bins(
    typingctx, row, row_step, column, column_step, orientation, count, turn, magnitude, cell, parts
):
    """Grid places `row + i row_step` and `column + i column_step` of sample i, 0 to 5 inside of the grid.

    `cell` is where the histogram of the cell before begins; `parts` (3, room) how far the sample lies towards the next
    row and column, and how far it is turned from its direction to `orientation` (in turns), from 0 to 8. The magnitude
    of samples outside becomes 0.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        row, row_step, column, column_step, orientation, count, turn, magnitude, cell, parts = arguments
        room = builder.udiv(
            builder.extract_value(context.make_array(_FLOATS)(context, builder, parts).shape, 0), _INDEX(3)
        )
        turn, magnitude, parts = (_data(context, builder, array) for array in (turn, magnitude, parts))
        cell = _data(context, builder, cell, _INTS)
        starts = [_splat(builder, value) for value in (row, column)]
        steps = [_splat(builder, value) for value in (row_step, column_step)]
        orientation, zero, end = _splat(builder, orientation), _constant(0), _constant(CELLS - 1)
        lanes = ir.Constant(_vector(_FLOAT), [float(i) for i in range(LANES)])
        integers = _vector(_INT)
        with cgutils.for_range_slice(builder, _INDEX(0), count, _INDEX(LANES), intp=_INDEX) as (x, _):
            number = builder.fadd(_splat(builder, builder.sitofp(x, _FLOAT)), lanes)
            inside, cells = None, []
            for k, (start, step) in enumerate(zip(starts, steps)):
                place = _multiply_add(builder, number, step, start)
                within = builder.and_(
                    builder.fcmp_ordered(">", place, zero), builder.fcmp_ordered("<", place, end)
                )
                place = builder.select(within, place, zero)
                inside = within if inside is None else builder.and_(inside, within)
                cells.append(builder.fptosi(place, integers))
                part = builder.fsub(place, builder.sitofp(cells[k], _vector(_FLOAT)))
                _store(builder, part, parts, builder.add(builder.mul(room, _INDEX(k)), x))
            six, eight = (ir.Constant(integers, [n] * LANES) for n in (CELLS, ORIENTATIONS))
            where = builder.mul(builder.add(builder.mul(cells[0], six), cells[1]), eight)
            _store(builder, where, cell, x)
            relative = builder.fsub(orientation, _load(builder, turn, x))
            relative = _select(builder, relative, "<", zero, builder.fadd(relative, _constant(1)), relative)
            bins = builder.fmul(relative, _constant(ORIENTATIONS))
            _store(builder, bins, parts, builder.add(builder.mul(room, _INDEX(2)), x))
            weight = builder.select(inside, _load(builder, magnitude, x), zero)
            _store(builder, weight, magnitude, x)
        return context.get_dummy_value()

    i, f = types.int64, types.float32
    return types.none(f, f, f, f, f, i, _FLOATS, _FLOATS, _INTS, _FLOATS), codegen


def _spread(typingctx, histogram, cell, parts, magnitude, count):
    """Add `count` samples, as `spatial_bins` and `gradients` give them, to a histogram (6, 6, 8)."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        histogram, cell, parts, magnitude, count = arguments
        room = builder.udiv(
            builder.extract_value(context.make_array(_FLOATS)(context, builder, parts).shape, 0), _INDEX(3)
        )
        histogram, parts, magnitude = (
            _data(context, builder, array) for array in (histogram, parts, magnitude)
        )
        cell = _data(context, builder, cell, _INTS)
        n = ORIENTATIONS
        bins = ir.Constant(_vector(_FLOAT, n), [float(i) for i in range(n)])
        with cgutils.for_range(builder, count, intp=_INDEX) as loop:
            row_part, column_part, orientation, weight = (
                _splat(builder, builder.load(builder.gep(data, [builder.add(start, loop.index)])), n)
                for data, start in (
                    (parts, _INDEX(0)),
                    (parts, room),
                    (parts, builder.add(room, room)),
                    (magnitude, _INDEX(0)),
                )
            )
            apart = _absolute(builder, builder.fsub(orientation, bins))
            around = builder.fsub(_constant(n, n), apart)
            apart = _select(builder, apart, "<", around, apart, around)
            share = builder.fsub(_constant(1, n), apart)
            share = _select(builder, share, ">", _constant(0, n), share, _constant(0, n))
            whole = builder.fmul(share, weight)
            lower = builder.fmul(whole, row_part)
            upper = builder.fsub(whole, lower)
            place = builder.sext(builder.load(builder.gep(cell, [loop.index])), _INDEX)
            for half, start in ((upper, 0), (lower, CELLS * n)):
                right = builder.fmul(half, column_part)
                for value, offset in ((builder.fsub(half, right), start), (right, start + n)):
                    target = _at(builder, histogram, builder.add(place, _INDEX(offset)), n)
                    builder.store(builder.fadd(builder.load(target, align=4), value), target, align=4)
        return context.get_dummy_value()

    return types.none(_FLOATS, _INTS, _FLOATS, _FLOATS, types.int64), codegen


# As values, because a type checker does not see that the decorator takes the first argument away.
smooth: Any = intrinsic(_smooth)
gradients: Any = intrinsic(_gradients)
spatial_bins: Any = intrinsic(_spatial_bins)
spread: Any = intrinsic(_spread)
