"""The two small networks of the hash-grid field, forward and backward, for blocks of samples that stay in the cache.

    z = density_1^T relu(density_0^T e);  density = exp(min(z_0, 15))
    color = sigmoid(color_2^T relu(color_1^T relu(color_0^T [z, Y(direction), appearance])))

A thread takes BLOCK samples at a time. Their activations, a row a sample, lie in its scratch; each product is made of
tiles in registers (`geo3d.util.lane_tiles`). The way back computes a block's activations again, which costs less than
to write and read those of all samples. Then each layer's gradient overwrites its activations:

    d weights += inputs^T d outputs;  d inputs = d outputs weights^T, where the inputs are positive

The samples are cut into SLICES parts, by their number alone. Each sums the gradients by the weights for itself, and the
parts are added in their order: the result does not depend on the threads.

Every width is padded to a multiple of 16 by weights of 0. Features stand feature by feature, `stride` numbers each, a
multiple of BLOCK; samples beyond the last hold anything finite and have gradients of 0.
"""

from typing import NamedTuple

import numpy as np

from geo3d.nerf.field_parameters import DENSITY_LIMIT, FEATURES, FieldParameters, FieldShape
from geo3d.util.jit import njit
from geo3d.util.lane_integers import load_points
from geo3d.util.lane_tiles import (
    ADD,
    GATE,
    NARROW,
    OUTER,
    OUTER_NARROW,
    RELU,
    SET,
    WIDE,
    products,
    transpose,
)
from geo3d.util.lanes import exp2, load, minimum, next_item, select, spread, store

f4 = np.float32

BLOCK = 96  # samples; two of its hidden layers fill the fastest cache, all of them half of the next
SLICES = 32

_LOG2_E = f4(1.4426950408889634)
_LIMIT = f4(DENSITY_LIMIT)

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_INLINE = {**_OPTIONS, "forceinline": True}


class Layout(NamedTuple):
    """Padded widths, and where each matrix begins among the packed weights."""

    encoded: int
    width: int
    outputs: int  # of the density network
    harmonics: int
    inputs: int  # of the colour network: outputs, harmonics, appearance
    degree: int  # of the harmonics
    features: int  # of the grid, not padded
    density_0: int
    density_1: int
    color_0: int
    color_1: int
    color_2: int
    total: int


def _padded(count: int) -> int:
    return -(-count // 16) * 16


def network_layout(shape: FieldShape) -> Layout:
    """The layout of the networks of `shape`."""
    features, width = FEATURES * shape.levels, shape.width
    encoded, outputs, harmonics = _padded(features), _padded(shape.outputs), _padded(shape.harmonics)
    inputs = outputs + harmonics + _padded(shape.appearance)
    sizes = encoded * width, width * outputs, inputs * width, width * width, width * 16
    starts = np.cumsum([0, *sizes]).tolist()
    return Layout(encoded, width, outputs, harmonics, inputs, shape.sh_degree, features, *starts)


def network_views(layout: Layout, packed: np.ndarray, shape: FieldShape) -> dict[str, tuple]:
    """Of each network's array: the parts of `packed` (total,) that hold its rows, with the first row of each.

    Parameters
    ----------
    layout : Layout
    packed : (total,) array
    shape : FieldShape

    Returns
    -------
    dict of str to tuple of (int, array)
    """

    def part(start: int, rows: int, columns: int) -> np.ndarray:
        return packed[start : start + rows * columns].reshape(rows, columns)

    width = layout.width
    inputs = part(layout.color_0, layout.inputs, width)
    appearance = layout.outputs + layout.harmonics
    first = shape.outputs + shape.harmonics
    return {
        "density_0": ((0, part(0, layout.encoded, width)[: layout.features]),),
        "density_1": ((0, part(layout.density_1, width, layout.outputs)[:, : shape.outputs]),),
        "color_0": (
            (0, inputs[: shape.outputs]),
            (shape.outputs, inputs[layout.outputs : layout.outputs + shape.harmonics]),
            (first, inputs[appearance : appearance + shape.appearance]),
        ),
        "color_1": ((0, part(layout.color_1, width, width)),),
        "color_2": ((0, part(layout.color_2, width, 16)[:, :3]),),
    }


def _layer(end):
    """A kernel: c (BLOCK, n) from a (BLOCK, k) and w (k, n; its rows `w_row` apart), finished as `end` says."""

    @njit(**_INLINE)
    def layer(a, a_at, a_row, w, w_at, w_row, k, n, c, c_at, c_row):
        wide = n - n % 64
        for j in range(0, wide, 64):
            for r in range(0, BLOCK, WIDE // 256):
                products(
                    a,
                    a_at + r * a_row,
                    a_row,
                    1,
                    w,
                    w_at + j,
                    w_row,
                    c,
                    c_at + r * c_row + j,
                    c_row,
                    k,
                    WIDE,
                    end,
                )
        for j in range(wide, n, 16):
            for r in range(0, BLOCK, NARROW // 256):
                products(
                    a,
                    a_at + r * a_row,
                    a_row,
                    1,
                    w,
                    w_at + j,
                    w_row,
                    c,
                    c_at + r * c_row + j,
                    c_row,
                    k,
                    NARROW,
                    end,
                )

    return layer


_set, _relu, _gate = _layer(SET), _layer(RELU), _layer(GATE)


@njit(**_INLINE)
def _add_outer(a, a_at, k, b, b_at, n, gradient, at):
    """gradient[at:] (k, n) += a^T b, of a (BLOCK, k) and b (BLOCK, n)."""
    wide = n - n % 64
    for j in range(0, wide, 64):
        for r in range(0, k, OUTER // 256):
            products(a, a_at + r, 1, k, b, b_at + j, n, gradient, at + r * n + j, n, BLOCK, OUTER, ADD)
    for j in range(wide, n, 16):
        for r in range(0, k, OUTER_NARROW // 256):
            products(a, a_at + r, 1, k, b, b_at + j, n, gradient, at + r * n + j, n, BLOCK, OUTER_NARROW, ADD)


@njit(**_INLINE)
def _copy(a, out, start, count):
    for k in range(0, count, 16):
        store(out, start + k, load(a, k))


@njit(**_INLINE)
def _exp(a):
    """e^a, held to what float32 has."""
    power = minimum(a * _LOG2_E, f4(126))
    return exp2(select(power > f4(-125), power, f4(-125)))


@njit(**_OPTIONS)
def _harmonics(x, y, z, degree, out):
    """Sixteen rows, Y_0 to Y_15 at the directions of the lanes; 0 above `degree`."""
    two, three, four, zero = f4(2), f4(3), f4(4), spread(f4(0))
    store(out, 0, spread(f4(0.28209479177387814)))
    for k in range(1, 16):
        store(out, 16 * k, zero)
    if degree > 0:
        c1 = f4(0.4886025119029199)
        store(out, 16, y * -c1)
        store(out, 32, z * c1)
        store(out, 48, x * -c1)
    if degree > 1:
        xx, yy, zz = x * x, y * y, z * z
        c2 = f4(1.0925484305920792)
        store(out, 64, c2 * x * y)
        store(out, 80, y * z * -c2)
        store(out, 96, f4(0.31539156525252005) * (two * zz - xx - yy))
        store(out, 112, x * z * -c2)
        store(out, 128, f4(0.5462742152960396) * (xx - yy))
        if degree > 2:
            a, b, c = f4(-0.5900435899266435), f4(2.890611442640554), f4(-0.4570457994644658)
            store(out, 144, a * y * (three * xx - yy))
            store(out, 160, b * x * y * z)
            store(out, 176, c * y * (four * zz - xx - yy))
            store(out, 192, f4(0.3731763325901154) * z * (two * zz - three * xx - three * yy))
            store(out, 208, c * x * (four * zz - xx - yy))
            store(out, 224, f4(1.445305721320277) * z * (xx - yy))
            store(out, 240, a * x * (xx - three * yy))


class Scratch(NamedTuple):
    """A thread's own arrays, BLOCK rows each."""

    features: np.ndarray  # encoded, then their gradient
    density_hidden: np.ndarray
    inputs: np.ndarray  # of the colour network
    first: np.ndarray  # hidden layers of the colour network
    second: np.ndarray
    raw: np.ndarray  # (BLOCK, 16) colours before the sigmoid, then their gradient
    density: np.ndarray  # (BLOCK,)
    color: np.ndarray  # (BLOCK, 3)
    square: np.ndarray  # (16, 16)


def scratch_sizes(layout: Layout) -> tuple[int, ...]:
    """How many numbers each array of a Scratch has, by `layout`."""
    width = layout.width
    rows = layout.encoded, width, layout.inputs, width, width, 16, 1, 3
    return (*(BLOCK * count for count in rows), 256)


@njit(**_INLINE)
def _density_block(layout, weights, features, stride, first, s):
    """The density network of the block from sample `first` on; its outputs go to the colour network's inputs."""
    width = layout.width
    for k in range(0, layout.encoded, 16):
        if k + 16 <= layout.features:
            for r in range(0, BLOCK, 16):
                transpose(
                    features,
                    k * stride + first + r,
                    stride,
                    s.features,
                    r * layout.encoded + k,
                    layout.encoded,
                )
        else:
            for r in range(BLOCK):
                for j in range(k, k + 16):
                    inside = j < layout.features
                    s.features[r * layout.encoded + j] = features[j * stride + first + r] if inside else f4(0)
    _relu(s.features, 0, layout.encoded, weights, 0, width, layout.encoded, width, s.density_hidden, 0, width)
    _set(
        s.density_hidden, 0, width, weights, layout.density_1, layout.outputs, width, layout.outputs, s.inputs, 0,
        layout.inputs,
    )  # fmt: skip
    for r in range(BLOCK):
        s.density[r] = s.inputs[r * layout.inputs]
    for r in range(0, BLOCK, 16):
        store(s.density, r, _exp(minimum(load(s.density, r), _LIMIT)))


@njit(**_OPTIONS)
def _forward_block(layout, weights, features, stride, directions, rows, table, first, s):
    """Density and colour of the block from sample `first` on, and all activations, in the scratch."""
    width = layout.width
    _density_block(layout, weights, features, stride, first, s)
    for r in range(0, BLOCK, 16):
        x, y, z = load_points(directions, 3 * (first + r))
        _harmonics(x, y, z, layout.degree, s.square)
        transpose(s.square, 0, 16, s.inputs, r * layout.inputs + layout.outputs, layout.inputs)
    own = layout.outputs + layout.harmonics
    if own < layout.inputs:
        for r in range(BLOCK):
            row = rows[first + r]
            for k in range(layout.inputs - own):
                s.inputs[r * layout.inputs + own + k] = table[row, k]
    _relu(s.inputs, 0, layout.inputs, weights, layout.color_0, width, layout.inputs, width, s.first, 0, width)
    _relu(s.first, 0, width, weights, layout.color_1, width, width, width, s.second, 0, width)
    _set(s.second, 0, width, weights, layout.color_2, 16, width, 16, s.raw, 0, 16)
    for r in range(BLOCK):
        for c in range(3):
            s.color[3 * r + c] = s.raw[16 * r + c]
    for k in range(0, 3 * BLOCK, 16):
        store(s.color, k, f4(1) / (_exp(load(s.color, k) * f4(-1)) + f4(1)))


@njit(**_OPTIONS)
def network_density(counter, layout, weights, features, stride, density, scratch):
    """Density (stride,) of all blocks."""
    block = next_item(counter)
    while block * BLOCK < stride:
        first = block * BLOCK
        _density_block(layout, weights, features, stride, first, scratch)
        _copy(scratch.density, density, first, BLOCK)
        block = next_item(counter)


@njit(**_OPTIONS)
def network_forward(
    counter, layout, weights, features, stride, directions, rows, table, density, color, scratch
):  # fmt: skip
    """Density (stride,) and colour (3 * stride,) of all blocks.

    `rows` (stride,) int32 are those of `table`, the padded appearance; both are not looked at without one.
    """
    block = next_item(counter)
    while block * BLOCK < stride:
        first = block * BLOCK
        _forward_block(layout, weights, features, stride, directions, rows, table, first, scratch)
        _copy(scratch.density, density, first, BLOCK)
        _copy(scratch.color, color, 3 * first, 3 * BLOCK)
        block = next_item(counter)


@njit(**_OPTIONS)
def _backward_block(layout, transposed, d_density, d_color, gradient, at, s):
    """From a block's activations to the gradients by its inputs, in their places; those by the weights are added."""
    width, inputs, outputs = layout.width, layout.inputs, layout.outputs
    for k in range(3 * BLOCK):
        c = s.color[k]
        s.color[k] = d_color[k] * c * (f4(1) - c)
    for r in range(BLOCK):
        for c in range(3):
            s.raw[16 * r + c] = s.color[3 * r + c]
    _add_outer(s.second, 0, width, s.raw, 0, 16, gradient, at + layout.color_2)
    _gate(s.raw, 0, 16, transposed, layout.color_2, width, 3, width, s.second, 0, width)
    _add_outer(s.first, 0, width, s.second, 0, width, gradient, at + layout.color_1)
    _gate(s.second, 0, width, transposed, layout.color_1, width, width, width, s.first, 0, width)
    _add_outer(s.inputs, 0, inputs, s.first, 0, width, gradient, at + layout.color_0)
    _set(s.first, 0, width, transposed, layout.color_0, inputs, width, outputs, s.inputs, 0, inputs)
    own = outputs + layout.harmonics
    _set(
        s.first,
        0,
        width,
        transposed,
        layout.color_0 + own,
        inputs,
        width,
        inputs - own,
        s.inputs,
        own,
        inputs,
    )
    for r in range(BLOCK):
        s.inputs[r * inputs] += d_density[r] * s.density[r]
    _back_through_density(layout, transposed, gradient, at, s)


@njit(**_INLINE)
def _back_through_density(layout, transposed, gradient, at, s):
    """From the gradient by the density network's outputs, in the first columns of the inputs, to its features."""
    width, encoded = layout.width, layout.encoded
    outputs = layout.outputs
    for r in range(BLOCK):  # the outer product takes rows without gaps
        for k in range(0, outputs, 16):
            store(s.first, r * outputs + k, load(s.inputs, r * layout.inputs + k))
    _add_outer(s.density_hidden, 0, width, s.first, 0, outputs, gradient, at + layout.density_1)
    _gate(
        s.first, 0, outputs, transposed, layout.density_1, width, outputs, width, s.density_hidden, 0, width
    )
    _add_outer(s.features, 0, encoded, s.density_hidden, 0, width, gradient, at)
    _set(s.density_hidden, 0, width, transposed, 0, encoded, width, encoded, s.features, 0, encoded)


@njit(**_OPTIONS)
def network_backward(
    counter, layout, weights, transposed, features, stride, directions, rows, table, d_density, d_color, gradients,
    d_features, d_table, scratch,
):  # fmt: skip
    """Gradients of all slices.

    `d_density` (stride,), `d_color` (3 * stride,). Set: `gradients` (SLICES * total,) by the weights, `d_features`
    (features * stride,), which may be the features themselves, and `d_table` (stride * padded appearance,), each
    sample's by its row of `table`.
    """
    blocks = stride // BLOCK
    encoded, own = layout.encoded, layout.outputs + layout.harmonics
    part = next_item(counter)
    while part < SLICES:
        at = part * layout.total
        gradients[at : at + layout.total] = f4(0)
        for block in range(blocks * part // SLICES, blocks * (part + 1) // SLICES):
            first = block * BLOCK
            s = scratch
            _forward_block(layout, weights, features, stride, directions, rows, table, first, s)
            _backward_block(
                layout, transposed, d_density[first : first + BLOCK], d_color[3 * first : 3 * (first + BLOCK)],
                gradients, at, s,
            )  # fmt: skip
            for r in range(0, BLOCK, 16):
                for k in range(0, layout.features, 16):
                    transpose(s.features, r * encoded + k, encoded, s.square, 0, 16)
                    for j in range(min(16, layout.features - k)):
                        store(d_features, (k + j) * stride + first + r, load(s.square, 16 * j))
            width = layout.inputs - own
            for r in range(BLOCK):
                for k in range(width):
                    d_table[(first + r) * width + k] = s.inputs[r * layout.inputs + own + k]
        part = next_item(counter)


def pack_networks(
    shape: FieldShape, parameters: FieldParameters, packed: np.ndarray, transposed: np.ndarray
) -> None:
    """Fill `packed` and `transposed` (total,) from `parameters` of `shape`; what is padding is left alone."""
    layout = network_layout(shape)
    for name, parts in network_views(layout, packed, shape).items():
        for first, rows in parts:
            rows[:] = parameters[name][first : first + len(rows)]
    rows = layout.encoded, layout.width, layout.inputs, layout.width, layout.width
    columns = layout.width, layout.outputs, layout.width, layout.width, 16
    start = 0
    for k, n in zip(rows, columns):
        part = slice(start, start + k * n)
        transposed[part].reshape(n, k)[:] = packed[part].reshape(k, n).T
        start += k * n


@njit(**_OPTIONS)
def add_rows(rows, values, sums):
    """sums[rows[i]] += values[i], of flat `values` as wide as `sums`."""
    width = sums.shape[1]
    for i in range(rows.shape[0]):
        for k in range(width):
            sums[rows[i], k] += values[i * width + k]
