"""How far two rays are from lying in one plane with the baseline, for any camera."""

from __future__ import annotations

import numpy as np


def epipolar_errors_px(
    rays1: np.ndarray, rays2: np.ndarray, baseline: np.ndarray, focals_px: tuple[float, float]
) -> np.ndarray:
    """(n,) sines of the angles of each ray to the plane of the other and the baseline, the larger, in pixels.

    Parameters
    ----------
    rays1, rays2 : (n, 3)
        Unit rays of the two views, both in the frame of the second.
    baseline : (3,)
        Of any length.
    focals_px : (float, float)
        Focal lengths by which the sines are multiplied.
    """
    return np.maximum(
        _sine_to_plane(rays1, np.cross(baseline, rays2)) * focals_px[0],
        _sine_to_plane(rays2, np.cross(baseline, rays1)) * focals_px[1],
    )


def _sine_to_plane(rays: np.ndarray, normals: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(normals, axis=1)
    return np.abs(np.einsum("ni,ni->n", rays, normals)) / np.where(length > 0, length, 1.0)
