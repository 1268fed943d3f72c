"""Correlation of RAFT in less memory: windows are computed from the features as they are looked up.

Teed & Deng 2020, section 3.2, "Efficient Computation for High Resolution Images": the pyramid is linear in the features
of the second image, so that its level l is the correlation with their means over 2^l x 2^l cells.

On the CPU a compiled kernel computes the windows alone, O(HW (2 radius + 2)^2 channels) in time. Elsewhere, and as
the reference of the kernel, products of some rows at a time are made, looked up and thrown away: O((HW)^2 channels).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from geo3d.flow.raft.correlation import pyramid, windows
from geo3d.util.require import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.utils.checkpoint import checkpoint
else:
    torch = require("torch")
    checkpoint = require("torch.utils.checkpoint").checkpoint

_NUMBERS_AT_ONCE = 1 << 24  # of a block of products


class OnDemand:
    """Correlation with the features alone in memory; values and gradients as of `AllPairs`.

    Gradients run to the features, not to the positions, which RAFT detaches.

    Parameters
    ----------
    features0, features1 : Tensor (N, C, H, W)
        H and W at least 8.
    radius : int
    """

    def __init__(self, features0: Tensor, features1: Tensor, radius: int) -> None:
        self.first = features0.flatten(2).transpose(1, 2) / math.sqrt(features0.shape[1])  # (N, HW, C)
        self.levels = [level.permute(0, 2, 3, 1) for level in pyramid(features1)]  # (N, H, W, C)
        self.radius = radius

    def lookup(self, positions: Tensor) -> Tensor:
        """See `Correlation`."""
        n, _, height, width = positions.shape
        centers = positions.detach().flatten(2).transpose(1, 2)  # (N, HW, 2)
        compiled = positions.device.type == "cpu" and self.first.dtype == torch.float32
        find: Any = Windows.apply if compiled else windows_by_products
        items = []
        for first, center, *levels in zip(self.first, centers, *self.levels):
            found = [find(first, level, center / 2**k, self.radius) for k, level in enumerate(levels)]
            items.append(torch.cat(found, 1))
        return torch.stack(items).reshape(n, height, width, -1).permute(0, 3, 1, 2).contiguous()


def windows_by_products(first: Tensor, second: Tensor, centers: Tensor, radius: int) -> Tensor:
    """Windows of the products of features, by blocks of rows.

    Parameters
    ----------
    first : Tensor (P, C)
    second : Tensor (H, W, C)
    centers : Tensor (P, 2)
        x and y in cells of `second`.
    radius : int

    Returns
    -------
    Tensor (P, (2 radius + 1)^2)
        As of `geo3d.flow.raft.correlation.windows`.
    """
    height, width, _ = second.shape
    flat = second.flatten(0, 1)

    def block(rows: Tensor, flat: Tensor, around: Tensor) -> Tensor:
        return windows((rows @ flat.T).reshape(-1, 1, height, width), around, radius)

    step = max(1, _NUMBERS_AT_ONCE // (height * width))
    found = [  # a checkpoint computes the products again for the gradient instead of keeping them
        checkpoint(block, rows, flat, around, use_reentrant=False)
        for rows, around in zip(first.split(step), centers.split(step))
    ]
    return torch.cat(found)


class Windows(torch.autograd.Function):
    """`windows_by_products` by compiled kernels, float32 on the CPU; `apply` takes the same."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, centers: Tensor, radius: int) -> Tensor:
        """Windows of `first`, `second`, `centers`, `radius`; `ctx` keeps them."""
        from geo3d.flow.raft.on_demand_kernels import look_up

        first, second, centers = first.contiguous(), second.contiguous(), centers.contiguous()
        ctx.save_for_backward(first, second, centers)
        ctx.radius = radius
        found = torch.empty(len(first), (2 * radius + 1) ** 2)
        look_up(_array(first), _array(second), _array(centers), radius, _array(found))
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Gradients of `first` and `second` from those of the windows, `gradients`; `ctx` has what was kept."""
        from geo3d.flow.raft.on_demand_kernels import look_up_gradients

        first, second, centers = ctx.saved_tensors
        to_first, to_second = torch.zeros_like(first), torch.zeros_like(second)
        arrays = _array(first), _array(second), _array(centers), _array(gradients[0].contiguous())
        look_up_gradients(*arrays, ctx.radius, _array(to_first), _array(to_second))
        return to_first, to_second, None, None


def _array(tensor: Tensor) -> np.ndarray:
    """The same memory."""
    return tensor.detach().numpy()
