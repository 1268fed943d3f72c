"""Pixels as rays with their local scale: what turns a residual on rays into pixels, for any camera.

For a pinhole the ray of a pixel u is `d = (x, y, 1)` and everything is exact. For any other camera `d` is the unit
bearing; `d_pixel = dd/du` (3x2) and `pixel_d = du/dd` (2x3), its pseudo-inverse, are the Jacobians of the camera at
that pixel, so residuals are pixels to first order, over the whole field of view. (Terekhov and Larsson, "Tangent
Sampson error: fast approximate two-view reprojection error for central camera models", ICCV 2023.)
"""

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.estimation.checks import check_array

_PINHOLES = ("SIMPLE_PINHOLE", "PINHOLE")


@dataclass(frozen=True)
class PixelRays:
    """Rays of N pixels.

    Attributes
    ----------
    bearings : (N, 3)
        Unit rays.
    directions : (N, 3)
        The same rays: `(x, y, 1)` for a pinhole, else unit.
    planes : (N, 3)
        Normals of the image plane that residuals live in: (0, 0, 1) for a pinhole, else the bearing.
    d_pixel : (N, 3, 2)
        d directions / d pixel.
    pixel_d : (N, 2, 3)
        d pixel / d directions.
    """

    bearings: np.ndarray
    directions: np.ndarray
    planes: np.ndarray
    d_pixel: np.ndarray
    pixel_d: np.ndarray


def pixel_rays(name: str, pixels: np.ndarray, camera: Camera) -> PixelRays:
    """Rays of the pixels (N, 2).

    Raises
    ------
    ValueError
        If there are NaN, or pixels that the camera has no ray for.
    """
    pixels = check_array(name, pixels, 2)
    bearings = camera.unproject(pixels)
    if not np.isfinite(bearings).all():
        bad = np.flatnonzero(~np.isfinite(bearings).all(axis=1))
        raise ValueError(
            f"{name}: {len(bad)} of {len(pixels)} pixels have no ray in this {camera.model} camera (first: row "
            f"{bad[0]}, {pixels[bad[0]]}); drop them first"
        )
    n = len(pixels)
    if camera.model in _PINHOLES:
        fx, fy = camera.focal
        directions = np.ascontiguousarray(bearings / bearings[:, 2:])
        d_pixel = np.zeros((n, 3, 2))
        d_pixel[:, 0, 0], d_pixel[:, 1, 1] = 1.0 / fx, 1.0 / fy
        pixel_d = np.zeros((n, 2, 3))
        pixel_d[:, 0, 0], pixel_d[:, 1, 1] = fx, fy
        pixel_d[:, 0, 2], pixel_d[:, 1, 2] = -fx * directions[:, 0], -fy * directions[:, 1]
        planes = np.broadcast_to([0.0, 0.0, 1.0], (n, 3))
        return PixelRays(np.ascontiguousarray(bearings), directions, planes, d_pixel, pixel_d)
    pixel_d = camera.project_with_jacobians(bearings).d_point
    # Rows of pixel_d are orthogonal to the unit bearing, so its pseudo-inverse is the Jacobian of the bearing.
    d_pixel = pixel_d.transpose(0, 2, 1) @ np.linalg.inv(pixel_d @ pixel_d.transpose(0, 2, 1))
    return PixelRays(np.ascontiguousarray(bearings), bearings, bearings, d_pixel, pixel_d)


def sampson_data(rays1: PixelRays, rays2: PixelRays) -> np.ndarray:
    """(18, N): d1, dd1/du1 row by row, d2, dd2/du2, as the kernels of `sampson` want them."""
    n = len(rays1.directions)
    return np.ascontiguousarray(
        np.concatenate(
            [rays1.directions, rays1.d_pixel.reshape(n, 6), rays2.directions, rays2.d_pixel.reshape(n, 6)],
            axis=1,
        ).T
    )
