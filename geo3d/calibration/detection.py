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


def check_image(image: np.ndarray) -> None:
    """Refuse what is not an image in grey levels.

    Raises
    ------
    ValueError
        If it is not (H, W) uint8.
    """
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"image: expected (H, W) uint8, got {image.shape} {image.dtype}")


def detection(pixels: np.ndarray, least: int) -> Detection | None:
    """What was found, from OpenCV's pixels of all points; None for fewer than `least` or for points on one line.

    Parameters
    ----------
    pixels : (N, 2) float
        The centre of the top-left pixel is (0, 0); NaN for what was not found.
    least : int
    """
    ids = np.flatnonzero(np.isfinite(pixels[:, 0]))
    if len(ids) < least:
        return None
    spread = np.linalg.svd(pixels[ids] - pixels[ids].mean(axis=0), compute_uv=False)
    if spread[1] < 0.02 * spread[0]:
        return None
    return Detection(ids.astype(np.int64), pixels[ids] + 0.5)
