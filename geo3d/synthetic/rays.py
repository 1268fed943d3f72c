"""Rays through the pixels of a photograph, several in each for anti-aliasing."""

from __future__ import annotations

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


def pixel_rays(camera: Camera, samples: int) -> np.ndarray:
    """(H, W * samples^2, 3) unit rays of all pixels; those of a pixel are next to each other."""
    rays = np.empty((camera.height, camera.width * samples**2, 3))
    for row in range(camera.height):  # a row at a time: all at once takes ten times the memory
        rays[row] = row_rays(camera, row, samples).reshape(-1, 3)
    return rays
