"""Run a camera model on arrays of points with NumPy."""

import numpy as np

from geo3d.cameras.models import CameraModel

# Points a pass: the columns of one pass stay in the cache of the core.
_CHUNK = 8192


def project(model: CameraModel, params: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) and where they are defined (N,), of points (N, 3)."""
    pixels = np.empty((2, len(points)))
    valid = np.empty(len(points), bool)
    with np.errstate(all="ignore"):
        for start in range(0, len(points), _CHUNK):
            part = slice(start, start + _CHUNK)
            x, y, z = np.ascontiguousarray(points[part].T)
            valid[part] = model.project(x, y, z, params, pixels[:, part], None, None)
    return pixels.T, valid


def project_with_jacobians(
    model: CameraModel, params: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (N, 2), where they are defined (N,), derivatives by the point (N, 2, 3) and parameters (N, 2, P)."""
    count = len(points)
    pixels = np.empty((2, count))
    d_point = np.empty((2, 3, count))
    d_params = np.empty((2, len(params), count))
    with np.errstate(all="ignore"):
        x, y, z = np.ascontiguousarray(points.T)
        valid = np.asarray(model.project(x, y, z, params, pixels, d_point, d_params), bool)
    return pixels.T, valid, np.moveaxis(d_point, 2, 0), np.moveaxis(d_params, 2, 0)


def angles(points: np.ndarray) -> np.ndarray:
    """Angle (N,) of points (N, 3) from the optical axis, radians in [0, pi]."""
    return np.arctan2(np.hypot(points[:, 0], points[:, 1]), points[:, 2])
