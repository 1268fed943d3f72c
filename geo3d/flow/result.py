"""Optical flow as it is found: where each pixel went, whether it is still seen there, and how far to believe it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FlowResult:
    """Flow from image0 to image1.

    Attributes
    ----------
    flow : (H, W, 2) float32
        x and y, pixels: `image0(p) ~ image1(p + flow(p))`. Never NaN from `optical_flow`; `guided_flow` and
        `patch_match` leave NaN where nothing was found.
    occlusion : (H, W) bool
        What of image0 is hidden in image1, or has left it; all that is NaN.
    confidence : (H, W) float32
        0 (a guess: occluded, without texture, not a pixel) to 1.
    method : str
        That found it.
    """

    flow: np.ndarray
    occlusion: np.ndarray
    confidence: np.ndarray
    method: str
