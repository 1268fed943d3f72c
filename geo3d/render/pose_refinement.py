"""Poses that move with the training: `cam_from_world' = exp(xi) cam_from_world`, xi = (translation, rotation).

The gradient by xi at 0 of the pose in use is that by [R | t]: `d rho = d t`, `d phi = sum of r_k x d r_k` over the
columns r_k of [R | t]. Adam moves all six numbers by about the learning rate; translations count in units of the
scene's extent.
"""

from __future__ import annotations

import numpy as np

from geo3d.geometry import SE3

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-15


class PoseRefinement:
    """The motions of all photos and their optimiser (Adam).

    Parameters
    ----------
    photos : int
    extent : float
        Of the scene, world units.
    """

    def __init__(self, photos: int, extent: float) -> None:
        self.units = np.array([extent] * 3 + [1.0] * 3)
        self.motions = np.tile(np.eye(4), (photos, 1, 1))  # (V, 4, 4)
        self.moments = np.zeros((2, photos, 6))
        self.steps = np.zeros(photos, np.int32)

    def apply(self, row: int, cam_from_world: SE3) -> SE3:
        """The pose in use of photo `row` whose given one is `cam_from_world`."""
        return SE3.from_matrix4(self.motions[row]) @ cam_from_world

    def step(self, row: int, pose: SE3, d_pose: np.ndarray, rate: float) -> None:
        """Move photo `row` down the gradient.

        Parameters
        ----------
        row : int
        pose : SE3
            In use, as `apply` gave it.
        d_pose : (3, 4)
            Gradient of the loss by its [R | t].
        rate : float
            Learning rate, radians and extents.
        """
        matrix = pose.matrix4()[:3]
        turn = np.cross(matrix.T, np.asarray(d_pose, np.float64).T).sum(axis=0)
        gradient = np.concatenate([d_pose[:, 3], turn]) * self.units
        self.steps[row] += 1
        first, second, t = self.moments[0, row], self.moments[1, row], int(self.steps[row])
        first += (1 - _BETA1) * (gradient - first)
        second += (1 - _BETA2) * (gradient**2 - second)
        size = np.sqrt(second / (1 - _BETA2**t)) + _EPSILON
        moved = -rate * first / (1 - _BETA1**t) / size * self.units
        self.motions[row] = (SE3.exp(moved) @ SE3.from_matrix4(self.motions[row])).matrix4()
