"""OpenCV's dense flows behind the same function, to compare with: Farnebäck 2003, and DIS (Kroeger et al. 2016)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from geo3d.flow.images import FlowImages
from geo3d.util.require import require


@dataclass(frozen=True)
class FarnebackOptions:
    """Options of OpenCV's `calcOpticalFlowFarneback`.

    Attributes
    ----------
    levels : int
        Of the pyramid, each half the size of the one before.
    window_px : int
        Over which displacements are averaged.
    iterations : int
        At each level.
    neighborhood_px : int
        Over which polynomials are fitted.
    sigma_px : float
        Of the Gaussian that weighs this neighbourhood.
    """

    levels: int = 5
    window_px: int = 15
    iterations: int = 3
    neighborhood_px: int = 5
    sigma_px: float = 1.2


@dataclass(frozen=True)
class DisOptions:
    """Options of OpenCV's `DISOpticalFlow`.

    Attributes
    ----------
    preset : {"ultrafast", "fast", "medium"}
        OpenCV's sets of parameters.
    """

    preset: Literal["ultrafast", "fast", "medium"] = "medium"

    def __post_init__(self) -> None:
        if self.preset not in ("ultrafast", "fast", "medium"):
            raise ValueError(f"preset: expected ultrafast, fast or medium, got {self.preset!r}")


def flow_farneback(images: FlowImages, options: FarnebackOptions) -> np.ndarray:
    """(H, W, 2) float32 flow of OpenCV's `calcOpticalFlowFarneback`, of `images` with `options`."""
    cv2 = require("cv2")
    gray0, gray1 = (_bytes(gray) for gray in (images.gray0, images.gray1))
    return cv2.calcOpticalFlowFarneback(
        gray0,
        gray1,
        None,
        0.5,
        options.levels,
        options.window_px,
        options.iterations,
        options.neighborhood_px,
        options.sigma_px,
        0,
    )


def flow_dis(images: FlowImages, options: DisOptions) -> np.ndarray:
    """(H, W, 2) float32 flow of OpenCV's `DISOpticalFlow`, of `images` with `options`."""
    cv2 = require("cv2")
    dis = cv2.DISOpticalFlow_create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{options.preset.upper()}"))
    gray0, gray1 = (_bytes(gray) for gray in (images.gray0, images.gray1))
    return dis.calc(gray0, gray1, None)


def _bytes(gray: np.ndarray) -> np.ndarray:
    return np.round(255.0 * gray).astype(np.uint8)
