"""Perspective cameras without distortion: u = fx x / z + cx, v = fy y / z + cy, for z > 0. Pixels.

SIMPLE_PINHOLE (f, cx, cy) and PINHOLE (fx, fy, cx, cy). Hartley and Zisserman 2004, chapter 6.
The form of the functions is explained in `models`. Compiled through geo3d.util.jit.
"""

import numpy as np

from geo3d.cameras.chain import (
    EPSILON,
    d_one_focal,
    d_perspective,
    d_two_focals,
    pixel_one_focal,
    pixel_two_focals,
)


def simple_pinhole(x, y, z, p, uv, d_point, d_params):
    w = 1.0 / z
    m = x * w
    n = y * w
    pixel_one_focal(m, n, p, uv)
    if d_point is not None:
        d_one_focal(m, n, d_params)
        d_perspective(p[0], p[0], 1.0, 0.0, 0.0, 1.0, m, n, w, d_point)
    return z > EPSILON


def pinhole(x, y, z, p, uv, d_point, d_params):
    w = 1.0 / z
    m = x * w
    n = y * w
    pixel_two_focals(m, n, p, uv)
    if d_point is not None:
        d_two_focals(m, n, d_params)
        d_perspective(p[0], p[1], 1.0, 0.0, 0.0, 1.0, m, n, w, d_point)
    return z > EPSILON


def lift(p: np.ndarray, a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """Rays (3, N) through the plane points (a, b)."""
    return np.stack([a, b, np.ones_like(a)])


def max_angle(p: np.ndarray) -> float:
    """Ninety degrees."""
    return 0.5 * np.pi
