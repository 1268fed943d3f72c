"""Run a camera model on arrays of points with NumPy; NaN where it is not defined or not one to one."""

import numpy as np

from geo3d.cameras.models import CameraModel

# Points a pass: the columns of one pass stay in the cache of the core.
_CHUNK = 8192


def project(model: CameraModel, params: np.ndarray, points: np.ndarray, limit: float = np.pi) -> np.ndarray:
    """Pixels (N, 2) of points (N, 3); NaN where not defined, or farther than `limit` radians from the axis."""
    pixels = np.empty((len(points), 2))
    buffer = np.empty((2, min(_CHUNK, len(points))))
    with np.errstate(all="ignore"):
        for start in range(0, len(points), _CHUNK):
            x, y, z = np.ascontiguousarray(points[start : start + _CHUNK].T)
            uv = buffer[:, : len(x)]
            valid = model.project(x, y, z, params, uv, None, None) & within(x, y, z, limit)
            uv[:, ~valid] = np.nan
            pixels[start : start + _CHUNK] = uv.T
    return pixels


def project_with_jacobians(
    model: CameraModel, params: np.ndarray, points: np.ndarray, limit: float = np.pi
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`project` with the derivatives by the point (N, 2, 3) and the parameters (N, 2, P), NaN like the pixels."""
    count = len(points)
    pixels = np.empty((2, count))
    d_point = np.empty((2, 3, count))
    d_params = np.empty((2, len(params), count))
    with np.errstate(all="ignore"):
        x, y, z = np.ascontiguousarray(points.T)
        valid = model.project(x, y, z, params, pixels, d_point, d_params) & within(x, y, z, limit)
    for result in (pixels, d_point, d_params):
        result[..., ~valid] = np.nan
    return pixels.T, np.moveaxis(d_point, 2, 0), np.moveaxis(d_params, 2, 0)


def project_with_d_point(
    model: CameraModel, params: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) and their derivatives by the point (N, 2, 3) where the model is defined, else NaN."""
    if not model.splined:
        return project_with_jacobians(model, params, points)[:2]
    pixels, d_point = np.empty((2, len(points))), np.empty((2, 3, len(points)))
    with np.errstate(all="ignore"):
        x, y, z = np.ascontiguousarray(points.T)
        valid = model.project(x, y, z, params, pixels, d_point, None) & within(x, y, z, np.pi)
    for result in (pixels, d_point):
        result[..., ~valid] = np.nan
    return pixels.T, np.moveaxis(d_point, 2, 0)


def within(x: np.ndarray, y: np.ndarray, z: np.ndarray, limit: float) -> np.ndarray:
    """Whether points are finite and at most `limit` radians from the optical axis, without trigonometry a point."""
    finite = np.isfinite(x + y + z)
    if limit >= np.pi:
        return finite
    if abs(limit - 0.5 * np.pi) < 1e-15:
        return finite & (z >= 0.0)
    cone = np.tan(limit) ** 2 * z * z
    rho2 = x * x + y * y
    inside = (z > 0.0) & (rho2 <= cone) if limit < 0.5 * np.pi else (z >= 0.0) | (rho2 >= cone)
    return finite & inside


def angles(points: np.ndarray) -> np.ndarray:
    """Angle (N,) of points (N, 3) from the optical axis, radians in [0, pi]."""
    return np.arctan2(np.hypot(points[:, 0], points[:, 1]), points[:, 2])
