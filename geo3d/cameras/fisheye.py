"""Fisheye cameras: the angle theta from the axis maps to the distance from the principal point. Pixels.

With rho = sqrt(x^2 + y^2), theta = atan2(rho, z), (c, s) = (x, y) / rho:

    h = theta (1 + k1 theta^2 + k2 theta^4 + ...),  (m, n) = h (c, s)
    u = fx m + cx,  v = fy n + cy

SIMPLE_FISHEYE (f, cx, cy) and FISHEYE (fx, fy, cx, cy) have no k; SIMPLE_RADIAL_FISHEYE (f, cx, cy, k) one,
RADIAL_FISHEYE (f, cx, cy, k1, k2) two, OPENCV_FISHEYE (fx, fy, cx, cy, k1, k2, k3, k4) four.
THIN_PRISM_FISHEYE (fx, fy, cx, cy, k1, k2, p1, p2, k3, k4, sx1, sy1) applies Brown's polynomial and a thin prism to
(m, n) = theta (c, s); RAD_TAN_THIN_PRISM_FISHEYE (fx, fy, cx, cy, k0..k5, p0, p1, s0..s3) applies, after the
polynomial with k0..k5 and with q = m^2 + n^2,

    a = m + p0 (q + 2 m^2) + 2 p1 m n + s0 q + s1 q^2
    b = n + p1 (q + 2 n^2) + 2 p0 m n + s2 q + s3 q^2

Everything is defined up to theta = pi (COLMAP stops at z = 0), as far as h increases.

Kannala and Brandt 2006; thin prism: Weng 1992; the last model: Project Aria's FisheyeRadTanThinPrism.
The form of the functions is explained in `models`. Compiled through geo3d.util.jit.
"""

import numpy as np
from numba.extending import register_jitable
from numpy.polynomial import polynomial

from geo3d.cameras.chain import (
    d_one_focal,
    d_radial,
    d_two_focals,
    pixel_one_focal,
    pixel_two_focals,
    polar,
    select,
)
from geo3d.cameras.radius import first_positive_root, invert_increasing


@register_jitable
def _d_angle(fx, fy, h, slope, rho, z, c, s, gain, d_point):
    """Derivative by the point for h(theta) (c, s); slope = dh / dtheta, gain = h / theta."""
    inverse = 1.0 / (rho * rho + z * z)
    on_axis = rho <= 0.0
    over_rho = select(on_axis, gain / select(on_axis, z, 1.0), h / select(on_axis, 1.0, rho))
    d_radial(fx, fy, c, s, over_rho, slope * z * inverse, -slope * rho * inverse, d_point)


@register_jitable
def _defined(rho, z):
    """Everywhere but at the centre and on the axis behind it."""
    return (rho > 0.0) | (z > 0.0)


def simple_fisheye(x, y, z, p, uv, d_point, d_params):
    rho, c, s = polar(x, y, z)
    theta = np.arctan2(rho, z)
    pixel_one_focal(theta * c, theta * s, p, uv)
    if d_point is not None:
        d_one_focal(theta * c, theta * s, d_params)
        _d_angle(p[0], p[0], theta, 1.0, rho, z, c, s, 1.0, d_point)
    return _defined(rho, z)


def fisheye(x, y, z, p, uv, d_point, d_params):
    rho, c, s = polar(x, y, z)
    theta = np.arctan2(rho, z)
    pixel_two_focals(theta * c, theta * s, p, uv)
    if d_point is not None:
        d_two_focals(theta * c, theta * s, d_params)
        _d_angle(p[0], p[1], theta, 1.0, rho, z, c, s, 1.0, d_point)
    return _defined(rho, z)


def simple_radial_fisheye(x, y, z, p, uv, d_point, d_params):
    rho, c, s = polar(x, y, z)
    theta = np.arctan2(rho, z)
    t2 = theta * theta
    gain = 1.0 + p[3] * t2
    h = theta * gain
    pixel_one_focal(h * c, h * s, p, uv)
    if d_point is not None:
        d_one_focal(h * c, h * s, d_params)
        d_params[0, 3] = p[0] * c * theta * t2
        d_params[1, 3] = p[0] * s * theta * t2
        _d_angle(p[0], p[0], h, 1.0 + 3.0 * p[3] * t2, rho, z, c, s, gain, d_point)
    return _defined(rho, z)


def radial_fisheye(x, y, z, p, uv, d_point, d_params):
    rho, c, s = polar(x, y, z)
    theta = np.arctan2(rho, z)
    t2 = theta * theta
    gain = 1.0 + t2 * (p[3] + t2 * p[4])
    h = theta * gain
    pixel_one_focal(h * c, h * s, p, uv)
    if d_point is not None:
        t3 = theta * t2
        d_one_focal(h * c, h * s, d_params)
        d_params[0, 3] = p[0] * c * t3
        d_params[1, 3] = p[0] * s * t3
        d_params[0, 4] = p[0] * c * t3 * t2
        d_params[1, 4] = p[0] * s * t3 * t2
        _d_angle(p[0], p[0], h, 1.0 + t2 * (3.0 * p[3] + 5.0 * t2 * p[4]), rho, z, c, s, gain, d_point)
    return _defined(rho, z)


def opencv_fisheye(x, y, z, p, uv, d_point, d_params):
    rho, c, s = polar(x, y, z)
    theta = np.arctan2(rho, z)
    t2 = theta * theta
    gain = 1.0 + t2 * (p[4] + t2 * (p[5] + t2 * (p[6] + t2 * p[7])))
    h = theta * gain
    pixel_two_focals(h * c, h * s, p, uv)
    if d_point is not None:
        d_two_focals(h * c, h * s, d_params)
        along_u = p[0] * c * theta
        along_v = p[1] * s * theta
        power = t2
        for i in range(4, 8):
            d_params[0, i] = along_u * power
            d_params[1, i] = along_v * power
            power = power * t2
        slope = 1.0 + t2 * (3.0 * p[4] + t2 * (5.0 * p[5] + t2 * (7.0 * p[6] + 9.0 * t2 * p[7])))
        _d_angle(p[0], p[1], h, slope, rho, z, c, s, gain, d_point)
    return _defined(rho, z)


@register_jitable
def _d_warp(fx, fy, a_m, a_n, b_m, b_n, d_point):
    """Chain rule in place: d_point holds the derivative of (m, n), and gets that of the pixel."""
    for i in range(3):
        d_m = d_point[0, i] + 0.0
        d_n = d_point[1, i] + 0.0
        d_point[0, i] = fx * (a_m * d_m + a_n * d_n)
        d_point[1, i] = fy * (b_m * d_m + b_n * d_n)


def thin_prism_fisheye(x, y, z, p, uv, d_point, d_params):
    k1 = p[4]
    k2 = p[5]
    p1 = p[6]
    p2 = p[7]
    rho, c, s = polar(x, y, z)
    theta = np.arctan2(rho, z)
    m = theta * c
    n = theta * s
    q = theta * theta
    radial = 1.0 + q * (k1 + q * (k2 + q * (p[8] + q * p[9])))
    a = m * radial + 2.0 * p1 * m * n + p2 * (q + 2.0 * m * m) + p[10] * q
    b = n * radial + p1 * (q + 2.0 * n * n) + 2.0 * p2 * m * n + p[11] * q
    pixel_two_focals(a, b, p, uv)
    if d_point is not None:
        fx = p[0]
        fy = p[1]
        d_two_focals(a, b, d_params)
        _d_thin_prism_coefficients(fx, fy, m, n, q, d_params)
        twice_slope = 2.0 * (k1 + q * (2.0 * k2 + q * (3.0 * p[8] + 4.0 * q * p[9])))
        across = twice_slope * m * n + 2.0 * (p1 * m + p2 * n)
        a_m = radial + twice_slope * m * m + 2.0 * p1 * n + (6.0 * p2 + 2.0 * p[10]) * m
        b_n = radial + twice_slope * n * n + (6.0 * p1 + 2.0 * p[11]) * n + 2.0 * p2 * m
        _d_angle(1.0, 1.0, theta, 1.0, rho, z, c, s, 1.0, d_point)
        _d_warp(fx, fy, a_m, across + 2.0 * p[10] * n, across + 2.0 * p[11] * m, b_n, d_point)
    return _defined(rho, z)


@register_jitable
def _d_thin_prism_coefficients(fx, fy, m, n, q, d_params):
    """Derivative by k1 k2 p1 p2 k3 k4 sx1 sy1 (columns 4 to 11)."""
    fx_m = fx * m
    fy_n = fy * n
    d_params[0, 4] = fx_m * q
    d_params[1, 4] = fy_n * q
    d_params[0, 5] = fx_m * q * q
    d_params[1, 5] = fy_n * q * q
    d_params[0, 6] = 2.0 * fx_m * n
    d_params[1, 6] = fy * (q + 2.0 * n * n)
    d_params[0, 7] = fx * (q + 2.0 * m * m)
    d_params[1, 7] = 2.0 * fy_n * m
    d_params[0, 8] = fx_m * q * q * q
    d_params[1, 8] = fy_n * q * q * q
    d_params[0, 9] = fx_m * q * q * q * q
    d_params[1, 9] = fy_n * q * q * q * q
    d_params[0, 10] = fx * q
    d_params[1, 10] = 0.0
    d_params[0, 11] = 0.0
    d_params[1, 11] = fy * q


def rad_tan_thin_prism_fisheye(x, y, z, p, uv, d_point, d_params):
    p0 = p[10]
    p1 = p[11]
    rho, c, s = polar(x, y, z)
    theta = np.arctan2(rho, z)
    t2 = theta * theta
    gain = 1.0 + t2 * (p[4] + t2 * (p[5] + t2 * (p[6] + t2 * (p[7] + t2 * (p[8] + t2 * p[9])))))
    h = theta * gain
    m = h * c
    n = h * s
    q = h * h
    a = m + p0 * (q + 2.0 * m * m) + 2.0 * p1 * m * n + q * (p[12] + q * p[13])
    b = n + p1 * (q + 2.0 * n * n) + 2.0 * p0 * m * n + q * (p[14] + q * p[15])
    pixel_two_focals(a, b, p, uv)
    if d_point is not None:
        fx = p[0]
        fy = p[1]
        prism_a = 2.0 * p[12] + 4.0 * p[13] * q
        prism_b = 2.0 * p[14] + 4.0 * p[15] * q
        across = 2.0 * (p0 * n + p1 * m)
        a_m = 1.0 + (6.0 * p0 + prism_a) * m + 2.0 * p1 * n
        a_n = across + prism_a * n
        b_m = across + prism_b * m
        b_n = 1.0 + (6.0 * p1 + prism_b) * n + 2.0 * p0 * m
        d_two_focals(a, b, d_params)
        power = theta * t2
        for i in range(4, 10):
            d_params[0, i] = fx * (a_m * c + a_n * s) * power
            d_params[1, i] = fy * (b_m * c + b_n * s) * power
            power = power * t2
        _d_tangential_prism(fx, fy, m, n, q, d_params)
        slope = 1.0 + t2 * (
            3.0 * p[4]
            + t2
            * (5.0 * p[5] + t2 * (7.0 * p[6] + t2 * (9.0 * p[7] + t2 * (11.0 * p[8] + 13.0 * t2 * p[9]))))
        )
        _d_angle(1.0, 1.0, h, slope, rho, z, c, s, gain, d_point)
        _d_warp(fx, fy, a_m, a_n, b_m, b_n, d_point)
    return _defined(rho, z)


@register_jitable
def _d_tangential_prism(fx, fy, m, n, q, d_params):
    """Derivative by p0 p1 s0 s1 s2 s3 (columns 10 to 15)."""
    d_params[0, 10] = fx * (q + 2.0 * m * m)
    d_params[1, 10] = 2.0 * fy * m * n
    d_params[0, 11] = 2.0 * fx * m * n
    d_params[1, 11] = fy * (q + 2.0 * n * n)
    d_params[0, 12] = fx * q
    d_params[1, 12] = 0.0
    d_params[0, 13] = fx * q * q
    d_params[1, 13] = 0.0
    d_params[0, 14] = 0.0
    d_params[1, 14] = fy * q
    d_params[0, 15] = 0.0
    d_params[1, 15] = fy * q * q


def max_angle(k: np.ndarray) -> float:
    """Angle up to which theta (1 + k1 theta^2 + ...) increases, at most pi. Radians."""
    odd = 1.0 + 2.0 * np.arange(1, len(k) + 1)
    return min(float(np.sqrt(first_positive_root(np.array([1.0, *(odd * k)])))), np.pi)


def lift(k: np.ndarray, a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """Rays (3, N) through the plane points (a, b), by the radial part alone."""
    odd = np.array([1.0, *k])
    slope = odd * (1.0 + 2.0 * np.arange(len(odd)))

    def distort(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        square = theta * theta
        return theta * polynomial.polyval(square, odd), polynomial.polyval(square, slope)

    radius = np.hypot(a, b)
    theta = invert_increasing(distort, radius, limit)
    gain = np.sin(theta) / np.where(radius > 0.0, radius, 1.0)
    return np.stack([a * gain, b * gain, np.cos(theta)])
