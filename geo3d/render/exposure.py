"""Exposure: an affine change of colour for each photo, `rgb' = A rgb + b`, learnt with the field.

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

    def apply_rays(self, rows: np.ndarray, colors: np.ndarray) -> np.ndarray:
        """(R, 3) colours of rays as their photos would show them.

        Parameters
        ----------
        rows : (R,) int
            The photo of each ray.
        colors : (R, 3) float32
        """
        m = self.matrices[rows]
        return np.einsum("rij,rj->ri", m[:, :, :3], colors) + m[:, :, 3]

    def step_rays(
        self, rows: np.ndarray, colors: np.ndarray, d_changed: np.ndarray, rate: float
    ) -> np.ndarray:
        """As `step` for rays of many photos; photos without a ray stay as they are but for the mean.

        Parameters
        ----------
        rows : (R,) int
            The photo of each ray.
        colors, d_changed : (R, 3) float32
            What was rendered, and the gradient of the loss by what `apply_rays` made of it.
        rate : float
            Learning rate.
        """
        d_colors = np.einsum("rij,ri->rj", self.matrices[rows][:, :, :3], d_changed)
        photos = len(self.matrices)
        known = np.concatenate([colors, np.ones((len(colors), 1), np.float32)], axis=1)
        gradient = np.empty((photos, 3, 4), np.float32)
        for i in range(3):
            for j in range(4):
                gradient[:, i, j] = np.bincount(rows, d_changed[:, i] * known[:, j], photos)
        self._move(np.unique(rows), gradient, rate)
        return d_colors.astype(np.float32)

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
        whole = np.zeros_like(self.matrices)
        whole[row] = gradient
        self._move(np.array([row]), whole, rate)
        return d_image

    def _move(self, rows: np.ndarray, gradient: np.ndarray, rate: float) -> None:
        """A step of Adam of the photos `rows` down the `gradient` (V, 3, 4)."""
        self.steps[rows] += 1
        for row in rows.tolist():
            first, second, t = self.moments[0, row], self.moments[1, row], int(self.steps[row])
            first += (1 - _BETA1) * (gradient[row] - first)
            second += (1 - _BETA2) * (gradient[row] ** 2 - second)
            size = np.sqrt(second / (1 - _BETA2**t)) + _EPSILON
            self.matrices[row] -= rate * first / (1 - _BETA1**t) / size
        self.matrices -= self.matrices.mean(axis=0) - np.eye(3, 4, dtype=np.float32)
