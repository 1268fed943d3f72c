"""How near an image is to another: PSNR, SSIM, LPIPS; of colours in [0, 1].

    PSNR = -10 log10(mean (a - b)^2)                                                     decibels
    SSIM = mean (2 mu_a mu_b + C1) (2 s_ab + C2) / ((mu_a^2 + mu_b^2 + C1) (s_a^2 + s_b^2 + C2))

Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
Transactions on Image Processing 2004: means mu, variances s^2 and covariance s_ab under a Gaussian window of 11 x 11
pixels and a standard deviation of 1.5, C1 = 0.01^2, C2 = 0.03^2, each channel by itself, over the windows that lie
within the image.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from geo3d.util.require import require

_RADIUS = 5  # pixels, of the window
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(image: np.ndarray, reference: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio, decibels; infinite where the images are equal.

    Parameters
    ----------
    image, reference : (H, W, C) or (H, W) float
        In [0, 1].
    mask : (H, W) bool, optional
        Pixels that count.

    Raises
    ------
    ValueError
        If the shapes differ, the images are not of floats, or no pixel counts.
    """
    first, second = _checked(image, reference, mask)
    square = (first - second) ** 2
    error = float(np.mean(square if mask is None else square[mask]))
    return float("inf") if error == 0.0 else float(-10.0 * np.log10(error))


def ssim(image: np.ndarray, reference: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Structural similarity, 1 where the images are equal.

    Parameters
    ----------
    image, reference : (H, W, C) or (H, W) float
        In [0, 1], of 11 x 11 pixels or more.
    mask : (H, W) bool, optional
        Pixels that count: windows whose middle they are.

    Raises
    ------
    ValueError
        If the shapes differ, the images are not of floats or too small, or no pixel counts.
    """
    first, second = _checked(image, reference, mask)
    if min(first.shape[:2]) <= 2 * _RADIUS:
        raise ValueError(f"image: expected at least 11x11 pixels, got {first.shape[1]}x{first.shape[0]}")
    mean_a, mean_b = _windowed(first), _windowed(second)
    variance_a = _windowed(first * first) - mean_a**2
    variance_b = _windowed(second * second) - mean_b**2
    covariance = _windowed(first * second) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    similarity /= (mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2)
    if mask is None:
        return float(similarity.mean())
    inner = mask[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    if not inner.any():
        raise ValueError(f"mask: no pixel that counts is {_RADIUS} pixels from the image's border")
    return float(similarity[inner].mean())


def lpips(image: np.ndarray, reference: np.ndarray) -> float:
    """Learned perceptual distance with VGG features (Zhang et al., CVPR 2018), 0 where the images are equal.

    Needs the package lpips, which loads the weights of the network from the internet when they are first used.

    Parameters
    ----------
    image, reference : (H, W, 3) float
        In [0, 1], of 16 x 16 pixels or more.

    Raises
    ------
    ImportError
        If the package is missing; the message tells how to install it.
    ValueError
        If the shapes differ, or the images are not of floats.
    OSError
        If the weights are not there and cannot be loaded.
    """
    first, second = _checked(image, reference, None)
    network, torch = _perceptual_network(), require("torch")
    pair = (torch.from_numpy(np.moveaxis(part, 2, 0)[None] * 2.0 - 1.0).float() for part in (first, second))
    with torch.no_grad():
        return float(network(*pair))


def why_no_lpips() -> str | None:
    """Why `lpips` cannot run here: its package or its weights are missing; None where it can."""
    try:
        _perceptual_network()
    except (ImportError, OSError) as error:
        return str(error)
    return None


@cache
def _perceptual_network() -> Any:
    require("torch")
    package = require("lpips")
    try:
        return package.LPIPS(net="vgg", verbose=False).eval()
    except OSError as error:
        raise OSError(
            f"LPIPS needs the weights of VGG-16 from download.pytorch.org, which cannot be loaded ({error}); put "
            "vgg16-397923af.pth into ~/.cache/torch/hub/checkpoints"
        ) from error


def _checked(
    image: np.ndarray, reference: np.ndarray, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, if they can be compared."""
    for name, part in (("image", image), ("reference", reference)):
        if not np.issubdtype(part.dtype, np.floating) or part.ndim not in (2, 3):
            raise ValueError(
                f"{name}: expected floats in [0, 1] of the shape (H, W, C) or (H, W), got {part.dtype} {part.shape}; "
                "divide bytes by 255"
            )
    if image.shape != reference.shape:
        raise ValueError(f"reference: expected the shape of the image, {image.shape}, got {reference.shape}")
    if mask is not None:
        if mask.dtype != bool or mask.shape != image.shape[:2]:
            raise ValueError(f"mask: expected bool {image.shape[:2]}, got {mask.dtype} {mask.shape}")
        if not mask.any():
            raise ValueError("mask: no pixel counts")
    return image.astype(np.float64), reference.astype(np.float64)


def _windowed(values: np.ndarray) -> np.ndarray:
    """Weighted means over the windows that lie within the image."""
    at = np.arange(-_RADIUS, _RADIUS + 1)
    weights = np.exp(-0.5 * (at / _SIGMA) ** 2)
    weights /= weights.sum()
    smooth = require("cv2").sepFilter2D(values, -1, weights, weights)
    return smooth[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
