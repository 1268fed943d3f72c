"""The kernels of volume_kernels.py as a torch.autograd.Function: `composite`, fast, on the CPU in float32."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from geo3d.nerf.samples import RaySamples
from geo3d.nerf.volume_rendering import RayRendering, check_shape, unit_vectors
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor


def composite_by_kernels(
    density: Tensor,
    color: Tensor,
    samples: RaySamples,
    background: Tensor | None = None,
    normals: Tensor | None = None,
) -> RayRendering:
    """Render rays from the densities and colours of their samples; as `volume_rendering.composite`, to 1e-5.

    No gradient goes to the ends of the intervals.

    Parameters
    ----------
    density : (S,) float32 tensor
        On the CPU, as all others.
    color : (S, 3) float32 tensor
    samples : RaySamples
        Tensors.
    background : (3,) or (R, 3) tensor, optional
        Black if not given.
    normals : (S, 3) tensor, optional
        Unit normals of the samples.

    Returns
    -------
    RayRendering

    Raises
    ------
    ValueError
        If there is not one density and one colour of each sample.
    """
    check_shape("density", density, len(samples))
    check_shape("color", color, len(samples), 3)
    torch = require("torch")
    rays = len(samples.offsets) - 1
    behind = torch.zeros(3) if background is None else background
    image, alpha, far, median, weights = _function().apply(
        density, color, behind.expand(rays, 3), samples.starts, samples.ends, samples.offsets
    )
    if normals is not None:
        sums = torch.zeros(rays, 3).index_add(0, samples.ray_indices(), weights[:, None] * normals)
        normals = unit_vectors(sums)
    return RayRendering(image, alpha, far, median, normals, weights)


def _arrays(*tensors: Any) -> list[np.ndarray]:
    return [np.ascontiguousarray(t.detach().numpy()) for t in tensors]


@cache
def _function() -> Any:
    torch = require("torch")
    from geo3d.nerf import volume_kernels as kernels

    class Composite(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, density: Any, color: Any, background: Any, *samples: Any) -> Any:
            sigma, colors, behind, starts, ends, offsets = _arrays(density, color, background, *samples)
            rays = len(offsets) - 1
            image, weights = np.empty((rays, 3), np.float32), np.empty(len(starts), np.float32)
            alpha, far, median = np.empty((3, rays), np.float32)
            kernels.composite_forward(starts, ends, offsets, sigma, colors, behind, image, alpha, weights)
            kernels.ranges(starts, ends, offsets, sigma, weights, far, median)
            found = [torch.from_numpy(a) for a in (image, alpha, far, median, weights)]
            ctx.save_for_backward(density, color, background, found[2], found[4], *samples)
            ctx.mark_non_differentiable(found[3])
            return tuple(found)

        @staticmethod
        def backward(ctx: Any, d_image: Any, d_alpha: Any, d_far: Any, _: Any, d_weights: Any) -> Any:
            sigma, colors, behind, far, weights, starts, ends, offsets = _arrays(*ctx.saved_tensors)
            by_image, by_alpha, by_far = _arrays(d_image, d_alpha, d_far)
            by_weights = np.array(d_weights.numpy())
            more, by_density, by_color = np.zeros_like(sigma), np.empty_like(sigma), np.empty_like(colors)
            kernels.range_backward(starts, ends, offsets, sigma, weights, far, by_far, by_weights, more)
            kernels.composite_backward(
                starts, ends, offsets, sigma, colors, behind, weights, by_image, by_alpha, by_weights,
                by_density, by_color,
            )  # fmt: skip
            through = torch.from_numpy(1.0 - np.bincount(_rays(offsets), weights, len(offsets) - 1))
            by_behind = d_image * through.to(d_image.dtype)[:, None]
            return (
                torch.from_numpy(by_density + more),
                torch.from_numpy(by_color),
                by_behind,
                None,
                None,
                None,
            )

    return Composite


def _rays(offsets: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
