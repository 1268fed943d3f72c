"""Wide-angle cameras in closed form both ways: field of view, extended unified, double sphere. Pixels.

With rho = sqrt(x^2 + y^2), and u = fx a + cx, v = fy b + cy:

    FOV (fx, fy, cx, cy, omega):            (a, b) = atan2(2 tan(omega / 2) rho, z) / omega  (x, y) / rho
    EUCM (fx, fy, cx, cy, alpha, beta):     (a, b) = (x, y) / (alpha d + (1 - alpha) z),  d = sqrt(beta rho^2 + z^2)
    DOUBLE_SPHERE (fx, fy, cx, cy, xi, alpha):
        d1 = sqrt(rho^2 + z^2), g = xi d1 + z, d2 = sqrt(rho^2 + g^2)
        (a, b) = (x, y) / (alpha d2 + (1 - alpha) g)

FOV is continued behind z = 0 (COLMAP stops there), and tends to the pinhole as omega tends to 0. The double sphere's
bound is the exact one, g > -w d2 with w = alpha / (1 - alpha) or its inverse, whichever is less than 1; the z > -w2 d1
of the paper leaves some of it out and lets some more in.

Devernay and Faugeras 2001; Khomutenko 2016; Usenko 2018.
The form of the functions is explained in `models`. Compiled through geo3d.util.jit.
"""

import numpy as np
from numba.extending import register_jitable

from geo3d.cameras.chain import d_radial, d_two_focals, pixel_two_focals, polar, select


def fov(x, y, z, p, uv, d_point, d_params):
    small = np.abs(p[4]) < 1e-9
    omega = select(small, 1e-9, p[4])  # the limit, to rounding
    stretch = 2.0 * np.tan(0.5 * omega)
    rho, c, s = polar(x, y, z)
    h = np.arctan2(stretch * rho, z) / omega
    pixel_two_focals(h * c, h * s, p, uv)
    if d_point is not None:
        d_two_focals(h * c, h * s, d_params)
        inverse = 1.0 / (stretch * stretch * rho * rho + z * z)
        on_axis = rho <= 0.0
        first = stretch / omega
        over_rho = select(on_axis, first / select(on_axis, z, 1.0), h / select(on_axis, 1.0, rho))
        d_radial(p[0], p[1], c, s, over_rho, first * z * inverse, -first * rho * inverse, d_point)
        exact = (rho * z * (1.0 + 0.25 * stretch * stretch) * inverse - h) / omega
        r = rho / z
        r2 = r * r
        series = (
            p[4] * r * ((1.0 / 6.0 - 2.0 / 3.0 * r2) + p[4] * p[4] * (1.0 / 30.0 - r2 / 3.0 + 0.8 * r2 * r2))
        )
        # The difference above loses its digits as omega tends to 0.
        d_omega = select((np.abs(p[4]) < 1e-3) & (z > 0.0) & (r2 < 100.0), series, exact)
        d_params[0, 4] = p[0] * c * d_omega
        d_params[1, 4] = p[1] * s * d_omega
    return (rho > 0.0) | (z > 0.0)


@register_jitable
def _d_quotient(fx, fy, a, b, inverse, over_x, over_y, over_z, d_point):
    """Derivative by the point of (x, y) / D; inverse = 1 / D, over_* = dD / d*."""
    fx_i = fx * inverse
    fy_i = fy * inverse
    d_point[0, 0] = fx_i * (1.0 - a * over_x)
    d_point[0, 1] = -fx_i * a * over_y
    d_point[0, 2] = -fx_i * a * over_z
    d_point[1, 0] = -fy_i * b * over_x
    d_point[1, 1] = fy_i * (1.0 - b * over_y)
    d_point[1, 2] = -fy_i * b * over_z


def eucm(x, y, z, p, uv, d_point, d_params):
    alpha = p[4]
    beta = p[5]
    rho2 = x * x + y * y
    d = np.sqrt(beta * rho2 + z * z)
    denominator = alpha * d + (1.0 - alpha) * z
    inverse = 1.0 / denominator
    a = x * inverse
    b = y * inverse
    pixel_two_focals(a, b, p, uv)
    if d_point is not None:
        d_two_focals(a, b, d_params)
        over_d = 1.0 / d
        bend = alpha * beta * over_d
        _d_quotient(p[0], p[1], a, b, inverse, bend * x, bend * y, alpha * z * over_d + 1.0 - alpha, d_point)
        by_alpha = -(d - z) * inverse
        by_beta = -0.5 * alpha * rho2 * over_d * inverse
        d_params[0, 4] = p[0] * a * by_alpha
        d_params[1, 4] = p[1] * b * by_alpha
        d_params[0, 5] = p[0] * a * by_beta
        d_params[1, 5] = p[1] * b * by_beta
    # Beyond this plane (alpha > 1/2) a second ray has the same pixel.
    bound = select(alpha > 0.5, (1.0 - alpha) / select(alpha > 0.5, alpha, 1.0), 1.0)
    return (denominator > 0.0) & (z > -bound * d)


def double_sphere(x, y, z, p, uv, d_point, d_params):
    xi = p[4]
    alpha = p[5]
    rho2 = x * x + y * y
    d1 = np.sqrt(rho2 + z * z)
    g = xi * d1 + z
    d2 = np.sqrt(rho2 + g * g)
    denominator = alpha * d2 + (1.0 - alpha) * g
    inverse = 1.0 / denominator
    a = x * inverse
    b = y * inverse
    pixel_two_focals(a, b, p, uv)
    if d_point is not None:
        d_two_focals(a, b, d_params)
        over_d1 = 1.0 / d1
        over_d2 = 1.0 / d2
        by_g = alpha * g * over_d2 + 1.0 - alpha
        bend = alpha * over_d2 + by_g * xi * over_d1
        over_z = by_g * (xi * z * over_d1 + 1.0)
        _d_quotient(p[0], p[1], a, b, inverse, bend * x, bend * y, over_z, d_point)
        by_xi = -by_g * d1 * inverse
        by_alpha = -(d2 - g) * inverse
        d_params[0, 4] = p[0] * a * by_xi
        d_params[1, 4] = p[1] * b * by_xi
        d_params[0, 5] = p[0] * a * by_alpha
        d_params[1, 5] = p[1] * b * by_alpha
    # One to one from the first sphere to the second (which |xi| < 1 always is), and from that to the image.
    steep = alpha > 0.5
    bound = select(steep, (1.0 - alpha) / select(steep, alpha, 1.0), alpha / select(steep, 1.0, 1.0 - alpha))
    return (denominator > 0.0) & (g > -bound * d2) & (d1 + xi * z > 0.0)


def fov_max_angle(p: np.ndarray) -> float:
    """Straight back; ninety degrees in the limit of a pinhole. Radians."""
    return np.pi if abs(p[4]) >= 1e-9 else 0.5 * np.pi


def fov_lift(p: np.ndarray, a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """Rays (3, N) through the plane points (a, b)."""
    omega = abs(p[4]) if abs(p[4]) >= 1e-9 else 1e-9
    radius = np.hypot(a, b)
    angle = radius * omega
    gain = np.sin(angle) / np.where(radius > 0.0, radius, 1.0)
    gain = np.where(radius > 0.0, gain, omega)
    rays = np.stack([a * gain, b * gain, 2.0 * np.tan(0.5 * omega) * np.cos(angle)])
    return np.where(angle < np.pi, rays, np.nan)


def eucm_max_angle(p: np.ndarray) -> float:
    """Edge of the half space in which the projection is one to one. Radians."""
    alpha, beta = p[4:6]
    bound = (1.0 - alpha) / alpha if alpha > 0.5 else alpha / (1.0 - alpha)
    return float(np.arctan2(np.sqrt(max(1.0 - bound * bound, 0.0)), -bound * np.sqrt(beta)))


def eucm_lift(p: np.ndarray, a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """Rays (3, N) through the plane points (a, b)."""
    alpha, beta = p[4:6]
    square = beta * (a * a + b * b)
    z = (1.0 - alpha * alpha * square) / (alpha * np.sqrt(1.0 - (2.0 * alpha - 1.0) * square) + 1.0 - alpha)
    return np.where(np.isnan(z), np.nan, np.stack([a, b, z]))


def double_sphere_max_angle(p: np.ndarray) -> float:
    """Edge of the half space in which the projection is one to one. Radians."""
    xi, alpha = p[4:6]
    bound = (1.0 - alpha) / alpha if alpha > 0.5 else alpha / (1.0 - alpha)
    # The direction of cosine -bound from the second centre, (0, 0, -xi), meets the first sphere at this cosine.
    inside = 1.0 - xi * xi * (1.0 - bound * bound)
    cosine = -xi - bound * (np.sqrt(inside) - xi * bound) if inside >= 0.0 else -1.0
    if abs(xi) > 1.0:
        cosine = max(cosine, -1.0 / xi)
    return float(np.arccos(np.clip(cosine, -1.0, 1.0)))


def double_sphere_lift(p: np.ndarray, a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """Rays (3, N) through the plane points (a, b)."""
    xi, alpha = p[4:6]
    square = a * a + b * b
    z = (1.0 - alpha * alpha * square) / (alpha * np.sqrt(1.0 - (2.0 * alpha - 1.0) * square) + 1.0 - alpha)
    scale = (z * xi + np.sqrt(z * z + (1.0 - xi * xi) * square)) / (z * z + square)
    rays = np.stack([scale * a, scale * b, scale * z - xi])
    return np.where(np.isnan(scale), np.nan, rays)
