"""Correlation of RAFT: all pairs of features, a pyramid over the second image, lookups. Teed & Deng 2020, section 3.2.

    C(p, q) = <f0(p), f1(q)> / sqrt(channels);  level l: C averaged over 2^l x 2^l cells of q
    lookup at x: C_l(p, x / 2^l + d), |d|_inf <= radius, bilinear, zero outside; levels in turn, d_x slower than d_y

`AllPairs` keeps the pyramid: (HW)^2 numbers and a third more. `OnDemand` keeps the features alone and computes the
windows that are looked up; as averaging is linear, the pyramid is that of f1. Both give the same values and gradients.
Cells have integer coordinates at their centres.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from geo3d.flow.raft.architecture import LEVELS
from geo3d.util.require import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch")


class Correlation(Protocol):
    """What looks up correlations."""

    def lookup(self, positions: Tensor) -> Tensor:
        """Values (N, 4 (2 radius + 1)^2, H, W) at positions (N, 2, H, W), x and y in cells of the second image."""
        ...


def volume_bytes(height: int, width: int) -> int:
    """Memory of the pyramid for features of `height` x `width` cells, one pair, float32."""
    return sum(4 * height * width * (height >> k) * (width >> k) for k in range(LEVELS))


class AllPairs:
    """Correlation with the whole pyramid in memory.

    Parameters
    ----------
    features0, features1 : Tensor (N, C, H, W)
        H and W at least 8.
    radius : int
    """

    def __init__(self, features0: Tensor, features1: Tensor, radius: int) -> None:
        n, channels, height, width = features0.shape
        first = features0.flatten(2).transpose(1, 2) / math.sqrt(channels)
        volume = (first @ features1.flatten(2)).reshape(n * height * width, 1, *features1.shape[2:])
        self.radius = radius
        self.levels = pyramid(volume)

    def lookup(self, positions: Tensor) -> Tensor:
        """See `Correlation`."""
        n, _, height, width = positions.shape
        flat = positions.permute(0, 2, 3, 1).reshape(-1, 2)
        found = [windows(level, flat / 2**k, self.radius) for k, level in enumerate(self.levels)]
        return torch.cat(found, 1).reshape(n, height, width, -1).permute(0, 3, 1, 2).contiguous()


def pyramid(level: Tensor) -> list[Tensor]:
    """A tensor (N, C, H, W) and its means over 2 x 2, 4 x 4 and 8 x 8."""
    levels = [level]
    for _ in range(LEVELS - 1):
        levels.append(torch.nn.functional.avg_pool2d(levels[-1], 2))
    return levels


def windows(images: Tensor, centers: Tensor, radius: int) -> Tensor:
    """Bilinear values around places, zero outside.

    Parameters
    ----------
    images : Tensor (M, 1, H, W)
    centers : Tensor (M, 2)
        x and y, one place for each image.
    radius : int

    Returns
    -------
    Tensor (M, (2 radius + 1)^2)
        Columns from left to right, each from its top.
    """
    height, width = images.shape[2:]
    reach = torch.arange(-radius, radius + 1, dtype=centers.dtype, device=centers.device)
    offsets = torch.stack(torch.meshgrid(reach, reach, indexing="ij"), -1)  # [i, j] = (x_i, y_j)
    size = torch.tensor((width, height), dtype=centers.dtype, device=centers.device)
    grid = (2.0 * (centers[:, None, None, :] + offsets) + 1.0) / size - 1.0  # borders of cells at -1 and 1
    return torch.nn.functional.grid_sample(images, grid, align_corners=False).flatten(1)
