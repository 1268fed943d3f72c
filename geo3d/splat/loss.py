"""The training loss of a rendered image: (1 - w) L1 + w (1 - SSIM), with its gradient. Kerbl et al. 2023, eq. 7."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.splat import loss_kernels
from geo3d.util.crew import everyone

_LEAST_WIDTH = 6  # pixels: a row of 16 numbers and more


@dataclass(frozen=True)
class PhotometricLoss:
    """Value and gradient of the loss.

    Attributes
    ----------
    loss : float
    d_image : (H, W, 3) float32
        Gradient by the image.
    l1, ssim : float
        Its parts, means over the pixels and channels that count.
    """

    loss: float
    d_image: np.ndarray
    l1: float
    ssim: float


def photometric_loss(
    image: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None, ssim_weight: float = 0.2
) -> PhotometricLoss:
    """`(1 - ssim_weight) L1 + ssim_weight (1 - SSIM)` with the gradient by the image, all in numba.

    SSIM has a Gaussian window of 11 x 11 pixels with sigma 1.5, zeros beyond the borders, channels apart.

    Parameters
    ----------
    image, target : (H, W, 3) float32
        In [0, 1].
    mask : (H, W) or None
        Weight of each pixel, 0 to 1; where it is 0 the image counts as equal to the target.
    ssim_weight : float
        0 to 1.

    Returns
    -------
    PhotometricLoss

    Raises
    ------
    ValueError
        If the shapes differ or the weight is outside of [0, 1].
    """
    height, width = _checked(image, target, mask, ssim_weight)
    if width < _LEAST_WIDTH:
        return _widened(image, target, mask, ssim_weight)
    x, y = (np.ascontiguousarray(a, np.float32) for a in (image, target))
    weights = np.zeros((0, 0), np.float32)
    count = 3.0 * height * width
    if mask is not None:
        weights = np.ascontiguousarray(mask, np.float32)
        count = max(3.0 * float(weights.sum(dtype=np.float64)), 1e-12)
        x = y + weights[..., None] * (x - y)
    chunks = max(1, 2 * round(height / 100))  # each repeats 10 rows of its neighbours
    rows = -(-height // chunks)
    gradient = np.empty((height, width, 3), np.float32)
    sums = np.zeros((chunks, 2))
    scales = np.float32((1.0 - ssim_weight) / count), np.float32(-ssim_weight / count)
    size = loss_kernels.work_size(3 * width)
    crew = everyone()
    work = np.zeros((crew.threads, size), np.float32)
    crew.run(
        lambda counter, i: loss_kernels.photometric(
            counter, x.reshape(-1), y.reshape(-1), weights, rows, height, loss_kernels.WINDOW, *scales, work[i],
            gradient.reshape(-1), sums,
        )
    )  # fmt: skip
    l1, ssim = sums.sum(axis=0) / count
    return PhotometricLoss(
        float((1 - ssim_weight) * l1 + ssim_weight * (1 - ssim)), gradient, float(l1), float(ssim)
    )


def _checked(
    image: np.ndarray, target: np.ndarray, mask: np.ndarray | None, ssim_weight: float
) -> tuple[int, int]:
    if image.ndim != 3 or image.shape[2] != 3 or image.shape != target.shape:
        raise ValueError(f"image, target: expected one shape (H, W, 3), got {image.shape} and {target.shape}")
    if mask is not None and mask.shape != image.shape[:2]:
        raise ValueError(f"mask: expected the shape {image.shape[:2]}, got {mask.shape}")
    if not 0 <= ssim_weight <= 1:
        raise ValueError(f"ssim_weight: expected 0 to 1, got {ssim_weight}")
    return image.shape[0], image.shape[1]


def _widened(
    image: np.ndarray, target: np.ndarray, mask: np.ndarray | None, ssim_weight: float
) -> PhotometricLoss:
    """An image too narrow for the vectors: columns of zeros that do not count beside it change nothing."""
    height, width = image.shape[:2]
    sides = ((0, 0), (0, _LEAST_WIDTH - width))
    weights = np.pad(np.ones((height, width), np.float32) if mask is None else mask, sides)
    wide = [np.pad(a, (*sides, (0, 0))) for a in (image, target)]
    result = photometric_loss(wide[0], wide[1], weights, ssim_weight)
    return PhotometricLoss(result.loss, result.d_image[:, :width].copy(), result.l1, result.ssim)
