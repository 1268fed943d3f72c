"""Sixteen int32 at a time, beside the float32 of `geo3d.util.lanes`: cells, hashes, and what lies at their indices.

    integers(a)                       lanes to integers, towards zero
    reals(i)                          integers to lanes
    i + j, i * j, i ^ j, i & j        lane by lane, modulo 2^32; an int stands for sixteen of its lowest 32 bits
    load_pairs(array, start, i)       array[start + 2 i] and its neighbour, of a flat float32 array: two lanes
    add_pairs(array, start, i, a, b)  adds a and b there, lane after lane, so that lanes with one index all count
    load_points(array, start)         x, y, z of array[start : start + 48], sixteen points of three numbers
    store_points(array, start, x, y, z)

Indices are taken as unsigned. Nothing is checked against the arrays' ends. Used through geo3d.util.jit.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import extending
from numba.core import types
from numba.core.datamodel import models
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature

from geo3d.util.lanes import FLAT, LANES, LANES_TYPE

# Their decorators' annotations hide what they return.
_intrinsic: Any = extending.intrinsic
_infer: Any = infer_global

_F32, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_F32, LANES)
_VECTOR_I = ir.VectorType(_I32, LANES)
_PAIR = ir.VectorType(_F32, 2)


class _Integers(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes16i")


_INTEGERS = _Integers()


@extending.register_model(_Integers)
class _IntegersModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR_I)


def _lanes_of(builder: ir.IRBuilder, value: Any) -> Any:
    """An int64 in every lane, cut to 32 bits; a vector as it is."""
    if value.type != _I64:
        return value
    undefined = ir.Constant(_VECTOR_I, ir.Undefined)
    first = builder.insert_element(undefined, builder.trunc(value, _I32), ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_VECTOR_I, [0] * LANES))


def _operator(function: Any, emit: Any) -> None:
    class Template(ConcreteTemplate):
        cases = [  # noqa: RUF012
            signature(_INTEGERS, _INTEGERS, _INTEGERS),
            signature(_INTEGERS, _INTEGERS, types.int64),
        ]

    _infer(function)(Template)

    def lower(context: Any, builder: ir.IRBuilder, sig: Any, values: Any) -> Any:
        return emit(builder, _lanes_of(builder, values[0]), _lanes_of(builder, values[1]))

    for case in Template.cases:
        extending.lower_builtin(function, *case.args)(lower)


_operator(operator.add, lambda b, x, y: b.add(x, y))
_operator(operator.mul, lambda b, x, y: b.mul(x, y))
_operator(operator.xor, lambda b, x, y: b.xor(x, y))
_operator(operator.and_, lambda b, x, y: b.and_(x, y))


@_intrinsic
def integers(typingctx, a):
    """Lanes to integers, towards zero."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.fptosi(values[0], _VECTOR_I)

    return _INTEGERS(LANES_TYPE), emit


@_intrinsic
def reals(typingctx, i):
    """Integers to lanes."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.sitofp(values[0], _VECTOR)

    return LANES_TYPE(_INTEGERS), emit


def _pair_places(context: Any, builder: Any, array: Any, start: Any, index: Any) -> list:
    """Where each lane's pair lies."""
    data = context.make_array(FLAT)(context, builder, array).data
    pairs = builder.bitcast(builder.gep(data, [start]), _PAIR.as_pointer())
    rows = [builder.zext(builder.extract_element(index, ir.Constant(_I32, k)), _I64) for k in range(LANES)]
    return [builder.gep(pairs, [row]) for row in rows]


def _shuffled(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(lanes)), lanes))


def _concatenated(builder: Any, parts: list) -> list:
    """Neighbours side by side in vectors of twice the length."""
    n = parts[0].type.count
    return [_shuffled(builder, parts[k], parts[k + 1], list(range(2 * n))) for k in range(0, len(parts), 2)]


@_intrinsic
def load_pairs(typingctx, array, start, index):
    """`array[start + 2 index]` and `array[start + 2 index + 1]` of a flat float32 array."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        parts = [builder.load(place, align=4) for place in _pair_places(context, builder, *values)]
        while len(parts) > 2:
            parts = _concatenated(builder, parts)
        even = _shuffled(builder, parts[0], parts[1], list(range(0, 2 * LANES, 2)))
        odd = _shuffled(builder, parts[0], parts[1], list(range(1, 2 * LANES, 2)))
        return context.make_tuple(builder, sig.return_type, [even, odd])

    return types.UniTuple(LANES_TYPE, 2)(FLAT, types.int64, _INTEGERS), emit


@_intrinsic
def add_pairs(typingctx, array, start, index, a, b):
    """Add `a` and `b` to `array[start + 2 index]` and its neighbour, lane after lane."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        places = _pair_places(context, builder, *values[:3])
        for k, place in enumerate(places):
            pair = _shuffled(builder, values[3], values[4], [k, LANES + k])
            builder.store(builder.fadd(builder.load(place, align=4), pair), place, align=4)
        return context.get_dummy_value()

    return types.none(FLAT, types.int64, _INTEGERS, LANES_TYPE, LANES_TYPE), emit


@_intrinsic
def load_points(typingctx, array, start):
    """x, y and z of sixteen points that lie one after another in a flat float32 array."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        data = context.make_array(FLAT)(context, builder, values[0]).data
        kind = ir.VectorType(_F32, 3 * LANES)
        place = builder.bitcast(builder.gep(data, [values[1]]), kind.as_pointer())
        numbers = builder.load(place, align=4)
        axes = [_shuffled(builder, numbers, numbers, list(range(axis, 3 * LANES, 3))) for axis in range(3)]
        return context.make_tuple(builder, sig.return_type, axes)

    return types.UniTuple(LANES_TYPE, 3)(FLAT, types.int64), emit


@_intrinsic
def store_points(typingctx, array, start, x, y, z):
    """Sixteen points one after another into a flat float32 array."""

    def emit(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        data = context.make_array(FLAT)(context, builder, values[0]).data
        kind = ir.VectorType(_F32, 3 * LANES)
        place = builder.bitcast(builder.gep(data, [values[1]]), kind.as_pointer())
        pairs = _shuffled(builder, values[2], values[3], list(range(2 * LANES)))
        rest = _shuffled(builder, values[4], values[4], list(range(2 * LANES)))
        lanes = [axis * LANES + k for k in range(LANES) for axis in range(3)]
        builder.store(_shuffled(builder, pairs, rest, lanes), place, align=4)
        return context.get_dummy_value()

    return types.none(FLAT, types.int64, LANES_TYPE, LANES_TYPE, LANES_TYPE), emit
