"""Sixteen pixels of the red-black relaxation in vector instructions, for kernels.

    (u, v) += omega (M (b + sum_n w_n (u_n, v_n)) - (u, v)),   n over the four neighbours

M is the inverse of the pixel's 2 x 2 block. All values lie in one flat float32 buffer of nine planes, each of `stride`
floats: u, v, M11, M12, M22, b1, b2, weight of the edge to the right, weight of the edge below. The pixels of one colour
of a row are neighbours in memory. It is spelled in LLVM's vector types, since a loop over so many arrays is
more than numba's vectoriser takes on.

Arguments are flat arrays and places in them; nothing is checked against their ends. Used through geo3d.util.jit.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 16
PLANES = 9

_FLOATS = types.Array(types.float32, 1, "C")
_INDEX, _FLOAT = ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_FUSED = ("contract",)


def relax_reference(
    buffer: np.ndarray, here: int, beside: int, above: int, below: int, shift: int, stride: int, omega: float
) -> None:
    """The same in NumPy: LANES pixels at `here`, changed in place."""
    planes = buffer.reshape(PLANES, stride)
    u, v, m11, m12, m22, b1, b2, right, down = (plane[here : here + LANES] for plane in planes)
    flow = planes[:2]

    def at(plane: np.ndarray, place: int) -> np.ndarray:
        return plane[place : place + LANES]

    left = at(planes[7], beside + shift - 1)
    up = at(planes[8], above)
    sums = [
        b
        + right * at(w, beside + shift)
        + left * at(w, beside + shift - 1)
        + down * at(w, below)
        + up * at(w, above)
        for w, b in zip(flow, (b1, b2))
    ]
    u += omega * (m11 * sums[0] + m12 * sums[1] - u)
    v += omega * (m12 * sums[0] + m22 * sums[1] - v)


def _codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    buffer, here, beside, above, below, shift, stride, omega = arguments
    data = context.make_array(_FLOATS)(context, builder, buffer).data

    def place(plane: int, index: Any) -> Any:
        offset = builder.add(builder.mul(stride, _INDEX(plane)), index)
        return builder.bitcast(builder.gep(data, [offset]), _VECTOR.as_pointer())

    def load(plane: int, index: Any) -> Any:
        return builder.load(place(plane, index), align=4)

    def times(a: Any, b: Any) -> Any:
        return builder.fmul(a, b, flags=_FUSED)  # pyright: ignore[reportCallIssue]

    def plus(total: Any, a: Any, b: Any) -> Any:
        return builder.fadd(total, times(a, b), flags=_FUSED)  # pyright: ignore[reportCallIssue]

    right_at = builder.add(beside, shift)
    left_at = builder.sub(right_at, _INDEX(1))
    edges = [
        (load(7, here), right_at),
        (load(7, left_at), left_at),
        (load(8, here), below),
        (load(8, above), above),
    ]
    sums = []
    for component in range(2):
        total = load(5 + component, here)
        for weight, at in edges:
            total = plus(total, weight, load(component, at))
        sums.append(total)
    blocks = [load(plane, here) for plane in (2, 3, 4)]
    lane = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), omega, ir.Constant(ir.IntType(32), 0))
    step = builder.shuffle_vector(
        lane,
        ir.Constant(_VECTOR, ir.Undefined),
        ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES),
    )
    for component in range(2):
        old = load(component, here)
        new = plus(times(blocks[component], sums[0]), blocks[component + 1], sums[1])
        change = builder.fsub(new, old)
        builder.store(plus(old, step, change), place(component, here), align=4)
    return context.get_dummy_value()


def _typing(typingctx, buffer, here, beside, above, below, shift, stride, omega):
    i = types.int64
    return types.none(_FLOATS, i, i, i, i, i, i, types.float32), _codegen


relax: Any = intrinsic(_typing)
"""relax(buffer, here, beside, above, below, shift, stride, omega), as `relax_reference`."""
