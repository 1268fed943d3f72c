"""Exposure on the GPU: what `geo3d.render.exposure.Exposure` is on the CPU, for the rays of many photos at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from geo3d.render.exposure import Exposure
from geo3d.util.require import require

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_STATE = "matrices", "moments", "steps"


class CudaExposure:
    """The changes of colour of all photos and their optimiser (Adam); nothing here waits for the GPU.

    Parameters
    ----------
    photos : int
    device : torch.device

    Attributes
    ----------
    matrices : (V, 3, 4) float32 tensor
        [A | b] of each photo.
    moments : (2, V, 3, 4) float32 tensor
    steps : (V,) int32 tensor
    """

    def __init__(self, photos: int, device: Any) -> None:
        start = Exposure(photos)
        of = {name: require("torch").from_numpy(getattr(start, name)).to(device) for name in _STATE}
        self.matrices, self.moments, self.steps = (of[name] for name in _STATE)

    def step(self, rows: Any, image: Any, d_changed: Any, scale: float, rate: float) -> None:
        """Move the photos of the rays down the gradient; one without a ray stays as it is but for the mean.

        Nothing moves where a gradient is not finite.

        Parameters
        ----------
        rows : (R,) int32 tensor
            The photo of each ray.
        image, d_changed : (R, 3) float32 tensors
            What was rendered, and the gradient of a loss by what the photo would show of it.
        scale : float
            What the gradients are multiplied by.
        rate : float
            Learning rate.
        """
        torch = require("torch")
        photos, own = len(self.matrices), rows.long()
        known = torch.cat([image, torch.ones_like(image[:, :1])], 1)
        each = (d_changed[:, :, None] * known[:, None]).mul_(scale)
        gradient = torch.zeros_like(self.matrices).index_add_(0, own, each)
        rays = torch.zeros(photos, dtype=torch.float32, device=own.device)
        rays.index_add_(0, own, torch.ones_like(image[:, 0]))
        moves = (rays > 0) & gradient.isfinite().all(2).all(1).all()
        self.steps += moves.int()
        first, second = self.moments
        mask, age = moves[:, None, None], self.steps.clamp(min=1)[:, None, None]
        first += torch.where(mask, (1 - _BETA1) * (gradient - first), 0.0)
        second += torch.where(mask, (1 - _BETA2) * (gradient**2 - second), 0.0)
        size = (second / (1 - _BETA2**age)).sqrt() + _EPSILON
        self.matrices -= torch.where(mask, rate * first / (1 - _BETA1**age) / size, 0.0)
        self.matrices -= self.matrices.mean(0) - torch.eye(3, 4, device=own.device)

    def arrays(self) -> dict[str, np.ndarray]:
        """NumPy copies of the state, for a checkpoint: that of `Exposure`."""
        return {name: getattr(self, name).cpu().numpy().copy() for name in _STATE}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays()` gave.

        Parameters
        ----------
        arrays : mapping
        """
        for name in _STATE:
            getattr(self, name).copy_(require("torch").from_numpy(np.array(arrays[name])))
