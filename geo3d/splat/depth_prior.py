"""Depth of the scene's sparse points as a regulariser: what a photo's pixel shows lies where the point is.

The loss of a photo is the mean of `|D - d| / d` over the points that it observed, with d the point's z and D the
expected depth at its pixel, `D = sum w z / sum w` (Deng et al., Depth-supervised NeRF, CVPR 2022; here with splats).
`sum w z` is a picture whose colour is z: the kernels of colour render it and take its gradient back.
"""

from __future__ import annotations

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SH_C0
from geo3d.scene import Gaussians
from geo3d.splat.options import GaussianGradients, RenderOptions
from geo3d.splat.rasterizer import CpuRasterizer

LEAST_ALPHA = 0.5  # where less is covered there is no depth to speak of


class DepthPrior:
    """Loss and gradient of the depth at points; with a rasteriser of its own.

    Parameters
    ----------
    weight : float
        Of the loss.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.rasterizer = CpuRasterizer()

    def add(
        self,
        gradients: GaussianGradients,
        gaussians: Gaussians,
        camera: Camera,
        cam_from_world: SE3,
        points: np.ndarray,
    ) -> float:
        """Add the gradient of the weighted loss to `gradients`, in place; returns the loss.

        Parameters
        ----------
        gradients : GaussianGradients
            Of the `gaussians`; parameters only, not the pose.
        gaussians : Gaussians
        camera : Camera
            `cam_from_world` is its pose.
        cam_from_world : SE3
        points : (K, 3)
            World, those that the photo observed.
        """
        x, y, d = point_pixels(camera, cam_from_world, points)
        if len(d) == 0:
            return 0.0
        unit = float(np.median(d))  # colours of about 1
        forward = cam_from_world.rotation[2]
        z = (gaussians.means @ forward.astype(np.float32) + np.float32(cam_from_world.translation[2])) / unit
        sh = np.zeros((len(gaussians), 1, 3), np.float32)
        sh[:, 0, 0] = (z - 0.5) / SH_C0
        colored = Gaussians(
            gaussians.means,
            gaussians.quaternions,
            gaussians.log_scales,
            gaussians.logit_opacities,
            sh,
            gaussians.antialiased,
        )
        found = self.rasterizer.forward(
            colored, camera, cam_from_world, RenderOptions(backend="cpu", sh_degree=0)
        )
        alpha, total = found.alpha[y, x], found.color[y, x, 0] * unit
        covered = alpha > LEAST_ALPHA
        x, y, d, alpha, total = x[covered], y[covered], d[covered], alpha[covered], total[covered]
        if len(d) == 0:
            return 0.0
        error = total / alpha - d
        d_depth = self.weight * np.sign(error) / d / len(d)
        d_color = np.zeros_like(found.color)
        d_alpha = np.zeros_like(found.alpha)
        np.add.at(d_color[..., 0], (y, x), d_depth / alpha * unit)
        np.add.at(d_alpha, (y, x), -d_depth * total / alpha**2)
        own = self.rasterizer.backward(d_color, d_alpha)
        gradients.means[...] += own.means
        gradients.means[...] += (own.sh[:, 0, :1] / np.float32(SH_C0 * unit)) * forward.astype(np.float32)
        for name in ("quaternions", "log_scales", "logit_opacities"):
            getattr(gradients, name)[...] += getattr(own, name)
        return float(self.weight * np.mean(np.abs(error) / d))


def point_pixels(
    camera: Camera, cam_from_world: SE3, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column, row and z of those of the `points` that are in the picture of `camera` at `cam_from_world`."""
    local = cam_from_world.act(points)
    local = local[local[:, 2] > 1e-6]
    pixels = np.floor(camera.project(local)).astype(np.int64)
    within = (pixels >= 0).all(axis=1) & (pixels < [camera.width, camera.height]).all(axis=1)
    return pixels[within, 0], pixels[within, 1], local[within, 2]
