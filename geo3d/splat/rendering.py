"""One call from Gaussians and a camera to images, whatever computes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.gpu.backend import chosen_backend
from geo3d.scene import Gaussians
from geo3d.splat.autograd import IMAGES, NAMES, borrow, give_back, render_differentiably
from geo3d.splat.options import Rendering, RenderOptions
from geo3d.splat.orthographic import OrthographicCamera
from geo3d.util.require import require


def render(
    gaussians: Gaussians,
    camera: Camera | OrthographicCamera,
    cam_from_world: SE3 | Any,
    options: RenderOptions = RenderOptions(),  # noqa: B008
) -> Rendering:
    """Images of Gaussians.

    Parameters
    ----------
    gaussians : Gaussians
        NumPy arrays, or torch tensors: then the images are tensors that autograd differentiates by the parameters.
    camera : Camera or OrthographicCamera
        Size of the images and lens. Through another lens than a pinhole the Gaussians go by the unscented transform;
        the GPU's kernels know pinholes only.
    cam_from_world : SE3 or (4, 4) array or tensor
        `x_cam = R @ x_world + t`. A tensor, beside Gaussians of tensors, is differentiated by too.
    options : RenderOptions

    Returns
    -------
    Rendering
        Colour and alpha; depth, median depth and normals where the options ask for them.

    Raises
    ------
    ValueError
        If a parameter is not finite, the pose is not a (4, 4) matrix, or the backend does not know the lens.
    RuntimeError
        If the backend "cuda" was asked for and cannot run here; says why and what to do.

    Examples
    --------
    >>> import numpy as np
    >>> from geo3d import SE3, Camera
    >>> from geo3d.scene import Gaussians
    >>> one = Gaussians(np.zeros((1, 3)), np.eye(1, 4), np.full((1, 3), -2.0), np.full(1, 9.0), np.ones((1, 1, 3)))
    >>> camera = Camera("PINHOLE", 65, 65, [50, 50, 32.5, 32.5])
    >>> image = render(one, camera, SE3(np.eye(3), [0, 0, 2]), RenderOptions(backend="cpu"))
    >>> round(float(image.color[32, 32, 0]), 2), float(image.alpha[0, 0])
    (0.78, 0.0)
    """
    tensors = not isinstance(gaussians.means, np.ndarray)
    _check_finite(gaussians)
    pose = _pose(cam_from_world, tensors)
    wanted = options.backend
    if wanted == "auto" and tensors:  # where they are
        wanted = "cuda" if gaussians.means.is_cuda else "cpu"
    backend = chosen_backend(wanted)
    if backend == "cpu" and not tensors:
        return _render_arrays(gaussians, camera, pose, options)
    if not tensors:
        return _as_arrays(_render_tensors(_as_tensors(gaussians, backend), camera, pose, options, backend))
    return _render_tensors(gaussians, camera, pose, options, backend)


def _render_arrays(
    gaussians: Gaussians, camera: Camera | OrthographicCamera, pose: SE3, options: RenderOptions
) -> Rendering:
    rasterizer = borrow()
    found = rasterizer.forward(gaussians, camera, pose, options)
    images = {name: None if (i := getattr(found, name)) is None else i.copy() for name in IMAGES}
    give_back(rasterizer)
    return Rendering(**images)


def _render_tensors(
    gaussians: Gaussians, camera: Any, pose: Any, options: RenderOptions, backend: str
) -> Rendering:
    if backend == "cpu":
        return render_differentiably(gaussians, camera, pose, options)
    if backend == "reference":
        from geo3d.splat.reference import render_reference

        matrix = pose.matrix4() if isinstance(pose, SE3) else pose
        return render_reference(
            gaussians, camera, require("torch").as_tensor(matrix).to(gaussians.means), options
        )
    from geo3d.splat import cuda_rasterizer

    return cuda_rasterizer.render_differentiably(cuda_rasterizer.launcher(), gaussians, camera, pose, options)


def _pose(cam_from_world: Any, tensors: bool) -> Any:
    """An SE3, or for Gaussians of tensors a (4, 4) tensor as it came."""
    if isinstance(cam_from_world, SE3):
        return cam_from_world
    if tuple(getattr(cam_from_world, "shape", ())) != (4, 4):
        raise ValueError(
            f"cam_from_world: expected an SE3 or a (4, 4) matrix, got {type(cam_from_world).__name__}"
        )
    if tensors and not isinstance(cam_from_world, np.ndarray):
        return cam_from_world
    return SE3.from_matrix4(np.asarray(cam_from_world, np.float64))


def _check_finite(gaussians: Gaussians) -> None:
    for name in NAMES:
        array = getattr(gaussians, name)
        array = array.detach() if hasattr(array, "detach") else array
        total = float(array.sum())  # not finite if any is not; the rows are looked for only then
        if not np.isfinite(total):
            values = np.asarray(array.cpu() if hasattr(array, "cpu") else array)
            bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
            if len(bad):
                raise ValueError(
                    f"gaussians.{name}: expected finite numbers, but {len(bad)} of {len(values)} rows have others "
                    f"(the first is row {bad[0]}); leave those rows out"
                )


def _as_tensors(gaussians: Gaussians, backend: str) -> Gaussians:
    torch, device = require("torch"), "cpu"
    if backend == "cuda":
        from geo3d.splat.cuda_rasterizer import launcher

        device = launcher().device
    return replace(gaussians, **{n: torch.as_tensor(getattr(gaussians, n), device=device) for n in NAMES})


def _as_arrays(rendering: Rendering) -> Rendering:
    images = {name: getattr(rendering, name) for name in IMAGES}
    return Rendering(**{n: None if i is None else i.detach().cpu().numpy() for n, i in images.items()})
