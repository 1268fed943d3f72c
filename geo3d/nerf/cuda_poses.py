"""Poses that move with a training on the GPU: `geo3d.render.pose_refinement.PoseRefinement` fed from there.

A sample lies at x = o + t d, with o = -R^T t_c and d = R^T b for the bearing b of its ray. Gradients by o and d are
gathered on the GPU by photo, over some steps; then the CPU moves the poses. Coordinates on the GPU are those of the
box: x_box = (x - center) / side + 1/2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geo3d.geometry import SE3
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.cuda_marching import CudaSamples
from geo3d.nerf.cuda_pixels import pose_rows
from geo3d.nerf.scene_bounds import SceneBounds
from geo3d.render.pose_refinement import PoseRefinement
from geo3d.util.require import require


class CudaPoses:
    """The poses of all photos.

    Parameters
    ----------
    given : sequence of SE3
        `cam_from_world`, as they are given.
    bounds : SceneBounds
    device : torch.device
    """

    def __init__(self, given: Sequence[SE3], bounds: SceneBounds, device: Any) -> None:
        torch = require("torch")
        self.given, self.bounds = list(given), bounds
        self.refinement = PoseRefinement(len(self.given), bounds.box.side)
        # of each photo: the sum of d x (gradient by d), row by row, and of gradients by o; in the frame of the box
        self._sums = torch.zeros(len(self.given), 12, dtype=torch.float32, device=device)

    def rows(self) -> Any:
        """(V, 12) float32 tensor of the poses in use, for `CudaPixelPool.draw`."""
        used = (self.refinement.apply(row, pose) for row, pose in enumerate(self.given))
        return pose_rows([in_frame(pose, self.bounds) for pose in used], self._sums.device)

    def gather(
        self, directions: Any, rows: Any, samples: CudaSamples, d_positions: Any, scale: float
    ) -> None:
        """Add the gradients of a step; those that are not finite count as nothing.

        Parameters
        ----------
        directions : (R, 3) float32 tensor
            Of the rays, in the frame of the box.
        rows : (R,) int32 tensor
            The photo of each.
        samples : CudaSamples
        d_positions : (capacity, 3) float32 tensor
            Gradients of a loss by the places in the unit cube.
        scale : float
            What these are multiplied by.
        """
        torch = require("torch")
        local = in_box(self.bounds.box, samples.positions, d_positions).mul(scale)
        there = torch.arange(len(local), device=local.device) < samples.count
        local = torch.where(there[:, None] & local.isfinite(), local, 0.0)
        own = torch.where(there, samples.rays, 0).long()
        middles = torch.where(there, 0.5 * (samples.starts + samples.ends), 0.0)
        by_origin, by_direction = (torch.zeros_like(directions) for _ in range(2))
        by_origin.index_add_(0, own, local)
        by_direction.index_add_(0, own, middles[:, None] * local)
        outer = (directions[:, :, None] * by_direction[:, None]).reshape(-1, 9)
        self._sums.index_add_(0, rows.long(), torch.cat([outer, by_origin], 1))

    def move(self, rate: float) -> None:
        """Move the photos of which gradients were gathered, which waits for the GPU; begin to gather anew.

        Parameters
        ----------
        rate : float
            Learning rate, radians and sides of the box.
        """
        sums = self._sums.cpu().numpy().astype(np.float64)
        self._sums.zero_()
        for row in np.flatnonzero(sums.any(axis=1)).tolist():
            pose = self.refinement.apply(row, self.given[row])
            by_origin = sums[row, 9:] / self.bounds.box.side
            turned = pose.rotation @ sums[row, :9].reshape(3, 3) - np.outer(pose.translation, by_origin)
            self.refinement.step(row, pose, np.column_stack([turned, -pose.rotation @ by_origin]), rate)

    def arrays(self) -> dict[str, np.ndarray]:
        """The state for a checkpoint: that of `PoseRefinement`, without what was gathered since the last move."""
        return {name: np.array(value) for name, value in vars(self.refinement).items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays()` gave.

        Parameters
        ----------
        arrays : mapping
        """
        for name, value in arrays.items():
            setattr(self.refinement, name, np.array(value))


def in_frame(pose: SE3, bounds: SceneBounds) -> SE3:
    """cam_from_frame, lengths in sides of the box: x_cam / side = R (x_box - center).

    Parameters
    ----------
    pose : SE3
        `cam_from_world`.
    bounds : SceneBounds
    """
    center = bounds.box.local_points(np.asarray(pose.center(), np.float64))
    return SE3(pose.rotation, -pose.rotation @ center)


def in_box(box: SceneBox, positions: Any, gradient: Any) -> Any:
    """Gradients by places in the frame of the box, from those by `positions`, the same places in the unit cube.

    Parameters
    ----------
    box : SceneBox
        In the world.
    positions, gradient : (S, 3) float32 tensors
    """
    if not box.unbounded:
        return gradient
    frame = box.in_box_frame()
    points = frame.world_points(positions).requires_grad_(True)
    frame.unit_positions(points).backward(gradient)
    return points.grad
