"""Equirectangular panorama: longitude and latitude are the pixel. Pixels.

    u = w (atan2(x, z) / 2 pi + 1/2),  v = h (atan2(y, sqrt(x^2 + z^2)) / pi + 1/2)

EQUIRECTANGULAR (w, h): the parameters are the size of the whole sphere in pixels. Every direction is valid; at the
poles (straight up and down) u is the middle of the image and has derivative 0 by choice.
The form of the functions is explained in `models`. Compiled through geo3d.util.jit.
"""

import numpy as np

from geo3d.cameras.chain import select


def equirectangular(x, y, z, p, uv, d_point, d_params):
    level2 = x * x + z * z
    level = np.sqrt(level2)
    longitude = np.arctan2(x, z) / (2.0 * np.pi) + 0.5
    latitude = np.arctan2(y, level) / np.pi + 0.5
    uv[0] = p[0] * longitude
    uv[1] = p[1] * latitude
    if d_point is not None:
        pole = level2 <= 0.0
        safe = select(pole, 1.0, level2)
        per_x = select(pole, 0.0, p[0] / (2.0 * np.pi) / safe)
        per_y = p[1] / np.pi / (level2 + y * y)
        tilt = select(pole, 0.0, -y * per_y / np.sqrt(safe))
        d_point[0, 0] = per_x * z
        d_point[0, 1] = 0.0
        d_point[0, 2] = -per_x * x
        d_point[1, 0] = tilt * x
        d_point[1, 1] = per_y * level
        d_point[1, 2] = tilt * z
        d_params[0, 0] = longitude
        d_params[1, 0] = 0.0
        d_params[0, 1] = 0.0
        d_params[1, 1] = latitude
    return level2 + y * y > 0.0


def max_angle(p: np.ndarray) -> float:
    """The whole sphere. Radians."""
    return np.pi


def lift(p: np.ndarray, a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """Rays (3, N) at longitude a and latitude b, radians; b beyond a pole is no direction."""
    level = np.cos(b)
    rays = np.stack([level * np.sin(a), np.sin(b), level * np.cos(a)])
    return np.where(np.abs(b) <= 0.5 * np.pi, rays, np.nan)
