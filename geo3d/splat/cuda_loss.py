"""The training loss on the GPU: what `geo3d.splat.loss.photometric_loss` is on the CPU, from two kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geo3d.splat.cuda_frame import TILE
from geo3d.util.require import require


@dataclass(frozen=True)
class CudaLoss:
    """Value and gradient of the loss; scalars are tensors, so that nobody waits for the GPU.

    Attributes
    ----------
    loss : () tensor
    d_image : (H, W, 3) float32 tensor
        Gradient by the image.
    l1, ssim : () tensor
        Its parts, means over the pixels and channels that count.
    """

    loss: Any
    d_image: Any
    l1: Any
    ssim: Any


def photometric_loss(
    launch: Any, image: Any, target: Any, mask: Any = None, ssim_weight: float = 0.2
) -> CudaLoss:
    """`(1 - ssim_weight) L1 + ssim_weight (1 - SSIM)` with the gradient by the image.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher
    image, target : (H, W, 3) float32 tensor
        In [0, 1], contiguous.
    mask : (H, W) float32 tensor or None
        Weight of each pixel, 0 to 1; where it is 0 the image counts as equal to the target.
    ssim_weight : float
        0 to 1.

    Raises
    ------
    ValueError
        If the shapes differ or the weight is outside of [0, 1].
    """
    torch = require("torch")
    if image.ndim != 3 or image.shape[2] != 3 or image.shape != target.shape:
        raise ValueError(
            f"image, target: expected one shape (H, W, 3), got {tuple(image.shape)} and {tuple(target.shape)}"
        )
    if mask is not None and mask.shape != image.shape[:2]:
        raise ValueError(f"mask: expected the shape {tuple(image.shape[:2])}, got {tuple(mask.shape)}")
    if not 0 <= ssim_weight <= 1:
        raise ValueError(f"ssim_weight: expected 0 to 1, got {ssim_weight}")
    height, width = image.shape[:2]
    floats = {"dtype": torch.float32, "device": launch.device}
    blocks = 3 * -(-width // TILE) * -(-height // TILE)
    if mask is None:
        count = torch.full((1,), 3.0 * height * width, **floats)
    else:
        count = (3.0 * mask.sum(dtype=torch.float64)).clamp(min=1e-12).to(torch.float32).reshape(1)
    derivatives, sums = torch.empty(3, 3, height, width, **floats), torch.empty(blocks, 2, **floats)
    launch("loss/similarity", blocks, TILE * TILE, width, height, image, target, mask, derivatives, sums)
    gradient = torch.empty(height, width, 3, **floats)
    launch(
        "loss/loss_gradient", blocks, TILE * TILE, width, height, image, target, mask, derivatives, count,
        float(ssim_weight), gradient,
    )  # fmt: skip
    l1, ssim = sums.sum(0, dtype=torch.float64) / count
    return CudaLoss((1 - ssim_weight) * l1 + ssim_weight * (1 - ssim), gradient, l1, ssim)
