"""Points and images without their distortion."""

from typing import Any

import numpy as np

from geo3d.cameras.camera import Camera


def undistort_points(camera: Camera, pixels: Any) -> np.ndarray:
    """Points on the plane z = 1 that project to the pixels.

    Parameters
    ----------
    camera : Camera
    pixels : (..., 2) array_like

    Returns
    -------
    (..., 2) float64
        x / z, y / z; NaN for a pixel without a ray, or whose ray does not look forward.
    """
    rays = camera.unproject(pixels)
    forward = rays[..., 2:] > 0.0
    return np.where(forward, rays[..., :2] / np.where(forward, rays[..., 2:], 1.0), np.nan)
