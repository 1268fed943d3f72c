"""How far a disparity can be believed: from the shape of the sums around the smallest."""

import numpy as np

from geo3d.stereo.semi_global_matching import Matched


def confidence_of(found: Matched) -> np.ndarray:
    """(H, W) float32, chance that a disparity that passed the check is within one pixel of the truth."""
    return np.clip(found.margin, 0.0, 1.0)


def deviation_of(found: Matched) -> np.ndarray:
    """(H, W) float32, standard deviation of a disparity of the right surface, px."""
    return 0.1 / np.sqrt(np.maximum(found.sharpness, 0.01))
