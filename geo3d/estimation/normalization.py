"""Hartley's normalisation: pixels moved to their centroid and scaled to a mean distance of sqrt(2) from it.

Hartley, "In defense of the eight-point algorithm", PAMI 1997.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Normalization:
    """`x_normalised = scale (x - centre)`."""

    centre: np.ndarray  # (2,)
    scale: float

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3), on homogeneous pixels."""
        s, (x, y) = self.scale, self.centre
        return np.array([[s, 0, -s * x], [0, s, -s * y], [0, 0, 1.0]])

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Homogeneous normalised points (N, 3), contiguous."""
        out = np.ones((len(pixels), 3))
        out[:, :2] = self.scale * (pixels - self.centre)
        return out


def normalization(pixels: np.ndarray) -> Normalization:
    """The normalisation of pixels (N, 2); scale 1 where they all coincide."""
    centre = pixels.mean(axis=0)
    distance = float(np.mean(np.linalg.norm(pixels - centre, axis=1)))
    return Normalization(centre, np.sqrt(2.0) / distance if distance > 0 else 1.0)
