"""The hash-grid field on the CPU: density and colour of samples, and their gradients by all parameters."""

from __future__ import annotations

import numpy as np

from geo3d.nerf import hash_grid_kernels, mlp_kernels
from geo3d.nerf.field_parameters import FieldParameters, FieldShape, check_parameters
from geo3d.nerf.network_layout import network_layout, network_views, pack_networks
from geo3d.util.buffers import Buffers, aligned
from geo3d.util.crew import Crew, everyone


class CpuField:
    """A field with its parameters, evaluated and differentiated. Results do not depend on the number of threads.

    Parameters
    ----------
    shape : FieldShape
    parameters : dict of str to float32 array
        As of `parameter_shapes`, C-contiguous; used in place, so that an optimiser that moves them moves the field.
    crew : Crew, optional
        The threads; all cores if not given.

    Raises
    ------
    ValueError
        If the parameters do not fit the shape.

    Examples
    --------
    >>> from geo3d.nerf.field_parameters import initial_parameters
    >>> shape = FieldShape(levels=4, log2_entries=12)
    >>> field = CpuField(shape, initial_parameters(shape))
    >>> density, color = field.forward(np.full((2, 3), 0.5, "f4"), np.tile(np.float32([0, 0, 1]), (2, 1)))
    >>> gradients = field.backward(np.ones_like(density), np.ones_like(color))
    >>> gradients["color_1"].shape
    (64, 64)
    """

    def __init__(self, shape: FieldShape, parameters: FieldParameters, crew: Crew | None = None) -> None:
        check_parameters(shape, parameters)
        self.shape, self.parameters = shape, parameters
        self._crew = crew or everyone()
        self._levels = hash_grid_kernels.level_table(shape)
        self._layout = layout = network_layout(shape)
        self._scratch = [
            mlp_kernels.Scratch(*(aligned(size) for size in mlp_kernels.scratch_sizes(layout)))
            for _ in range(self._crew.threads)
        ]
        self._weights, self._transposed = aligned(layout.total), aligned(layout.total)
        self._weights[:], self._transposed[:] = 0.0, 0.0
        self._sums = np.zeros(layout.total, np.float32)
        self._slices = aligned(mlp_kernels.SLICES * layout.total)
        self._gradients = {name: np.zeros_like(array) for name, array in parameters.items()}
        photos = len(parameters["appearance"]) if shape.appearance else 0
        padded = layout.inputs - layout.outputs - layout.harmonics
        self._table = np.zeros((photos + 1, padded), np.float32)  # the last row is the mean
        self._buffers = Buffers()
        self._kept = 0  # samples whose gradient may be asked for

    def density(self, unit_positions: np.ndarray) -> np.ndarray:
        """(S,) density at `unit_positions` (S, 3) float32 of the unit cube, in memory that the next call uses again."""
        count = len(unit_positions)
        self._kept = 0
        features, stride = self._encoded(unit_positions), self._stride(count)
        density = self._buffers.array("density", (stride,))
        pack_networks(self.shape, self.parameters, self._weights, self._transposed)
        self._crew.run(
            lambda counter, k: mlp_kernels.network_density(
                counter, self._layout, self._weights, features, stride, density, self._scratch[k]
            )
        )
        return density[:count]

    def forward(
        self,
        unit_positions: np.ndarray,
        directions: np.ndarray,
        rows: np.ndarray | None = None,
        *,
        keep: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Density (S,) and colour (S, 3), in memory that the next call uses again.

        Parameters
        ----------
        unit_positions : (S, 3) float32
            In the unit cube; what lies outside is held to its faces.
        directions : (S, 3) float32
            Unit vectors.
        rows : (S,) int32, optional
            Photo of each sample, -1 for the mean appearance, which is also what stands without rows.
        keep : bool
            Whether `backward` may follow.

        Raises
        ------
        ValueError
            If the arrays do not fit each other, or a row is not one of `appearance`.
        """
        count, stride = len(unit_positions), self._stride(len(unit_positions))
        _check("directions", directions, (count, 3))
        kept_directions = self._padded("directions", directions, stride)
        kept_rows = self._appearance_rows(rows, count, stride)
        features = self._encoded(unit_positions)
        density, color = (
            self._buffers.array("density", (stride,)),
            self._buffers.array("color", (3 * stride,)),
        )
        pack_networks(self.shape, self.parameters, self._weights, self._transposed)
        self._crew.run(
            lambda counter, k: mlp_kernels.network_forward(
                counter, self._layout, self._weights, features, stride, kept_directions, kept_rows, self._table,
                density, color, self._scratch[k],
            )
        )  # fmt: skip
        self._kept = count if keep else 0
        return density[:count], color[: 3 * count].reshape(count, 3)

    def backward(
        self, d_density: np.ndarray, d_color: np.ndarray, *, positions: bool = False
    ) -> dict[str, np.ndarray]:
        """Gradients of what the last `forward` kept, once, in memory that the next call uses again.

        Parameters
        ----------
        d_density : (S,) float32
        d_color : (S, 3) float32
        positions : bool
            Whether the gradient by the unit positions is wanted too.

        Returns
        -------
        dict of str to float32 array
            By all parameters, and "positions" (S, 3).

        Raises
        ------
        ValueError
            If the last call was not a `forward` that keeps as many samples.
        """
        count, stride = len(d_density), self._stride(len(d_density))
        if count != self._kept:
            raise ValueError(
                f"d_density: expected {self._kept}, as many as the last forward kept, got {count}"
            )
        _check("d_density", d_density, (count,))
        _check("d_color", d_color, (count, 3))
        self._kept = 0
        buffers, layout = self._buffers, self._layout
        d_density = self._padded("d_density", d_density, stride)
        d_color = self._padded("d_color", d_color, stride)
        d_table = buffers.array("d_table", (stride * self._table.shape[1],))
        features, directions, rows = buffers["features"], buffers["directions"], buffers["rows"]
        self._crew.run(
            lambda counter, k: mlp_kernels.network_backward(
                counter, layout, self._weights, self._transposed, features, stride, directions, rows, self._table,
                d_density, d_color, self._slices, features, d_table, self._scratch[k],
            )
        )  # fmt: skip
        points, grid = buffers["positions"], self._gradients["grid"].reshape(-1)
        self._crew.run(
            lambda counter, _: hash_grid_kernels.grid_backward(
                counter, points, features, stride, self._levels, grid
            )
        )
        self._unpack_gradients(rows[:count], d_table)
        if not positions:
            return dict(self._gradients)
        d_positions = buffers.array("d_positions", (3 * stride,))
        entries = self.parameters["grid"].reshape(-1)
        self._crew.run(
            lambda counter, _: hash_grid_kernels.positions_backward(
                counter, points, features, stride, entries, self._levels, d_positions
            )
        )
        return {**self._gradients, "positions": d_positions[: 3 * count].reshape(count, 3)}

    @staticmethod
    def _stride(count: int) -> int:
        return -(-count // mlp_kernels.BLOCK) * mlp_kernels.BLOCK

    def _padded(self, name: str, array: np.ndarray, stride: int) -> np.ndarray:
        """A copy of the array, flat, with zeros up to `stride` rows."""
        width = array.size // max(len(array), 1)
        copy = self._buffers.array(name, (stride * width,), array.dtype)
        copy[: array.size] = array.reshape(-1)
        copy[array.size :] = 0
        return copy

    def _encoded(self, unit_positions: np.ndarray) -> np.ndarray:
        """The grid's features of the positions, feature by feature."""
        _check("unit_positions", unit_positions, (len(unit_positions), 3))
        stride = self._stride(len(unit_positions))
        points = self._padded("positions", unit_positions, stride)
        features = self._buffers.array("features", (self._layout.features * stride,))
        grid = self.parameters["grid"].reshape(-1)
        self._crew.run(
            lambda counter, _: hash_grid_kernels.encode(counter, points, grid, self._levels, stride, features)
        )
        return features

    def _appearance_rows(self, rows: np.ndarray | None, count: int, stride: int) -> np.ndarray:
        """Rows of the padded table, which is filled from the parameters."""
        kept = self._buffers.array("rows", (stride,), np.int32)
        photos = len(self._table) - 1
        kept[:] = photos
        if self.shape.appearance:
            table = self.parameters["appearance"]
            self._table[:photos, : self.shape.appearance] = table
            self._table[photos, : self.shape.appearance] = table.mean(0) if photos else 0.0
            if rows is not None:
                if rows.shape != (count,) or (count and not -1 <= rows.min() <= rows.max() < photos):
                    raise ValueError(f"rows: expected ({count},) of -1 to {photos - 1}, got {rows.shape}")
                kept[:count] = np.where(rows < 0, photos, rows)
        return kept

    def _unpack_gradients(self, rows: np.ndarray, d_table: np.ndarray) -> None:
        """The networks' gradients, slice after slice in their order, and the appearance's, sample after sample."""
        self._slices.reshape(mlp_kernels.SLICES, -1).sum(0, out=self._sums)
        for name, parts in network_views(self._layout, self._sums, self.shape).items():
            for first, part in parts:
                self._gradients[name][first : first + len(part)] = part
        if self.shape.appearance:
            sums = np.zeros_like(self._table)
            mlp_kernels.add_rows(rows, d_table, sums)
            self._gradients["appearance"][:] = sums[:-1, : self.shape.appearance]


def _check(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float32:
        raise ValueError(f"{name}: expected float32 {shape}, got {array.dtype} {array.shape}")
