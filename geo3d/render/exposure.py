"""Exposure: an affine change of colour for each photo, `rgb' = A rgb + b`, learnt with the Gaussians.

What a camera's automatic exposure and white balance do to a photo is then not learnt as something of the scene. The
mean over the photos is held at no change, so that a view of no photo has the colours of the average one.
"""

from __future__ import annotations

import numpy as np

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class Exposure:
    """The changes of all photos and their optimiser (Adam).

    Parameters
    ----------
    photos : int
    """

    def __init__(self, photos: int) -> None:
        self.matrices = np.tile(np.eye(3, 4, dtype=np.float32), (photos, 1, 1))  # (V, 3, 4), [A | b]
        self.moments = np.zeros((2, photos, 3, 4), np.float32)
        self.steps = np.zeros(photos, np.int32)

    def apply(self, row: int, image: np.ndarray) -> np.ndarray:
        """`image` (H, W, 3) as photo `row` would show it."""
        m = self.matrices[row]
        return image @ m[:, :3].T + m[:, 3]

    def step(self, row: int, image: np.ndarray, d_changed: np.ndarray, rate: float) -> np.ndarray:
        """Move the change of photo `row` down the gradient; return the gradient by the unchanged `image`.

        Parameters
        ----------
        row : int
        image, d_changed : (H, W, 3) float32
            What was rendered, and the gradient of the loss by what `apply` made of it.
        rate : float
            Learning rate.
        """
        flat, d = image.reshape(-1, 3), d_changed.reshape(-1, 3)
        d_image = (d @ self.matrices[row, :, :3]).reshape(image.shape)
        gradient = np.concatenate([d.T @ flat, d.sum(axis=0)[:, None]], axis=1)
        self.steps[row] += 1
        first, second, t = self.moments[0, row], self.moments[1, row], int(self.steps[row])
        first += (1 - _BETA1) * (gradient - first)
        second += (1 - _BETA2) * (gradient**2 - second)
        size = np.sqrt(second / (1 - _BETA2**t)) + _EPSILON
        self.matrices[row] -= rate * first / (1 - _BETA1**t) / size
        self.matrices -= self.matrices.mean(axis=0) - np.eye(3, 4, dtype=np.float32)
        return d_image
