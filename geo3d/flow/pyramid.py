"""Pyramids of images, each level half the size of the one before, and flows carried from level to level."""

import numpy as np

from geo3d.util.require import require

SMALLEST_PX = 16  # a side of the coarsest level, at least
_BLUR_PX = 0.8  # before a level is halved


def pyramid_levels(image: np.ndarray) -> list[np.ndarray]:
    """The image, (H, W) or (H, W, C) float32, and ever coarser ones: sides are halved and rounded up."""
    cv2 = require("cv2")
    levels = [image]
    while min(levels[-1].shape[:2]) >= 2 * SMALLEST_PX:
        height, width = levels[-1].shape[:2]
        blurred = cv2.GaussianBlur(levels[-1], (0, 0), _BLUR_PX)
        levels.append(
            cv2.resize(blurred, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        )
    return levels


def flow_on_level(flow: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A flow (2, h, w) float32 on a level of another shape (H, W): bilinear, motions scaled with the sides."""
    cv2 = require("cv2")
    height, width = shape
    if flow.shape[1:] == (height, width):
        return flow
    scale = width / flow.shape[2], height / flow.shape[1]
    return np.stack([cv2.resize(part, (width, height)) * np.float32(s) for part, s in zip(flow, scale)])
