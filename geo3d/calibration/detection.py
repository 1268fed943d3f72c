"""What was found of a target in a photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Detection:
    """Points of a target in a photo.

    Attributes
    ----------
    ids : (N,) int64
        Rows of the target's `points`, ascending.
    pixels : (N, 2) float64
        x, y; the centre of the top-left pixel is (0.5, 0.5).
    """

    ids: np.ndarray
    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)
