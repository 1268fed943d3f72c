"""Division model: the undistorted point is the distorted one over 1 + k r^2, r measured in the image. Pixels.

The pixel's plane point (a, b) sees the ray (a, b, 1 + k (a^2 + b^2)), so that

    (a, b) = 2 (x, y) / (z + S),  S = sqrt(z^2 - 4 k (x^2 + y^2))
    u = fx a + cx, v = fy b + cy

SIMPLE_DIVISION (f, cx, cy, k) and DIVISION (fx, fy, cx, cy, k). Where k > 0 the image ends at r = 1 / sqrt(k), the
angle whose tangent is 1 / (2 sqrt(k)); where k < 0 the model sees every direction but straight back.

Fitzgibbon 2001. The form of the functions is explained in `models`. Compiled through geo3d.util.jit.
"""

import numpy as np
from numba.extending import register_jitable

from geo3d.cameras.chain import d_one_focal, d_two_focals, pixel_one_focal, pixel_two_focals, select


@register_jitable
def _solve(x, y, z, k):
    """S, z + S (without cancellation where z < 0), and whether the point is in the image."""
    rho2 = x * x + y * y
    square = z * z - 4.0 * k * rho2
    inside = square > 0.0
    root = np.sqrt(select(inside, square, 1.0))
    front = z > 0.0
    total = select(front, z + root, -4.0 * k * rho2 / select(front, 1.0, root - z))
    return root, total, inside & (total > 0.0)


@register_jitable
def _d_division(fx, fy, a, b, k, root, total, column, d_point, d_params):
    half = 0.5 / root
    bend = 4.0 * k * half
    d_point[0, 0] = fx * (2.0 / total + bend * a * a)
    d_point[0, 1] = fx * bend * a * b
    d_point[0, 2] = -fx * 2.0 * half * a
    d_point[1, 0] = fy * bend * a * b
    d_point[1, 1] = fy * (2.0 / total + bend * b * b)
    d_point[1, 2] = -fy * 2.0 * half * b
    shift = (a * a + b * b) * total * half
    d_params[0, column] = fx * a * shift
    d_params[1, column] = fy * b * shift


def simple_division(x, y, z, p, uv, d_point, d_params):
    root, total, valid = _solve(x, y, z, p[3])
    a = 2.0 * x / total
    b = 2.0 * y / total
    pixel_one_focal(a, b, p, uv)
    if d_point is not None:
        d_one_focal(a, b, d_params)
        _d_division(p[0], p[0], a, b, p[3], root, total, 3, d_point, d_params)
    return valid


def division(x, y, z, p, uv, d_point, d_params):
    root, total, valid = _solve(x, y, z, p[4])
    a = 2.0 * x / total
    b = 2.0 * y / total
    pixel_two_focals(a, b, p, uv)
    if d_point is not None:
        d_two_focals(a, b, d_params)
        _d_division(p[0], p[1], a, b, p[4], root, total, 4, d_point, d_params)
    return valid


def max_angle(p: np.ndarray) -> float:
    """Angle at which the image ends. Radians."""
    k = p[-1]
    if k > 0.0:
        return float(np.arctan(0.5 / np.sqrt(k)))
    return np.pi if k < 0.0 else 0.5 * np.pi


def lift(p: np.ndarray, a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """Rays (3, N) through the plane points (a, b)."""
    k = p[-1]
    square = k * (a * a + b * b)
    return np.where(square < 1.0, np.stack([a, b, 1.0 + square]), np.nan)
