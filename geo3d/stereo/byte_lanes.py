"""Sixty-four costs at a time: vectors of bytes and of 16-bit numbers for kernels, which then read as the formula.

    load(array, start)                 array[start : start + 64] of a flat uint8 or uint16 array, as one value
    store(array, start, lanes)
    spread(number)                     a byte in every lane
    spread_wide(number)                16 bits in every lane
    lane_numbers(start)                start, start + 1, ... (16 bits)
    a ^ b, a | b, a - b, a + b         lane by lane, around the end of the range
    a * number, a >> number            16 bits
    add_capped(a, b), apart(a, b)      bytes: min(a + b, 255), |a - b|
    minimum(a, b), ones(a)             the smaller; how many bits are set (bytes)
    widen(a), narrow(a)                bytes to 16 bits and back
    where_at_most(a, b, yes, no)       `yes` where a <= b, else `no`
    lane_before(previous, a)           the lane one lower of each; of the first the last one of `previous`
    lane_after(a, following)           the lane one higher of each; of the last the first one of `following`
    smallest(a)                        of all lanes, int64
    first_equal(a, number)             the first lane that holds a number, int64; 64 if none does

They are LLVM's vectors, which it compiles to the width of any processor: one AVX-512 register of bytes, two of AVX,
four of NEON or SSE. All is of integers: results are the same everywhere. Nothing is checked against the arrays' ends.
Used through geo3d.util.jit.
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

LANES = 64

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_ORDER = ir.VectorType(_I32, LANES)


class _Vector(types.Type):
    """Sixty-four integers of `bits` bits."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.kind = ir.VectorType(ir.IntType(bits), LANES)
        super().__init__(name=f"Lanes64u{bits}")


class _BytesType(_Vector):
    def __init__(self) -> None:
        super().__init__(8)


class _ShortsType(_Vector):
    def __init__(self) -> None:
        super().__init__(16)


_BYTES, _SHORTS = _BytesType(), _ShortsType()
_ARRAYS = {8: types.Array(types.uint8, 1, "C"), 16: types.Array(types.uint16, 1, "C")}
_VECTORS = {8: _BYTES, 16: _SHORTS}


@extending.register_model(_BytesType)
class _BytesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BYTES.kind)


@extending.register_model(_ShortsType)
class _ShortsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _SHORTS.kind)


def _spread(builder: ir.IRBuilder, number: Any, vector: Any) -> Any:
    """A number in every lane."""
    narrow = builder.trunc(number, vector.kind.element) if number.type.width > vector.bits else number
    undefined = ir.Constant(vector.kind, ir.Undefined)
    first = builder.insert_element(undefined, narrow, _I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_ORDER, [0] * LANES))


def _operator(function: Any, pairs: list, emit: Any) -> None:
    """An operator on the pairs of types, the first of which is that of the result."""

    class Template(ConcreteTemplate):
        cases = [signature(pair[0], *pair) for pair in pairs]  # noqa: RUF012

    _infer(function)(Template)

    def lower(context: Any, builder: ir.IRBuilder, sig: Any, values: Any) -> Any:
        a, b = values
        return emit(builder, a, b if a.type == b.type else _spread(builder, b, sig.args[0]))

    for case in Template.cases:
        extending.lower_builtin(function, *case.args)(lower)


_SAME = [(_BYTES, _BYTES), (_SHORTS, _SHORTS)]
_NUMBER = [(_SHORTS, types.int64)]
_operator(operator.xor, _SAME, lambda b, x, y: b.xor(x, y))
_operator(operator.or_, _SAME, lambda b, x, y: b.or_(x, y))
for _add in (operator.add, operator.iadd):
    _operator(_add, _SAME, lambda b, x, y: b.add(x, y))
_operator(operator.sub, _SAME + _NUMBER, lambda b, x, y: b.sub(x, y))
_operator(operator.mul, _NUMBER, lambda b, x, y: b.mul(x, y))
_operator(operator.rshift, _NUMBER, lambda b, x, y: b.lshr(x, y))
_operator(operator.lshift, _NUMBER, lambda b, x, y: b.shl(x, y))


def _place(context: Any, builder: ir.IRBuilder, vector: Any, array: Any, start: Any) -> Any:
    data = context.make_array(_ARRAYS[vector.bits])(context, builder, array).data
    return builder.bitcast(builder.gep(data, [start]), vector.kind.as_pointer())


@_intrinsic
def load(typingctx, array, start):
    """`array[start : start + 64]` of a flat uint8 or uint16 array."""
    vector = _VECTORS[array.dtype.bitwidth]

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.load(_place(context, builder, vector, *values), align=vector.bits // 8)

    return vector(_ARRAYS[vector.bits], types.int64), emit


@_intrinsic
def store(typingctx, array, start, lanes):
    """`array[start : start + 64] = lanes` of a flat array of their type."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        place = _place(context, builder, lanes, values[0], values[1])
        builder.store(values[2], place, align=lanes.bits // 8)
        return context.get_dummy_value()

    return types.none(_ARRAYS[lanes.bits], types.int64, lanes), emit


@_intrinsic
def spread(typingctx, number):
    """A byte in every lane."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return _spread(builder, values[0], _BYTES)

    return _BYTES(number), emit


@_intrinsic
def spread_wide(typingctx, number):
    """A 16-bit number in every lane."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return _spread(builder, values[0], _SHORTS)

    return _SHORTS(types.int64), emit


@_intrinsic
def lane_numbers(typingctx, start):
    """start, start + 1, ..., 16 bits each."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        steps = ir.Constant(_SHORTS.kind, list(range(LANES)))
        return builder.add(_spread(builder, values[0], _SHORTS), steps)

    return _SHORTS(types.int64), emit


def _smaller(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_unsigned("<", a, b), a, b)


@_intrinsic
def minimum(typingctx, a, b):
    """The smaller, lane by lane."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return _smaller(builder, *values)

    return a(a, a), emit


@_intrinsic
def add_capped(typingctx, a, b):
    """min(a + b, 255) of bytes."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        kind = ir.FunctionType(_BYTES.kind, [_BYTES.kind] * 2)
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, f"llvm.uadd.sat.v{LANES}i8"), values
        )

    return _BYTES(_BYTES, _BYTES), emit


@_intrinsic
def apart(typingctx, a, b):
    """|a - b| of bytes."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        smaller = _smaller(builder, *values)
        larger = builder.select(builder.icmp_unsigned("<", *values), values[1], values[0])
        return builder.sub(larger, smaller)

    return _BYTES(_BYTES, _BYTES), emit


@_intrinsic
def ones(typingctx, a):
    """How many bits of each byte are set."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        kind = ir.FunctionType(_BYTES.kind, [_BYTES.kind])
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, f"llvm.ctpop.v{LANES}i8"), values
        )

    return _BYTES(_BYTES), emit


@_intrinsic
def widen(typingctx, a):
    """Bytes as 16-bit numbers."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.zext(values[0], _SHORTS.kind)

    return _SHORTS(_BYTES), emit


@_intrinsic
def narrow(typingctx, a):
    """The lower bytes of 16-bit numbers."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.trunc(values[0], _BYTES.kind)

    return _BYTES(_SHORTS), emit


@_intrinsic
def where_at_most(typingctx, a, b, yes, no):
    """`yes` where a <= b, else `no`."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        a, b, yes, no = values
        return builder.select(builder.icmp_unsigned("<=", a, b), yes, no)

    return yes(a, a, yes, yes), emit


@_intrinsic
def lane_before(typingctx, previous, a):
    """The lane one lower of each; of the first the last one of `previous`."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        order = ir.Constant(_ORDER, [LANES - 1 + i for i in range(LANES)])
        return builder.shuffle_vector(values[0], values[1], order)

    return a(a, a), emit


@_intrinsic
def lane_after(typingctx, a, following):
    """The lane one higher of each; of the last the first one of `following`."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        order = ir.Constant(_ORDER, [1 + i for i in range(LANES)])
        return builder.shuffle_vector(values[0], values[1], order)

    return a(a, a), emit


@_intrinsic
def smallest(typingctx, a):
    """The smallest of all lanes."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        kind = ir.FunctionType(a.kind.element, [a.kind])
        name = f"llvm.vector.reduce.umin.v{LANES}i{a.bits}"
        lowest = builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)
        return builder.zext(lowest, _I64)

    return types.int64(a), emit


@_intrinsic
def first_equal(typingctx, a, number):
    """The first lane that holds the number; 64 if none does."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        equal = builder.icmp_unsigned("==", values[0], _spread(builder, values[1], a))
        return builder.cttz(builder.bitcast(equal, _I64), ir.Constant(ir.IntType(1), 0))

    return types.int64(a, types.int64), emit
