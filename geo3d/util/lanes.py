"""Sixteen float32 at a time: a vector type for kernels, so that their inner loops read as the formula.

    lanes = load(array, start)        array[start : start + 16] of a flat float32 array, as one value
    store(array, start, lanes)
    a + b, a - b, a * b, a / b        lane by lane; a float32 stands for sixteen of it
    a < b, a <= b, a > b, a >= b      a mask; masks combine by &
    select(mask, a, b)                a where the mask is set, else b
    minimum(a, b), absolute(a), minus_absolute(a), square_root(a)
    multiply_add(a, b, c)             a b + c, rounded once; b a float32
    exp2(a)                           2^a, relative error below 3e-7 for -126 < a < 127
    any_lane(mask), total(a)          one bool, one float32
    totals(a, b, c, d, e, f, g, h)    the sums of eight vectors in lanes 0 to 7 of one (8 to 15 repeat them)
    join(a, b)                        lanes 0 to 7 of both
    prefetch(array, start)            asks for the cache line of array[start]
    next_item(counter)                counter[0] before it is raised by 1, for threads that share out work

Numba does not vectorise loops that keep nine running sums, and what it does vectorise depends on the processor. These
values are LLVM's vectors, which it compiles to the width of any processor: one AVX-512 register, two of AVX, four of
NEON or SSE. A product and a sum may fuse to one rounding, nothing else is rearranged: results are the same from run to
run. Nothing is checked against the arrays' ends. Used through geo3d.util.jit.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import extending
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature

# Their decorators' annotations hide what they return.
_intrinsic: Any = extending.intrinsic
_infer: Any = infer_global

LANES = 16

_F32 = ir.FloatType()
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_VECTOR = ir.VectorType(_F32, LANES)
_INTEGERS = ir.VectorType(_I32, LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_FUSE = ("contract",)


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes16f")


class _Mask(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Mask16")


LANES_TYPE, _MASK = _Lanes(), _Mask()
FLAT = types.Array(types.float32, 1, "C")


@extending.register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


@extending.register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BITS)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [value] * LANES)


def _spread(builder: ir.IRBuilder, value: Any) -> Any:
    """A scalar in every lane; a vector as it is."""
    if value.type != _F32:
        return value
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTEGERS, [0] * LANES))


def _pairs(result: types.Type) -> list:
    """Signatures of an operator on lanes and lanes, lanes and a scalar, a scalar and lanes."""
    scalar = types.float32
    return [
        signature(result, *kinds)
        for kinds in ((LANES_TYPE, LANES_TYPE), (LANES_TYPE, scalar), (scalar, LANES_TYPE))
    ]


def _operator(function: Any, result: types.Type, emit: Any) -> None:
    class Template(ConcreteTemplate):
        cases = _pairs(result)

    _infer(function)(Template)

    def lower(context: Any, builder: ir.IRBuilder, sig: Any, values: Any) -> Any:
        return emit(builder, _spread(builder, values[0]), _spread(builder, values[1]))

    for case in Template.cases:
        extending.lower_builtin(function, *case.args)(lower)


for _add in (operator.add, operator.iadd):
    _operator(_add, LANES_TYPE, lambda b, x, y: b.fadd(x, y, flags=_FUSE))
_operator(operator.sub, LANES_TYPE, lambda b, x, y: b.fsub(x, y, flags=_FUSE))
_operator(operator.mul, LANES_TYPE, lambda b, x, y: b.fmul(x, y, flags=_FUSE))
_operator(operator.truediv, LANES_TYPE, lambda b, x, y: b.fdiv(x, y))
_operator(operator.lt, _MASK, lambda b, x, y: b.fcmp_ordered("<", x, y))
_operator(operator.le, _MASK, lambda b, x, y: b.fcmp_ordered("<=", x, y))
_operator(operator.gt, _MASK, lambda b, x, y: b.fcmp_ordered(">", x, y))
_operator(operator.ge, _MASK, lambda b, x, y: b.fcmp_ordered(">=", x, y))


@_infer(operator.and_)
class _And(ConcreteTemplate):
    cases = [signature(_MASK, _MASK, _MASK)]  # noqa: RUF012


@extending.lower_builtin(operator.and_, _MASK, _MASK)
def _and(context: Any, builder: ir.IRBuilder, sig: Any, values: Any) -> Any:
    return builder.and_(values[0], values[1])


def _place(context: Any, builder: ir.IRBuilder, array: Any, start: Any) -> Any:
    data = context.make_array(FLAT)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [start]), _VECTOR.as_pointer())


@_intrinsic
def load(typingctx, array, start):
    """`array[start : start + 16]` of a flat float32 array."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.load(_place(context, builder, values[0], values[1]), align=4)

    return LANES_TYPE(FLAT, types.int64), emit


@_intrinsic
def store(typingctx, array, start, lanes):
    """`array[start : start + 16] = lanes` of a flat float32 array."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        builder.store(values[2], _place(context, builder, values[0], values[1]), align=4)
        return context.get_dummy_value()

    return types.none(FLAT, types.int64, LANES_TYPE), emit


@_intrinsic
def spread(typingctx, value):
    """A float32 in every lane."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return _spread(builder, values[0])

    return LANES_TYPE(types.float32), emit


@_intrinsic
def select(typingctx, mask, yes, no):
    """`yes` where the mask is set, else `no`."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.select(values[0], values[1], _spread(builder, values[2]))

    no = types.float32 if isinstance(no, types.Float) else LANES_TYPE
    return LANES_TYPE(_MASK, LANES_TYPE, no), emit


@_intrinsic
def minimum(typingctx, a, b):
    """The smaller, lane by lane."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        a, b = values[0], _spread(builder, values[1])
        return builder.select(builder.fcmp_ordered("<", a, b), a, b)

    b = types.float32 if isinstance(b, types.Float) else LANES_TYPE
    return LANES_TYPE(LANES_TYPE, b), emit


@_intrinsic
def absolute(typingctx, a):
    """|a|, lane by lane."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        bits = builder.bitcast(values[0], _INTEGERS)
        rest = builder.and_(bits, ir.Constant(_INTEGERS, [0x7FFFFFFF] * LANES))
        return builder.bitcast(rest, _VECTOR)

    return LANES_TYPE(LANES_TYPE), emit


@_intrinsic
def minus_absolute(typingctx, a):
    """-|a|, lane by lane."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        bits = builder.bitcast(values[0], _INTEGERS)
        return builder.bitcast(builder.or_(bits, ir.Constant(_INTEGERS, [0x80000000] * LANES)), _VECTOR)

    return LANES_TYPE(LANES_TYPE), emit


@_intrinsic
def square_root(typingctx, a):
    """The square root, lane by lane."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{LANES}f32")
        return builder.call(function, values)

    return LANES_TYPE(LANES_TYPE), emit


@_intrinsic
def multiply_add(typingctx, a, b, c):
    """`a * b + c`, rounded once."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
        return builder.call(function, [values[0], _spread(builder, values[1]), values[2]])

    return LANES_TYPE(LANES_TYPE, types.float32, LANES_TYPE), emit


# 2^f on [-1/2, 1/2]: the polynomial with constant term 1 of the smallest relative error, 1e-7.
_EXP2 = (1.3264727e-3, 9.6715126e-3, 5.55073374e-2, 2.402224209e-1, 6.931469776e-1, 1.0)


@_intrinsic
def exp2(typingctx, a):
    """2^a: the whole part goes into the exponent's bits, the rest through a polynomial."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        # Added to 1.5 * 2^23 a number is rounded to a whole one, which then stands in the lowest bits.
        shift = _constant(12582912.0)
        rounded = builder.fadd(values[0], shift)
        rest = builder.fsub(values[0], builder.fsub(rounded, shift))
        power = _constant(_EXP2[0])
        for coefficient in _EXP2[1:]:
            power = builder.fadd(builder.fmul(power, rest, flags=_FUSE), _constant(coefficient), flags=_FUSE)
        exponent = builder.shl(builder.bitcast(rounded, _INTEGERS), ir.Constant(_INTEGERS, [23] * LANES))
        return builder.bitcast(builder.add(builder.bitcast(power, _INTEGERS), exponent), _VECTOR)

    return LANES_TYPE(LANES_TYPE), emit


@_intrinsic
def any_lane(typingctx, mask):
    """Whether the mask is set in any lane."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        bits = builder.bitcast(values[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(_MASK), emit


def _fold(builder: ir.IRBuilder, left: Any, right: Any, width: int) -> Any:
    """Neighbouring groups of `width` lanes added: those of `left` and of `right` side by side, in turns."""
    first, second = [], []
    for start in range(0, LANES, 2 * width):
        for offset in (0, LANES):
            first += [offset + start + i for i in range(width)]
            second += [offset + start + width + i for i in range(width)]
    low = builder.shuffle_vector(left, right, ir.Constant(_INTEGERS, first))
    high = builder.shuffle_vector(left, right, ir.Constant(_INTEGERS, second))
    return builder.fadd(low, high)


@_intrinsic
def totals(typingctx, a, b, c, d, e, f, g, h):
    """The sums over the lanes of eight vectors, in lanes 0 to 7 of one, and again in 8 to 15."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        rows = list(values)
        for width in (1, 2, 4):  # halves the count of vectors, each with twice the count of sums in turns
            rows = [_fold(builder, rows[i], rows[i + 1], width) for i in range(0, len(rows), 2)]
        return _fold(builder, rows[0], rows[0], 8)

    return LANES_TYPE(*[LANES_TYPE] * 8), emit


@_intrinsic
def join(typingctx, a, b):
    """Lanes 0 to 7 of a, then those of b."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        lanes = [*range(8), *range(LANES, LANES + 8)]
        return builder.shuffle_vector(values[0], values[1], ir.Constant(_INTEGERS, lanes))

    return LANES_TYPE(LANES_TYPE, LANES_TYPE), emit


@_intrinsic
def total(typingctx, a):
    """The sum over the lanes."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        row = values[0]
        for width in (8, 4, 2, 1):
            other = ir.Constant(_INTEGERS, [(i + width) % LANES for i in range(LANES)])
            row = builder.fadd(row, builder.shuffle_vector(row, row, other))
        return builder.extract_element(row, ir.Constant(_I32, 0))

    return types.float32(LANES_TYPE), emit


@_intrinsic
def next_item(typingctx, counter):
    """`counter[0]` (int64), which is raised by 1 in the same step: no two threads get the same number."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, values[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(_I64, 1), "monotonic")

    return types.int64(types.Array(types.int64, 1, "C")), emit


@_intrinsic
def prefetch(typingctx, array, start):
    """Ask for the cache line of `array[start]`, a flat array, before it is needed."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, values[0]).data
        place = builder.bitcast(builder.gep(data, [values[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [place, *(ir.Constant(_I32, n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return types.none(types.Array(array.dtype, 1, "C"), types.int64), emit
