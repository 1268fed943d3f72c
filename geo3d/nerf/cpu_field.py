"""The hash-grid field on the CPU: density and colour of samples, and their gradients by all parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from geo3d.nerf.field_parameters import FieldParameters, FieldShape, check_parameters
from geo3d.nerf.hash_grid import hash_grid_field, raw_density, truncated_exp
from geo3d.util.require import require

torch: Any = require("torch")


class CpuField:
    """A field with its parameters, evaluated and differentiated.

    Parameters
    ----------
    shape : FieldShape
    parameters : dict of str to float32 array
        As of `parameter_shapes`; used in place, so that an optimiser that moves them moves the field.

    Raises
    ------
    ValueError
        If the parameters do not fit the shape.
    """

    def __init__(self, shape: FieldShape, parameters: FieldParameters) -> None:
        check_parameters(shape, parameters)
        self.shape, self.parameters = shape, parameters
        self._kept: tuple = ()

    def density(self, unit_positions: np.ndarray) -> np.ndarray:
        """(S,) density at `unit_positions` (S, 3)."""
        with torch.no_grad():
            raw = raw_density(self.shape, self._tensors(), torch.from_numpy(unit_positions))
        return truncated_exp(raw[:, 0]).numpy()

    def forward(
        self,
        unit_positions: np.ndarray,
        directions: np.ndarray,
        rows: np.ndarray | None = None,
        *,
        keep: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Density (S,) and colour (S, 3).

        Parameters
        ----------
        unit_positions : (S, 3) float32
            In the unit cube.
        directions : (S, 3) float32
            Unit vectors.
        rows : (S,) int32, optional
            Photo of each sample, -1 for the mean appearance.
        keep : bool
            Whether `backward` follows.
        """
        tensors = self._tensors()
        x = torch.from_numpy(unit_positions).clone()
        if keep:
            for tensor in (*tensors.values(), x):
                tensor.requires_grad_()
        with torch.set_grad_enabled(keep):
            density, color = hash_grid_field(
                self.shape,
                tensors,
                x,
                torch.from_numpy(directions),
                None if rows is None else torch.from_numpy(rows),
            )
        self._kept = tensors, x, density, color
        return density.detach().numpy(), color.detach().numpy()

    def backward(
        self, d_density: np.ndarray, d_color: np.ndarray, *, positions: bool = False
    ) -> dict[str, np.ndarray]:
        """Gradients by all parameters of what `forward` kept, and with `positions` also "positions" (S, 3).

        Parameters
        ----------
        d_density : (S,) float32
        d_color : (S, 3) float32
        positions : bool
        """
        tensors, x, density, color = self._kept
        torch.autograd.backward([density, color], [torch.from_numpy(d_density), torch.from_numpy(d_color)])
        gradients = {name: tensor.grad.numpy() for name, tensor in tensors.items()}
        if positions:
            gradients["positions"] = x.grad.numpy()
        return gradients

    def _tensors(self) -> dict[str, Any]:
        return {name: torch.from_numpy(array).detach() for name, array in self.parameters.items()}
