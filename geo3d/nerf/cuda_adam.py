"""Adam on the GPU for a `CudaField`: float32 parameters, and the halves that the kernels read made anew.

Entries of the grid without a gradient stay as they are, with their moments. Nothing moves where the loss is not finite,
which the GPU sees for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from geo3d.nerf.cuda_field import GRADIENT_SCALE, CudaField, blocks_of
from geo3d.util.require import require


class CudaAdam:
    """The optimiser's state.

    Parameters
    ----------
    field : CudaField
    betas : tuple of 2 float
        Decay of the two moments.
    epsilon : float

    Attributes
    ----------
    steps : int
    m, v : dict of str to tensor
        Moments of `grid` and `weights`.
    """

    def __init__(
        self, field: CudaField, betas: tuple[float, float] = (0.9, 0.99), epsilon: float = 1e-15
    ) -> None:
        torch = require("torch")
        self.betas, self.epsilon, self.steps = betas, epsilon, 0
        moved = {"grid": field.grid, "weights": field.weights}
        self.m = {name: torch.zeros_like(tensor) for name, tensor in moved.items()}
        self.v = {name: torch.zeros_like(tensor) for name, tensor in moved.items()}

    def arrays(self, field: CudaField) -> dict[str, np.ndarray]:
        """The state by name, for a checkpoint: that of `geo3d.nerf.adam.Adam`.

        Parameters
        ----------
        field : CudaField
        """
        found = {"steps": np.array(self.steps, np.int64)}
        for letter, moments in (("m", self.m), ("v", self.v)):
            views = field.named(moments["grid"], moments["weights"])
            found |= {f"{letter}.{name}": tensor.cpu().numpy().copy() for name, tensor in views.items()}
        return found

    def restore(self, field: CudaField, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays()` gave.

        Parameters
        ----------
        field : CudaField
        arrays : mapping
        """
        torch = require("torch")
        self.steps = int(arrays["steps"])
        for letter, moments in (("m", self.m), ("v", self.v)):
            for name, tensor in field.named(moments["grid"], moments["weights"]).items():
                tensor.copy_(torch.from_numpy(np.array(arrays[f"{letter}.{name}"])))

    def step(self, field: CudaField, loss: Any, rays: int, grid_rate: float, weight_rate: float) -> None:
        """Move the parameters by the gradients that the field has gathered, which become zeros.

        Parameters
        ----------
        field : CudaField
        loss : (1,) float32 tensor
        rays : int
            The gradients are divided by it.
        grid_rate, weight_rate : float
        """
        self.steps += 1
        first, second = (1.0 - beta**self.steps for beta in self.betas)
        root = second**0.5
        scale, epsilon = 1.0 / (GRADIENT_SCALE * rays), self.epsilon * root
        tail = (*self.betas, epsilon)
        field.launch(
            "adam/adam_grid", blocks_of(len(field.grid), 256), 256, len(field.grid), loss, scale,
            grid_rate * root / first, *tail, field.d_grid, self.m["grid"], self.v["grid"], field.grid, field.half_grid,
        )  # fmt: skip
        field.launch(
            "adam/adam_weights", blocks_of(len(field.weights), 256), 256, len(field.weights), loss, scale,
            weight_rate * root / first, *tail, field.d_weights, self.m["weights"], self.v["weights"], field.weights,
        )  # fmt: skip
        field.refresh_weights()
