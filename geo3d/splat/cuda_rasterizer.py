"""Gaussians to images and back on the GPU, as `geo3d.splat.rasterizer` does on the CPU."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.gpu import Launcher
from geo3d.scene import Gaussians
from geo3d.splat import cuda_frame
from geo3d.splat.cuda_frame import KERNELS, Frame
from geo3d.splat.options import GaussianGradients, Rendering, RenderOptions
from geo3d.util.jit import kernel_cache
from geo3d.util.require import require


@cache
def launcher() -> Launcher:
    """The kernels on the current GPU, loaded once.

    Raises
    ------
    RuntimeError
        If there is no usable GPU; says why and what to do.
    """
    return Launcher(KERNELS, kernel_cache())


class CudaRasterizer:
    """Renders Gaussians through a pinhole camera, and takes gradients by the images back to their parameters.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher, optional
        By default the kernels on the current GPU.

    Raises
    ------
    RuntimeError
        If there is no usable GPU; says why and what to do.
    """

    def __init__(self, launch: Any = None) -> None:
        self.launch = launcher() if launch is None else launch
        self.frame: Frame | None = None

    def forward(
        self,
        gaussians: Gaussians,
        camera: Camera,
        cam_from_world: Any,
        options: RenderOptions = RenderOptions(),  # noqa: B008
        differentiable: bool = True,
        variances: Any = None,
    ) -> Rendering:
        """Render.

        Parameters
        ----------
        gaussians : Gaussians
            float32 tensors on the GPU. A Gaussian with a number that is not finite is left out.
        camera : Camera
            A PINHOLE or SIMPLE_PINHOLE one.
        cam_from_world : SE3 or (4, 4) tensor
        options : RenderOptions
        differentiable : bool
            Whether to keep what `backward` needs.
        variances : (N,) float32 tensor or None
            Of Mip-Splatting's 3D filter, world units squared; the gradients are by the Gaussians without it.

        Returns
        -------
        Rendering
            Tensors of their own.

        Raises
        ------
        ValueError
            If the camera has a lens that the kernels do not know.
        """
        self.frame = None  # the memory of the last image is free for this one
        self.frame = frame = cuda_frame.forward(
            self.launch, gaussians, camera, _matrix(cam_from_world), options, differentiable, variances
        )
        normals = frame.normals if options.normals else None
        if not options.depth:
            return Rendering(frame.color, frame.alpha, normals=normals)
        return Rendering(frame.color, frame.alpha, frame.depth, frame.median_depth, normals)

    def image_gradients(
        self, d_color: Any, d_alpha: Any = None, d_depth: Any = None, d_normals: Any = None
    ) -> Any:
        """Gradients by each Gaussian as the last image sees it, for `CudaAdam.step`: rows as in cuda/layout.h.

        Parameters
        ----------
        d_color, d_alpha, d_depth, d_normals : tensor or None
            Gradients of the loss by the images of `Rendering`, in their shapes.
        """
        assert self.frame is not None, "nothing was rendered"
        return cuda_frame.image_gradients(self.launch, self.frame, d_color, d_alpha, d_depth, d_normals)

    def backward(
        self, d_color: Any, d_alpha: Any = None, d_depth: Any = None, d_normals: Any = None
    ) -> GaussianGradients:
        """Gradients of a loss by the parameters of the Gaussians of the last `forward`.

        Parameters
        ----------
        d_color, d_alpha, d_depth, d_normals : tensor or None
            Gradients of the loss by the images of `Rendering`, in their shapes.

        Returns
        -------
        GaussianGradients
            Tensors of their own.
        """
        gradients = self.image_gradients(d_color, d_alpha, d_depth, d_normals)
        assert self.frame is not None
        return all_gradients(self.launch, self.frame, gradients)


def all_gradients(launch: Any, frame: Frame, gradients: Any) -> GaussianGradients:
    """Gradients by the parameters of a frame's Gaussians and by its pose.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher
    frame : Frame
    gradients : (N, 8 + channels) tensor
        Of `geo3d.splat.cuda_frame.image_gradients`.
    """
    parameters, pose = cuda_frame.parameter_gradients(launch, frame, gradients)
    return GaussianGradients(
        *parameters,
        pose=pose,
        visible=frame.tile_counts > 0,
        radius_px=frame.radii,
        mean2d=gradients[:, :2],
        mean2d_abs=gradients[:, 2:4],
    )


def _matrix(cam_from_world: Any) -> Any:
    torch = require("torch")
    if isinstance(cam_from_world, SE3):
        return torch.from_numpy(cam_from_world.matrix4())
    return cam_from_world.detach()


def render_differentiably(
    launch: Any, gaussians: Gaussians, camera: Camera, cam_from_world: Any, options: RenderOptions
) -> Rendering:
    """Render tensors on the GPU so that autograd goes through: to the parameters, and to a (4, 4) tensor's pose.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher
    gaussians : Gaussians
        Tensors on the GPU; the kernels compute in float32.
    camera : Camera
        PINHOLE or SIMPLE_PINHOLE.
    cam_from_world : SE3 or (4, 4) tensor
    options : RenderOptions

    Returns
    -------
    Rendering
        Tensors of the type of the means. The median depth has no gradient.
    """
    torch = require("torch")
    pose = cam_from_world
    if isinstance(pose, SE3):
        pose = torch.from_numpy(pose.matrix4())
    names = ("means", "quaternions", "log_scales", "logit_opacities", "sh")
    images = _function().apply(
        launch, camera, options, gaussians.antialiased, pose, *(getattr(gaussians, name) for name in names)
    )
    found = Rendering(*images)
    return found if options.depth else replace(found, depth=None, median_depth=None)


@cache
def _function() -> Any:
    """The torch.autograd.Function of `render_differentiably`, made when torch is first needed."""
    torch = require("torch")

    class Rasterize(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, launch, camera, options, antialiased, pose, *parameters: Any):
            kept = any(ctx.needs_input_grad)
            frame = cuda_frame.forward(
                launch, Gaussians(*parameters, antialiased=antialiased), camera, pose.detach(), options, kept
            )
            ctx.launch, ctx.frame, ctx.pose = launch, frame, pose.detach()
            ctx.set_materialize_grads(False)
            ctx.dtypes = [p.dtype for p in parameters]
            found = (frame.color, frame.alpha, frame.depth, frame.median_depth, frame.normals)
            images = [None if image is None else image.to(ctx.dtypes[0]) for image in found]
            if images[3] is not None:
                ctx.mark_non_differentiable(images[3])
            return tuple(images)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, d_color, d_alpha, d_depth, d_median_depth, d_normals):
            gradients = cuda_frame.image_gradients(
                ctx.launch, ctx.frame, d_color, d_alpha, d_depth, d_normals
            )
            parameters, pose = cuda_frame.parameter_gradients(ctx.launch, ctx.frame, gradients)
            d_pose = torch.zeros_like(ctx.pose)
            d_pose[:3] = pose.to(ctx.pose)
            return None, None, None, None, d_pose, *map(torch.Tensor.to, parameters, ctx.dtypes)

    return Rasterize
