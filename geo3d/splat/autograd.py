"""The CPU's kernels as a torch.autograd.Function: images of torch Gaussians that a loss can be differentiated through.

The pose's gradient is by the entries of [R | T], as autograd has it for a (4, 4) tensor whose last row is fixed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.scene import Gaussians
from geo3d.splat.options import Rendering, RenderOptions
from geo3d.splat.orthographic import OrthographicCamera
from geo3d.splat.rasterizer import CpuRasterizer
from geo3d.util.require import require

NAMES = "means", "quaternions", "log_scales", "logit_opacities", "sh"
IMAGES = "color", "alpha", "depth", "median_depth", "normals"

# Rasterisers that nobody uses at the moment: their buffers are warm.
_idle: list[CpuRasterizer] = []


def borrow() -> CpuRasterizer:
    """A rasteriser of one's own, to be handed back by `give_back`; list operations are safe between threads."""
    try:
        return _idle.pop()
    except IndexError:
        return CpuRasterizer()


def give_back(rasterizer: CpuRasterizer) -> None:
    """Hand a `rasterizer` back when nothing reads its buffers any more."""
    if len(_idle) < 2:
        _idle.append(rasterizer)


def render_differentiably(
    gaussians: Gaussians,
    camera: Camera | OrthographicCamera,
    cam_from_world: SE3 | Any,
    options: RenderOptions,
) -> Rendering:
    """Render tensors in the CPU's memory so that autograd goes through.

    Parameters
    ----------
    gaussians : Gaussians
        Tensors on the CPU.
    camera : Camera or OrthographicCamera
    cam_from_world : SE3 or (4, 4) tensor
        A tensor gets a gradient too.
    options : RenderOptions

    Returns
    -------
    Rendering
        Tensors of the type of the means. The median depth has no gradient.
    """
    torch = require("torch")
    pose = torch.from_numpy(cam_from_world.matrix4()) if isinstance(cam_from_world, SE3) else cam_from_world
    parameters = [getattr(gaussians, name) for name in NAMES]
    images = _function().apply(camera, options, gaussians.antialiased, pose, *parameters)
    return Rendering(**dict(zip(IMAGES, images)))


def _arrays(parameters: Any, antialiased: bool) -> Gaussians:
    arrays = (np.ascontiguousarray(p.detach().numpy(), np.float32) for p in parameters)
    return Gaussians(*arrays, antialiased=antialiased)


def _se3(pose: Any) -> SE3:
    matrix = pose.detach().double().numpy()
    return SE3(matrix[:3, :3], matrix[:3, 3])


@cache
def _function() -> Any:
    """The torch.autograd.Function, made when torch is first needed."""
    torch = require("torch")

    class Rasterize(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, camera, options, antialiased, pose, *parameters):
            rasterizer = borrow()
            rendering = rasterizer.forward(_arrays(parameters, antialiased), camera, _se3(pose), options)
            images = [getattr(rendering, name) for name in IMAGES]
            tensors = [None if i is None else torch.tensor(i, dtype=parameters[0].dtype) for i in images]
            ctx.call = camera, options, antialiased
            ctx.save_for_backward(pose, *parameters)
            ctx.set_materialize_grads(False)
            ctx.rasterizer = rasterizer
            if not any(ctx.needs_input_grad):
                ctx.rasterizer = None
                give_back(rasterizer)
            if tensors[3] is not None:
                ctx.mark_non_differentiable(tensors[3])
            return tuple(tensors)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, d_color, d_alpha, d_depth, _, d_normals):
            pose, *parameters = ctx.saved_tensors
            camera, options, antialiased = ctx.call
            rasterizer, ctx.rasterizer = ctx.rasterizer, None
            if rasterizer is None:  # a second pass through a graph that was kept: its buffers are gone
                rasterizer = borrow()
                rasterizer.forward(_arrays(parameters, antialiased), camera, _se3(pose), options)
            by_color = np.zeros((camera.height, camera.width, 3), np.float32)
            if d_color is not None:
                by_color = d_color.float().numpy()
            others = [None if d is None else d.float().numpy() for d in (d_alpha, d_depth, d_normals)]
            gradients = rasterizer.backward(by_color, *others)
            found = [torch.tensor(getattr(gradients, name)).to(p) for name, p in zip(NAMES, parameters)]
            d_pose = torch.zeros_like(pose)
            d_pose[:3] = torch.from_numpy(gradients.pose).to(pose)
            give_back(rasterizer)
            return None, None, None, d_pose, *found

    return Rasterize
