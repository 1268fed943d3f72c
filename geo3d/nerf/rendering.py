"""Rays of any field, rendered: sample, evaluate, composite; differentiable, in PyTorch.

A field is any callable of positions and directions, see `geo3d.nerf.field_output`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geo3d.nerf.field_output import FieldOutput, evaluate
from geo3d.nerf.rays import Rays
from geo3d.nerf.samplers import EvenSampling, Sampling, Stage
from geo3d.nerf.samples import RaySamples
from geo3d.nerf.volume_autograd import composite_by_kernels
from geo3d.nerf.volume_rendering import RayRendering, composite, unit_vectors
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Generator, Tensor

torch: Any = require("torch")

BACKENDS = "auto", "reference", "cpu"


@dataclass(frozen=True)
class RenderOptions:
    """How rays are rendered.

    Attributes
    ----------
    sampling : EvenSampling, HierarchicalSampling, ProposalSampling or OccupancySampling
        Where the field is evaluated.
    normals : bool
        Whether to render normals, from the gradient of the density.
    backend : str
        What composites: "reference" (PyTorch as the formulas read, any device and type), "cpu" (numba kernels, float32
        in the CPU's memory), or "auto": cpu where it can, else reference.

    Raises
    ------
    ValueError
        If there is no such backend, or the sampling is none.
    """

    sampling: Sampling = dataclasses.field(default_factory=EvenSampling)
    normals: bool = False
    backend: str = "auto"

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {self.backend!r}")
        if not hasattr(self.sampling, "sample"):
            raise ValueError(f"sampling: expected one like EvenSampling(64), got {self.sampling!r}")


@dataclass(frozen=True)
class RenderedRays(RayRendering):
    """What R rays show, and how it was found.

    Attributes
    ----------
    samples : RaySamples
        Where the field was evaluated; `weights` are theirs.
    stages : tuple of Stage
        The coarse rendering, or the proposals, that led to these samples.
    """

    samples: RaySamples
    stages: tuple[Stage, ...]


def render_rays(
    field: Any,
    rays: Rays,
    options: RenderOptions | None = None,
    background: Any = None,
    rng: Generator | None = None,
) -> RenderedRays:
    """Render rays of a field.

    Parameters
    ----------
    field : Field
        Any callable of positions (S, 3) and directions (S, 3) that gives a `FieldOutput`.
    rays : Rays
        R rays; tensors, or NumPy arrays, which become tensors on the CPU.
    options : RenderOptions, optional
    background : (3,) or (R, 3) tensor, three numbers, or callable, optional
        Black if not given. A callable is given the directions (R, 3): a sky.
    rng : torch.Generator, optional
        Jitters the samples, as training wants; without it they are in the middle.

    Returns
    -------
    RenderedRays

    Raises
    ------
    ValueError
        If the field or the background gives other shapes, or the backend can't render what the field gives.

    Examples
    --------
    A fog of density 1 behind which nothing is seen:

    >>> import torch
    >>> from geo3d.cameras import Camera
    >>> from geo3d.geometry import SE3
    >>> from geo3d.nerf import FieldOutput, camera_rays, render_rays
    >>> def fog(positions, directions):
    ...     return FieldOutput(torch.ones(len(positions)), torch.full((len(positions), 3), 0.5))
    >>> rays = camera_rays(Camera("PINHOLE", 2, 1, [2, 2, 1, 0.5]), SE3.identity(), near=0, far=0.5)
    >>> render_rays(fog, rays).alpha
    tensor([0.3935, 0.3935])
    """
    options = options or RenderOptions()
    rays = rays if isinstance(rays.near, torch.Tensor) else rays.torch()
    behind = background(rays.directions) if callable(background) else background
    if behind is not None:
        behind = torch.as_tensor(behind, dtype=rays.near.dtype, device=rays.near.device)
        if tuple(behind.shape) not in ((3,), (len(rays), 3)):
            found = tuple(behind.shape)
            raise ValueError(f"background: expected three numbers or the shape ({len(rays)}, 3), got {found}")
    samples, stages = options.sampling.sample(field, rays, behind, rng)
    found = evaluate(field, rays, samples)
    normals = density_normals(field, rays, samples, found.density.requires_grad) if options.normals else None
    render = composite_by_kernels if _by_kernels(options.backend, found) else composite
    seen = render(found.density, found.color, samples, behind, normals)
    return RenderedRays(**vars(seen), samples=samples, stages=stages)


def density_normals(field: Any, rays: Rays, samples: RaySamples, differentiable: bool = True) -> Tensor:
    """(S, 3) unit normals, against the gradient of the density, in the middle of intervals; 0 where that is 0.

    Parameters
    ----------
    field : Field
        Is called with positions and directions; its density has to be differentiable by the positions.
    rays : Rays
    samples : RaySamples
    differentiable : bool
        Whether a gradient goes through the normals themselves, where PyTorch records gradients at all.
    """
    keep = torch.is_grad_enabled() and differentiable
    with torch.enable_grad():
        positions = samples.positions(rays)
        positions = positions if positions.requires_grad else positions.detach().requires_grad_()
        density = field(positions, samples.per_sample(rays.directions)).density
        if not density.requires_grad:
            return torch.zeros_like(positions)
        (slope,) = torch.autograd.grad(
            density.sum(), positions, create_graph=keep, allow_unused=True, materialize_grads=True
        )
    normals = unit_vectors(-slope)
    return normals if keep else normals.detach()


def _by_kernels(backend: str, found: FieldOutput) -> bool:
    """Whether the numba kernels composite."""
    able = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in (found.density, found.color))
    if backend == "cpu" and not able:
        kind = f"{found.density.dtype} on {found.density.device}"
        raise ValueError(
            f"backend: the kernels of 'cpu' take float32 in the CPU's memory, got {kind}; use 'reference'"
        )
    return backend != "reference" and able
