"""How far corners that two cameras saw at once are off each other's epipolar lines, in pixels of either image.

With bearings d_a, d_b of a corner and b_from_a = (R, t), `e = d_b^T [t]x R d_a` is zero. An image line bends with the
lens, so the distance is that of first order: |e| over the length of its derivative by the pixel of the image in which
it is measured (Luong and Faugeras, "The fundamental matrix", 1996, 2.3: the gradient criterion, one image at a time).
It needs no pose of the board, so that photos not used in the calibration are measured without fitting anything to them.
"""

from __future__ import annotations

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, skew


def epipolar_distances(
    first: Camera, second: Camera, second_from_first: SE3, pixels_first: np.ndarray, pixels_second: np.ndarray
) -> np.ndarray:
    """Distances of corresponding pixels from each other's epipolar lines.

    Parameters
    ----------
    first, second : Camera
    second_from_first : SE3
        Any unit of length.
    pixels_first, pixels_second : (N, 2) array
        Of the same points.

    Returns
    -------
    (N, 2) float64
        Pixels, in the first image and in the second. NaN where a pixel has no ray.

    Raises
    ------
    ValueError
        If the cameras are at one place, where there are no epipolar lines.
    """
    baseline = np.linalg.norm(second_from_first.translation)
    if baseline == 0:
        raise ValueError("second_from_first: expected a baseline, got no translation")
    E = skew(second_from_first.translation / baseline) @ second_from_first.rotation
    d_first, d_second = first.unproject(pixels_first), second.unproject(pixels_second)
    e = np.abs(np.einsum("ni,ij,nj->n", d_second, E, d_first))
    slopes = [_by_pixel(first, d_first, d_second @ E), _by_pixel(second, d_second, d_first @ E.T)]
    return e[:, None] / np.stack(slopes, axis=1)


def sampson_distances(distances: np.ndarray) -> np.ndarray:
    """The least movement of both pixels, together, that makes their rays meet (Sampson, to first order).

    Parameters
    ----------
    distances : (N, 2) float
        Of `epipolar_distances`.

    Returns
    -------
    (N,) float64
        Pixels: `1 / d^2 = 1 / d_first^2 + 1 / d_second^2`.
    """
    length = np.linalg.norm(distances, axis=1)
    return distances.prod(axis=1) / np.where(length > 0, length, 1.0)


def _by_pixel(camera: Camera, bearings: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(N,) length of the derivative by the pixel of `normals . bearings`: a pixel moves it by J^T (J J^T)^-1."""
    J = camera.project_with_jacobians(bearings).d_point
    square = J @ np.swapaxes(J, 1, 2)
    along = np.einsum("nki,ni->nk", J, normals)
    return np.linalg.norm(np.linalg.solve(square, along[..., None])[..., 0], axis=1)
