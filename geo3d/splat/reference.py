"""Gaussian splatting as the formulas read, in PyTorch: slow, any float type, differentiated by autograd.

    t = R mean + T                               camera frame; left out if z < near
    Sigma = Rq diag(exp(log_scales))^2 Rq^T      world
    Sigma2 = J R Sigma R^T J^T + blur I          J: derivative of the pixel by t; EWA splatting, Zwicker et al. 2002
    alpha = min(0.999, opacity exp(-d^T Sigma2^-1 d / 2)), 0 below 1/255;  d: pixel - centre
    w_i = alpha_i prod_{j<i} (1 - alpha_j)       front to back by the z of the centre, ties by index
    image = sum_i w_i c_i + T_end background     T_end = prod_i (1 - alpha_i)

Through another lens than a pinhole centre and Sigma2 come from projected sigma points (unscented.py).

A pixel ends before the Gaussian that would bring its transmittance to 1e-4 or less. Kerbl et al., SIGGRAPH 2023;
`antialiased`: opacity times sqrt(det(J R Sigma R^T J^T) / det(Sigma2)), Yu et al., Mip-Splatting, CVPR 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.render.torch_harmonics import spherical_harmonics
from geo3d.scene import Gaussians
from geo3d.splat.options import Rendering, RenderOptions
from geo3d.splat.orthographic import OrthographicCamera
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")

BLUR = 0.3  # px^2
MOST, LEAST, END = 0.999, 1.0 / 255.0, 1e-4
Lens = Camera | OrthographicCamera
_NUMBERS_AT_ONCE = 1 << 22  # Gaussians times pixels


@dataclass(frozen=True)
class Ellipses:
    """What a camera sees of the Gaussians, nearest first."""

    centers: Tensor  # (V, 2) pixels
    covariances: Tensor  # (V, 2, 2) px^2
    opacities: Tensor  # (V,)
    colors: Tensor  # (V, 3)
    depths: Tensor  # (V,) z
    normals: Tensor  # (V, 3) camera frame
    rows: Tensor  # (V,) int64, which Gaussian it is


def render_reference(
    gaussians: Gaussians, camera: Lens, cam_from_world: Tensor, options: RenderOptions
) -> Rendering:
    """Render torch Gaussians.

    Parameters
    ----------
    gaussians : Gaussians
        Of torch tensors of one float type.
    camera : Camera or OrthographicCamera
    cam_from_world : (4, 4) tensor
    options : RenderOptions

    Returns
    -------
    Rendering
        Of torch tensors.
    """
    ellipses = project(gaussians, camera, cam_from_world, options)
    x = torch.arange(camera.width, dtype=gaussians.means.dtype, device=gaussians.means.device) + 0.5
    y = torch.arange(camera.height, dtype=x.dtype, device=x.device) + 0.5
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
    count = max(1, _NUMBERS_AT_ONCE // max(1, len(ellipses.depths)))
    parts = [blend(ellipses, part, options) for part in pixels.split(count)]
    images = [torch.cat(images).reshape(camera.height, camera.width, -1) for images in zip(*parts)]
    color, alpha, depth, median, normals = images
    return Rendering(
        color,
        alpha[..., 0],
        depth[..., 0] if options.depth else None,
        median[..., 0] if options.depth else None,
        normals if options.normals else None,
    )


def project(gaussians: Gaussians, camera: Lens, cam_from_world: Tensor, options: RenderOptions) -> Ellipses:
    """The ellipses of the Gaussians that a `camera` may see, by `gaussians`, `cam_from_world`, `options`."""
    rotation, translation = cam_from_world[:3, :3], cam_from_world[:3, 3]
    t = gaussians.means @ rotation.T + translation
    turns = rotation @ quaternion_matrices(gaussians.quaternions)
    axes = turns * torch.exp(gaussians.log_scales)[:, None, :]
    if isinstance(camera, Camera) and camera.model in ("PINHOLE", "SIMPLE_PINHOLE"):
        keys = t[:, 2]
        focal, principal = (t.new_tensor(v) for v in (camera.focal, camera.principal_point))
        centers = focal * t[:, :2] / t[:, 2:] + principal
        flat = pinhole_jacobians(camera, t) @ axes
        sharp, area = flat @ flat.mT, torch.linalg.cross(flat[:, 0], flat[:, 1]).square().sum(-1)
    else:
        keys = t[:, 2] if isinstance(camera, OrthographicCamera) else torch.linalg.norm(t, dim=-1)
        centers, sharp = unscented(camera, t, axes)
        area = torch.linalg.det(sharp)
    rows = torch.nonzero((keys.detach() >= options.near) & torch.isfinite(centers.detach().sum(-1)))[:, 0]
    rows = rows[torch.argsort(keys[rows].detach(), stable=True)]
    covariances = sharp[rows] + BLUR * torch.eye(2, dtype=t.dtype, device=t.device)
    opacities = torch.sigmoid(gaussians.logit_opacities[rows])
    if gaussians.antialiased:
        opacities = opacities * torch.sqrt(area[rows] / torch.linalg.det(covariances))
    count = min((options.sh_degree + 1) ** 2, gaussians.sh.shape[1])
    if isinstance(camera, OrthographicCamera):
        directions = torch.nn.functional.normalize(rotation[2], dim=0).expand(len(rows), 3)
    else:
        directions = torch.nn.functional.normalize(gaussians.means[rows] + rotation.T @ translation, dim=-1)
    basis = spherical_harmonics(directions)[:, :count]
    colors = torch.relu(0.5 + torch.einsum("nk,nkc->nc", basis, gaussians.sh[rows, :count]))
    shortest = gaussians.log_scales[rows].argmin(-1)
    normals = turns[rows, :, shortest]
    normals = normals * torch.where((normals * t[rows]).sum(-1, keepdim=True) > 0, -1.0, 1.0)
    return Ellipses(centers[rows], covariances, opacities, colors, t[rows, 2], normals, rows)


def unscented(camera: Lens, t: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (N, 2) and covariances (N, 2, 2) of Gaussians at `t` with `axes` (N, 3, 3) as `camera` shows them.

    NaN where one of the sigma points has no pixel.
    """
    steps = np.sqrt(3.0) * torch.cat([axes.mT, -axes.mT], 1)
    pixels = _through_lens().apply(camera, torch.cat([t[:, None], t[:, None] + steps], 1))
    centers = pixels[:, 1:].mean(1)
    d = pixels - centers[:, None]
    weights = pixels.new_tensor([2.0, *[1 / 6] * 6])
    return centers, torch.einsum("j,nja,njb->nab", weights, d, d)


@cache
def _through_lens() -> Any:
    """`Camera.project` as a torch.autograd.Function."""

    class Project(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, camera, points):
            found = camera.project_with_jacobians(points.detach().numpy())
            ctx.save_for_backward(torch.from_numpy(found.d_point).to(points))
            return torch.from_numpy(found.pixels.copy()).to(points)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, d_pixels):
            (jacobians,) = ctx.saved_tensors
            slopes = torch.einsum("...ab,...a->...b", jacobians, d_pixels)
            return None, torch.where(
                torch.isfinite(slopes), slopes, 0.0
            )  # nothing comes from what has no pixel

    return Project


def pinhole_jacobians(camera: Camera, t: Tensor) -> Tensor:
    """(N, 2, 3) derivative of the pixel by the point t (N, 3) of the camera frame.

    x / z and y / z are held to the image's borders and 0.3 of its half-width more, where the linearisation would blow
    up for what lies far outside; as gsplat does.
    """
    focal, principal = (t.new_tensor(v) for v in (camera.focal, camera.principal_point))
    size = t.new_tensor([camera.width, camera.height])
    margin = 0.3 * 0.5 * size / focal
    slopes = torch.clamp(
        t[:, :2] / t[:, 2:], -principal / focal - margin, (size - principal) / focal + margin
    )
    return (
        focal[:, None]
        / t[:, 2, None, None]
        * torch.cat(
            [torch.eye(2, dtype=t.dtype, device=t.device).expand(len(t), 2, 2), -slopes[..., None]], -1
        )
    )


def blend(ellipses: Ellipses, pixels: Tensor, options: RenderOptions) -> tuple[Tensor, ...]:
    """Colour (P, 3), alpha, depth, median depth (P, 1), normals (P, 3) of `ellipses` at `pixels`, by `options`."""
    d = pixels[:, None] - ellipses.centers  # (P, V, 2)
    power = -0.5 * torch.einsum("pvi,vij,pvj->pv", d, torch.linalg.inv(ellipses.covariances), d)
    alpha = torch.clamp(ellipses.opacities * torch.exp(power), max=MOST)
    alpha = torch.where(alpha >= LEAST, alpha, 0.0)
    alpha = torch.where(torch.cumprod(1.0 - alpha.detach(), 1) > END, alpha, 0.0)
    after = torch.cumprod(1.0 - alpha, 1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], 1)
    weights = alpha * before
    end = torch.cat([torch.ones_like(pixels[:, :1]), after], 1)[:, -1:]
    covered = 1.0 - end
    color = weights @ ellipses.colors + end * pixels.new_tensor(options.background)
    some = covered > 0
    depth = torch.where(some, weights @ ellipses.depths[:, None] / torch.where(some, covered, 1.0), 0.0)
    half = (before > 0.5) & (after <= 0.5)
    median = half.to(after.dtype) @ ellipses.depths[:, None].detach()
    normals = torch.nn.functional.normalize(weights @ ellipses.normals, dim=-1)
    return color, covered, depth, median, normals


def quaternion_matrices(quaternions: Tensor) -> Tensor:
    """(N, 3, 3) rotations of `quaternions` (N, 4) wxyz of any length."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(-1, 3, 3)
