"""The weights of the field's two networks as their kernels take them: one flat array, widths padded to multiples of 16.

density_0, density_1, color_0 and color_1 stand row by row, color_2 as its transpose. The inputs of the colour network
are three parts, each padded for itself: the density network's outputs, the direction's harmonics, the appearance.
"""

from typing import NamedTuple

import numpy as np

from geo3d.nerf.field_parameters import FEATURES, FieldParameters, FieldShape


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
    color_2: int  # stands as its transpose
    total: int


def _padded(count: int) -> int:
    return -(-count // 16) * 16


def network_layout(shape: FieldShape) -> Layout:
    """The layout of the networks of `shape`."""
    features, width = FEATURES * shape.levels, shape.width
    encoded, outputs, harmonics = _padded(features), _padded(shape.outputs), _padded(shape.harmonics)
    inputs = outputs + harmonics + _padded(shape.appearance)
    sizes = encoded * width, width * outputs, inputs * width, width * width, width * 3
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
        "color_2": ((0, part(layout.color_2, 3, width).T),),
    }


def pack_networks(
    shape: FieldShape, parameters: FieldParameters, packed: np.ndarray, transposed: np.ndarray
) -> None:
    """Fill `packed` and, but for color_2, its transpose from the parameters; what is padding is left alone.

    Parameters
    ----------
    shape : FieldShape
    parameters : dict of str to float32 array
    packed, transposed : (total,) float32
    """
    layout = network_layout(shape)
    for name, parts in network_views(layout, packed, shape).items():
        for first, rows in parts:
            rows[:] = parameters[name][first : first + len(rows)]
    rows = layout.encoded, layout.width, layout.inputs, layout.width
    columns = layout.width, layout.outputs, layout.width, layout.width
    start = 0
    for k, n in zip(rows, columns):
        part = slice(start, start + k * n)
        transposed[part].reshape(n, k)[:] = packed[part].reshape(k, n).T
        start += k * n
