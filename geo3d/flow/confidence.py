"""How far to believe a flow: the structure that it was found by, and how well the images agree along it.

    confidence = s / (s + s_0) * exp(-r / r_0)

with s the smaller eigenvalue of the structure tensor of image0, the mean of [I_x^2, I_x I_y; I_x I_y, I_y^2] over a
window (0 where nothing, or only an edge, is seen: the aperture problem), and r the residual. 0 where hidden.
"""

import numpy as np

from geo3d.flow.images import FlowImages
from geo3d.util.require import require

_STRUCTURE = np.float32(1.5 / 255.0) ** 2
_RESIDUAL = np.float32(10.0 / 255.0)
_WINDOW = 7


def estimate_confidence(images: FlowImages, residual: np.ndarray, occlusion: np.ndarray) -> np.ndarray:
    """(H, W) float32 in [0, 1].

    Parameters
    ----------
    images : FlowImages
    residual : (H, W) float32
        Of `warp_residual`.
    occlusion : (H, W) bool
    """
    structure = smaller_eigenvalue(images.gray0)
    confidence = structure / (structure + _STRUCTURE) * np.exp(-residual / _RESIDUAL)
    confidence[occlusion] = 0.0
    if images.invalid is not None:
        confidence[images.invalid] = 0.0
    return confidence


def smaller_eigenvalue(gray: np.ndarray) -> np.ndarray:
    """(H, W) float32: smaller eigenvalue of the structure tensor of `gray` (H, W), over 7 x 7 pixels."""
    cv2 = require("cv2")
    return np.maximum(cv2.cornerMinEigenVal(gray, _WINDOW, ksize=-1) * 1.0, 0.0)
