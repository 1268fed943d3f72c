"""Rays through the pixels of a photograph, several in each for anti-aliasing, and the grey photo of their light."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from geo3d.cameras import Camera


def sample_offsets(samples: int) -> np.ndarray:
    """(samples^2, 2) places in a pixel, x and y in (0, 1).

    The canonical multi-jittered arrangement (Chiu, Shirley and Wang 1994): a square grid that is sheared so that
    no two samples share a column or a row; edges along the axes are then as smooth as others. The places of one
    colour of the grid's chessboard come before those of the other. For 1 it is the centre.
    """
    i, j = (v.ravel() for v in np.meshgrid(np.arange(samples), np.arange(samples)))
    places = np.stack([i + (j + 0.5) / samples, j + (i + 0.5) / samples], axis=-1) / samples
    return places[np.argsort((i + j) % 2, kind="stable")]


def row_rays(camera: Camera, row: int, samples: int) -> np.ndarray:
    """(W, samples^2, 3) unit rays in the camera frame through one row of pixels, NaN where the lens has none."""
    corner = np.stack([np.arange(camera.width), np.full(camera.width, row)], axis=-1)
    return camera.unproject(corner[:, None] + sample_offsets(samples))


def expose(
    camera: Camera,
    light: Callable[[np.ndarray], np.ndarray],
    samples: int,
    blur_px: float,
    noise: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """(H, W) uint8: anti-aliased, blurred by the lens, with noise in grey levels of 255.

    `light` gives what comes along unit rays (..., 3) of the camera, (...,) in [0, 1].
    """
    import cv2

    image = np.empty((camera.height, camera.width))
    for row in range(camera.height):
        image[row] = light(row_rays(camera, row, samples)).mean(axis=1)
    if blur_px > 0:
        image = cv2.GaussianBlur(image, (0, 0), blur_px)
    image = 255 * image + noise * rng.standard_normal(image.shape)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def pixel_rays(camera: Camera, samples: int) -> np.ndarray:
    """(H, W * samples^2, 3) unit rays of all pixels; those of a pixel are next to each other."""
    rays = np.empty((camera.height, camera.width * samples**2, 3))
    for row in range(camera.height):  # a row at a time: all at once takes ten times the memory
        rays[row] = row_rays(camera, row, samples).reshape(-1, 3)
    return rays
