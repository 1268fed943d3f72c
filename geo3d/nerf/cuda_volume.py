"""Volume rendering on the GPU, and the photometric loss with its gradients: volume_kernels' counterpart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geo3d.nerf.cuda_field import GRADIENT_SCALE, blocks_of
from geo3d.nerf.cuda_marching import CudaSamples
from geo3d.util.require import require

_RAYS_A_BLOCK = 4


@dataclass(frozen=True, eq=False)
class CudaRendering:
    """What R rays show; float32 tensors, as of `geo3d.nerf.volume_rendering.RayRendering`.

    Attributes
    ----------
    color : (R, 3)
    alpha, range, median_range : (R,)
    """

    color: Any
    alpha: Any
    range: Any
    median_range: Any


@dataclass(frozen=True, eq=False)
class CudaLoss:
    """Losses of R rays and gradients of their sum; float32 tensors.

    Attributes
    ----------
    losses : (R,)
    color : (R, 3)
        What the rays show.
    d_changed : (R, 3) or None
        By what the photos show of it, with `exposures`.
    d_density, d_color : (capacity,), (capacity, 3)
        Times GRADIENT_SCALE.
    """

    losses: Any
    color: Any
    d_changed: Any
    d_density: Any
    d_color: Any


def composite(launch: Any, samples: CudaSamples, density: Any, color: Any, background: Any) -> CudaRendering:
    """Render rays from the densities and colours of their samples, all of which have to be there.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher
    samples : CudaSamples
    density, color : (capacity,), (capacity, 3) tensors
    background : (R, 3) tensor
    """
    torch = require("torch")
    rays = len(background)
    image = torch.empty(rays, 3, dtype=torch.float32, device=launch.device)
    alpha, mean, median = (torch.empty(rays, dtype=torch.float32, device=launch.device) for _ in range(3))
    launch(
        "volume/composite", blocks_of(rays, _RAYS_A_BLOCK), 32 * _RAYS_A_BLOCK, rays, samples.offsets, samples.starts,
        samples.ends, density, color, background, image, alpha, mean, median,
    )  # fmt: skip
    return CudaRendering(image, alpha, mean, median)


def composite_loss(
    launch: Any,
    samples: CudaSamples,
    density: Any,
    color: Any,
    background: Any,
    target: Any,
    opacity: Any = None,
    exposures: Any = None,
    rows: Any = None,
    *,
    huber: float = 0.1,
    distortion: float = 0.0,
    least_light: float = 1e-4,
) -> CudaLoss:
    """Render rays and compare them with photos.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher
    samples : CudaSamples
        Rays whose samples do not all fit have the loss and the gradients 0.
    density, color : (capacity,), (capacity, 3) tensors
    background : (R, 3) tensor
    target : (R, 3) tensor
        Colours of the photos before black.
    opacity : (R,) tensor, optional
        Of the photos; 1 if not given.
    exposures : (V, 3, 4) tensor, optional
        [A | b] of each photo, which shows A rgb + b.
    rows : (R,) int32 tensor
        The photo of each ray; only with `exposures`.
    huber : float
        Difference from which on the loss is linear, with the slope 1; 0 for squares.
    distortion : float
        Weight of the distortion loss, of distances t / (1 + t).
    least_light : float
        Samples that less of the light reaches count as nothing.
    """
    torch = require("torch")
    rays = len(target)
    losses = torch.empty(rays, dtype=torch.float32, device=launch.device)
    image, d_density, d_color = torch.empty_like(target), torch.empty_like(density), torch.empty_like(color)
    d_changed = None if exposures is None else torch.empty_like(target)
    launch(
        "volume/composite_loss", blocks_of(rays, _RAYS_A_BLOCK), 32 * _RAYS_A_BLOCK, rays, samples.offsets,
        len(density), samples.starts, samples.ends, density, color, background, target, opacity,
        exposures, rows, float(huber), float(distortion), float(least_light), GRADIENT_SCALE, losses, image, d_changed,
        d_density, d_color,
    )  # fmt: skip
    return CudaLoss(losses, image, d_changed, d_density, d_color)
