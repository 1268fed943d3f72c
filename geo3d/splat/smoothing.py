"""No Gaussian is finer than what a photo could show: the 3D smoothing filter of Mip-Splatting (Yu et al., CVPR 2024).

    Sigma' = Sigma + s^2 I,   o' = o sqrt(det Sigma / det Sigma'),   s^2 = 0.2 / max over photos of (f / z)^2

over the photos that have the Gaussian in view, f the focal length in pixels and z its depth. The filter belongs to the
Gaussians: what is rendered and written has it in its scales and opacities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.scene import Gaussians
from geo3d.splat.options import GaussianGradients
from geo3d.splat.refinement import logit, opacities

_VARIANCE_PX = 0.2
_MARGIN = 0.15  # of the image's size to each side, in which a Gaussian still counts as in view
_MOST_PHOTOS = 48  # evenly chosen


class Smoothing:
    """The filter of the Gaussians in training.

    Parameters
    ----------
    cameras : sequence of Camera
        Of the photos at the size of the training. Of one that is no PINHOLE the distance takes the place of the depth.
    poses : sequence of SE3
        `cam_from_world` of each.
    """

    def __init__(self, cameras: Sequence[Camera], poses: Sequence[SE3]) -> None:
        rows = np.unique(np.linspace(0, len(poses) - 1, min(len(poses), _MOST_PHOTOS)).round().astype(int))
        self._photos = [(cameras[row], poses[row]) for row in rows]
        self.variance = np.zeros(0, np.float32)

    def measure(self, means: np.ndarray) -> None:
        """Find the filter of Gaussians at `means` (N, 3); of one that no photo sees it is the widest of all."""
        finest = np.zeros(len(means), np.float32)
        for camera, pose in self._photos:
            local = means @ pose.rotation.T.astype(np.float32) + pose.translation.astype(np.float32)
            if camera.model == "PINHOLE":
                z = np.maximum(local[:, 2], np.float32(1e-6))
                u, v = (camera.focal[i] * local[:, i] / z + camera.principal_point[i] for i in (0, 1))
                seen = local[:, 2] > 1e-6
            else:
                z = np.maximum(np.linalg.norm(local, axis=1), np.float32(1e-6))
                u, v = camera.project(local).T  # NaN, which is nowhere, where it has no pixel
                seen = z > 1e-6
            x, y = _MARGIN * camera.width, _MARGIN * camera.height
            seen &= (u > -x) & (u < camera.width + x) & (v > -y) & (v < camera.height + y)
            np.maximum(finest, np.where(seen, np.float32(camera.mean_focal) / z, 0), out=finest)
        known = finest > 0
        finest[~known] = finest[known].min() if known.any() else np.inf
        self.variance = (_VARIANCE_PX / finest.astype(np.float64) ** 2).astype(np.float32)

    def apply(self, gaussians: Gaussians) -> Gaussians:
        """The Gaussians of `gaussians` with the filter in them; N as at the last `measure`."""
        log_scales, shrink = self._widened(gaussians)
        return replace(
            gaussians,
            log_scales=log_scales,
            logit_opacities=logit(opacities(gaussians) * np.exp(shrink)),
        )

    def _widened(self, gaussians: Gaussians) -> tuple[np.ndarray, np.ndarray]:
        """log_scales with the filter, and the logarithm of what is left of the opacity."""
        wide = 0.5 * np.log(np.exp(2.0 * gaussians.log_scales) + self.variance[:, None])
        return wide, (gaussians.log_scales - wide).sum(axis=1)

    def back(self, gaussians: Gaussians, gradients: GaussianGradients) -> None:
        """Turn `gradients` by what `apply` gave into those by `gaussians`, in place."""
        wide, shrink = self._widened(gaussians)
        own = np.exp(2.0 * (gaussians.log_scales - wide))  # share of each variance that is not the filter's
        o = opacities(gaussians)
        left = np.maximum(1.0 - o * np.exp(shrink), np.float32(1e-6))
        by_opacity = gradients.logit_opacities / left
        gradients.log_scales[...] = gradients.log_scales * own + by_opacity[:, None] * (1.0 - own)
        gradients.logit_opacities[...] = by_opacity * (1.0 - o)
