"""The two small networks of the hash-grid field, forward and backward, for blocks of samples that stay in the cache.

    z = density_1^T relu(density_0^T e);  density = exp(min(z_0, 15))
    color = sigmoid(color_2^T relu(color_1^T relu(color_0^T [z, Y(direction), appearance])))

A thread takes BLOCK samples at a time. Their activations, a row a sample, lie in its scratch; each product is made of
tiles in registers (`geo3d.util.lane_tiles`). The way back computes a block's activations again, which costs little
more than to write and read those of all samples and takes no memory. Then each layer's gradient overwrites what it was
computed from:

    d weights += inputs^T d outputs;  d inputs = d outputs weights^T, where the inputs are positive

The samples are cut into SLICES parts, by their number alone. Each sums the gradients by the weights for itself, and the
parts are added in their order: the result does not depend on the threads.

The weights are packed as network_layout says, every width padded to a multiple of 16 by weights of 0. Features stand
feature by feature, `stride` numbers each, a multiple of BLOCK; samples beyond the last hold anything finite and have
gradients of 0.
"""

from typing import NamedTuple

import numpy as np

from geo3d.nerf.field_parameters import DENSITY_LIMIT
from geo3d.nerf.network_layout import Layout
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
    THREE,
    THREE_NARROW,
    WIDE,
    products,
    transpose,
)
from geo3d.util.lanes import exp2, load, minimum, next_item, select, spread, store, totals

f4 = np.float32

BLOCK = 96  # samples; two of its hidden layers fill the fastest cache, all of them half of the next
SLICES = 32

_LOG2_E = f4(1.4426950408889634)
_LIMIT = f4(DENSITY_LIMIT)
_PANEL = WIDE % 256 * 16  # columns of a wide tile

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_INLINE = {**_OPTIONS, "forceinline": True}


def _layer(end):
    """A kernel: c (BLOCK, n) from a (BLOCK, k) and w (k, n; its rows `w_row` apart), finished as `end` says."""

    @njit(**_OPTIONS)
    def layer(a, a_at, a_row, w, w_at, w_row, k, n, c, c_at, c_row):
        wide = n - n % _PANEL
        for j in range(0, wide, _PANEL):
            for r in range(0, BLOCK, WIDE // 256):
                x, y = a_at + r * a_row, c_at + r * c_row + j
                products(a, x, a_row, 1, w, w_at + j, w_row, c, y, c_row, k, WIDE, end)
        for j in range(wide, n, 16):
            for r in range(0, BLOCK, NARROW // 256):
                x, y = a_at + r * a_row, c_at + r * c_row + j
                products(a, x, a_row, 1, w, w_at + j, w_row, c, y, c_row, k, NARROW, end)

    return layer


_set, _relu, _gate = _layer(SET), _layer(RELU), _layer(GATE)


def _outer(tile, narrow):
    """A kernel: gradient[at:] (k, n) += a^T b, of a (BLOCK, k) and b (BLOCK, n)."""

    @njit(**_OPTIONS)
    def add_outer(a, k, b, n, gradient, at):
        wide = n - n % _PANEL
        for j in range(0, wide, _PANEL):
            for r in range(0, k, tile // 256):
                products(a, r, 1, k, b, j, n, gradient, at + r * n + j, n, BLOCK, tile, ADD)
        for j in range(wide, n, 16):
            for r in range(0, k, narrow // 256):
                products(a, r, 1, k, b, j, n, gradient, at + r * n + j, n, BLOCK, narrow, ADD)

    return add_outer


_add_outer, _add_outer_3 = _outer(OUTER, OUTER_NARROW), _outer(THREE, THREE_NARROW)


@njit(**_INLINE)
def _copy(a, out, start, count):
    for k in range(0, count, 16):
        store(out, start + k, load(a, k))


@njit(**_INLINE)
def _exp(a):
    """e^a, held to what float32 has; NaN stays NaN, so that a field that has broken is seen to."""
    power = a * _LOG2_E
    held = minimum(power, f4(126))
    held = select(held > f4(-125), held, f4(-125))
    return select(power >= f4(-np.inf), exp2(held), power)


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
    first: (
        np.ndarray
    )  # hidden layers of the colour network; later the gradient by the density network's outputs
    second: np.ndarray
    density: np.ndarray  # (BLOCK,)
    color: np.ndarray  # (BLOCK, 3), then the gradient before the sigmoid, and 16 more
    square: np.ndarray  # (16, 16)


def scratch_sizes(layout: Layout) -> tuple[int, ...]:
    """How many numbers each array of a Scratch has, by `layout`."""
    width = layout.width
    rows = layout.encoded, width, layout.inputs, max(width, layout.outputs), width, 1
    return (*(BLOCK * count for count in rows), 3 * BLOCK + 16, 256)


@njit(**_INLINE)
def _density_block(layout, weights, features, stride, first, s):
    """The density network of the block from sample `first` on; its outputs go to the colour network's inputs."""
    width = layout.width
    for k in range(0, layout.encoded, 16):
        if k + 16 <= layout.features:
            for r in range(0, BLOCK, 16):
                at = r * layout.encoded + k
                transpose(features, k * stride + first + r, stride, s.features, at, layout.encoded)
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
        store(s.density, r, _exp(select(load(s.density, r) > _LIMIT, spread(_LIMIT), load(s.density, r))))


@njit(**_INLINE)
def _raw_colors(weights, at, width, s):
    """Colours before the sigmoid, of two samples at a time: six scalar products of a hidden layer with the weights."""
    for r in range(0, BLOCK, 2):
        a = spread(f4(0))
        sums = a, a, a, a, a, a
        for k in range(0, width, 16):
            x, y = load(s.second, r * width + k), load(s.second, (r + 1) * width + k)
            red, green = load(weights, at + k), load(weights, at + width + k)
            blue = load(weights, at + 2 * width + k)
            sums = (
                sums[0] + x * red, sums[1] + x * green, sums[2] + x * blue,
                sums[3] + y * red, sums[4] + y * green, sums[5] + y * blue,
            )  # fmt: skip
        # What is written beyond the six is written over by the next, or is the room behind the last.
        store(s.color, 3 * r, totals(*sums, a, a))


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
    _raw_colors(weights, layout.color_2, width, s)
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
def _backward_block(layout, weights, transposed, d_density, d_color, gradient, at, s):
    """From a block's activations to the gradients by its inputs, in their places; those by the weights are added."""
    width, inputs, outputs = layout.width, layout.inputs, layout.outputs
    for k in range(3 * BLOCK):
        c = s.color[k]
        s.color[k] = d_color[k] * c * (f4(1) - c)
    _add_outer_3(s.color, 3, s.second, width, gradient, at + layout.color_2)
    _gate(s.color, 0, 3, weights, layout.color_2, width, 3, width, s.second, 0, width)
    _add_outer(s.first, width, s.second, width, gradient, at + layout.color_1)
    _gate(s.second, 0, width, transposed, layout.color_1, width, width, width, s.first, 0, width)
    _add_outer(s.inputs, inputs, s.first, width, gradient, at + layout.color_0)
    _set(s.first, 0, width, transposed, layout.color_0, inputs, width, outputs, s.inputs, 0, inputs)
    own = outputs + layout.harmonics
    at_own = layout.color_0 + own
    _set(s.first, 0, width, transposed, at_own, inputs, width, inputs - own, s.inputs, own, inputs)
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
    _add_outer(s.density_hidden, width, s.first, outputs, gradient, at + layout.density_1)
    _gate(
        s.first, 0, outputs, transposed, layout.density_1, width, outputs, width, s.density_hidden, 0, width
    )
    _add_outer(s.features, encoded, s.density_hidden, width, gradient, at)
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
                layout, weights, transposed, d_density[first : first + BLOCK], d_color[3 * first : 3 * (first + BLOCK)],
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


@njit(**_OPTIONS)
def add_rows(rows, values, sums):
    """sums[rows[i]] += values[i], of flat `values` as wide as `sums`."""
    width = sums.shape[1]
    for i in range(rows.shape[0]):
        for k in range(width):
            sums[rows[i], k] += values[i * width + k]
