"""From flow in cells of 8 pixels to flow in pixels. Teed & Deng 2020, section 3.3, "Upsampling".

Convex: each pixel is a weighted mean of the 3 x 3 cells about its own, with weights (softmax) of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geo3d.flow.raft.architecture import STRIDE
from geo3d.util.require import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch")


def convex_upsampling(flow: Tensor, logits: Tensor) -> Tensor:
    """Flow of full resolution by learned weights.

    Parameters
    ----------
    flow : Tensor (N, 2, H, W)
        In cells. Beyond the border it is zero.
    logits : Tensor (N, 9 * 64, H, W)
        Channel 64 k + 8 v + u weighs neighbour k (row by row, from the top left) for the pixel (v, u) of the cell.

    Returns
    -------
    Tensor (N, 2, 8 H, 8 W)
        In pixels.
    """
    n, _, height, width = flow.shape
    weights = torch.softmax(logits.reshape(n, 9, STRIDE, STRIDE, height, width), 1)
    neighbours = torch.nn.functional.unfold(STRIDE * flow, 3, padding=1).reshape(n, 2, 9, height, width)
    fine = torch.einsum("nkvuyx,nckyx->ncyvxu", weights, neighbours)
    return fine.reshape(n, 2, STRIDE * height, STRIDE * width)


def bilinear_upsampling(flow: Tensor) -> Tensor:
    """Flow (N, 2, H, W) in cells to (N, 2, 8 H, 8 W) in pixels, corner cells at the corners, as the authors do."""
    size = STRIDE * flow.shape[2], STRIDE * flow.shape[3]
    return STRIDE * torch.nn.functional.interpolate(flow, size=size, mode="bilinear", align_corners=True)
