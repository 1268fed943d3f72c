"""Morton's order of Gaussians: near in space, near in memory, so that a warp's reads fall together."""

from __future__ import annotations

from typing import Any

from geo3d.splat.cuda_frame import blocks_of
from geo3d.util.require import require


def morton_order(launch: Any, means: Any) -> Any:
    """(N,) int64: the rows of `means` in Morton's order, 21 bits an axis; ties by row.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher
    means : (N, 3) float32 tensor
        On the launcher's device. Rows that are not finite come first.
    """
    torch = require("torch")
    n = len(means)
    means = means.detach().contiguous()
    finite = torch.isfinite(means).all(1, keepdim=True)
    low = torch.where(finite, means, torch.inf).amin(0)
    high = torch.where(finite, means, -torch.inf).amax(0)
    keys = torch.empty(n, dtype=torch.int64, device=launch.device)
    held = torch.where(finite, means, low)
    launch("morton/morton_keys", blocks_of(n, 256), 256, n, held, low, high, keys)
    return torch.sort(keys, stable=True).indices
