"""Perspective cameras with Brown's distortion (and its rational and thin-prism extensions). Pixels.

With m = x / z, n = y / z, s = m^2 + n^2:

    radial = (1 + k1 s + k2 s^2 + k3 s^3) / (1 + k4 s + k5 s^2 + k6 s^3)
    a = m radial + 2 p1 m n + p2 (s + 2 m^2) + s1 s + s2 s^2
    b = n radial + p1 (s + 2 n^2) + 2 p2 m n + s3 s + s4 s^2
    u = fx a + cx, v = fy b + cy

for z > 0. BROWN_CONRADY_12 is the whole of it (OpenCV's twelve coefficients); FULL_OPENCV stops at k6,
BROWN_CONRADY_5 at k3, OPENCV at p2 (their parameters are the first of the twelve: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3
s4). SIMPLE_RADIAL (f, cx, cy, k) and RADIAL (f, cx, cy, k1, k2) have one focal length and no tangential part.

Brown 1971; Conrady 1919; the rational form Claus and Fitzgibbon 2005, as in OpenCV; the thin prism Weng 1992.
The form of the functions is explained in `models`. Compiled through geo3d.util.jit.
"""

import numpy as np
from numba.extending import register_jitable
from numpy.polynomial import polynomial

from geo3d.cameras.chain import (
    EPSILON,
    d_one_focal,
    d_perspective,
    d_two_focals,
    pixel_one_focal,
    pixel_two_focals,
)
from geo3d.cameras.radius import first_positive_root, invert_increasing


def simple_radial(x, y, z, p, uv, d_point, d_params):
    w = 1.0 / z
    m = x * w
    n = y * w
    s = m * m + n * n
    radial = 1.0 + p[3] * s
    pixel_one_focal(m * radial, n * radial, p, uv)
    if d_point is not None:
        f = p[0]
        twice_slope = 2.0 * p[3]  # 2 d radial / d s
        d_one_focal(m * radial, n * radial, d_params)
        d_params[0, 3] = f * m * s
        d_params[1, 3] = f * n * s
        across = twice_slope * m * n
        d_perspective(
            f, f, radial + twice_slope * m * m, across, across, radial + twice_slope * n * n, m, n, w, d_point
        )
    return z > EPSILON


def radial(x, y, z, p, uv, d_point, d_params):
    w = 1.0 / z
    m = x * w
    n = y * w
    s = m * m + n * n
    radial = 1.0 + s * (p[3] + s * p[4])
    pixel_one_focal(m * radial, n * radial, p, uv)
    if d_point is not None:
        f = p[0]
        twice_slope = 2.0 * p[3] + 4.0 * p[4] * s
        d_one_focal(m * radial, n * radial, d_params)
        d_params[0, 3] = f * m * s
        d_params[1, 3] = f * n * s
        d_params[0, 4] = f * m * s * s
        d_params[1, 4] = f * n * s * s
        across = twice_slope * m * n
        d_perspective(
            f, f, radial + twice_slope * m * m, across, across, radial + twice_slope * n * n, m, n, w, d_point
        )
    return z > EPSILON


def opencv(x, y, z, p, uv, d_point, d_params):
    p1 = p[6]
    p2 = p[7]
    w = 1.0 / z
    m = x * w
    n = y * w
    s = m * m + n * n
    radial = 1.0 + s * (p[4] + s * p[5])
    a = m * radial + 2.0 * p1 * m * n + p2 * (s + 2.0 * m * m)
    b = n * radial + p1 * (s + 2.0 * n * n) + 2.0 * p2 * m * n
    pixel_two_focals(a, b, p, uv)
    if d_point is not None:
        twice_slope = 2.0 * p[4] + 4.0 * p[5] * s
        d_two_focals(a, b, d_params)
        _d_radial_coefficients(p[0], p[1], m, n, s, d_params)
        across = twice_slope * m * n + 2.0 * (p1 * m + p2 * n)
        a_m = radial + twice_slope * m * m + 2.0 * p1 * n + 6.0 * p2 * m
        b_n = radial + twice_slope * n * n + 6.0 * p1 * n + 2.0 * p2 * m
        d_perspective(p[0], p[1], a_m, across, across, b_n, m, n, w, d_point)
    return z > EPSILON


@register_jitable
def _d_radial_coefficients(fx, fy, m, n, s, d_params):
    """Derivative by k1 k2 p1 p2 (columns 4 to 7) of the polynomial model."""
    fx_m = fx * m
    fy_n = fy * n
    d_params[0, 4] = fx_m * s
    d_params[1, 4] = fy_n * s
    d_params[0, 5] = fx_m * s * s
    d_params[1, 5] = fy_n * s * s
    d_params[0, 6] = 2.0 * fx_m * n
    d_params[1, 6] = fy * (s + 2.0 * n * n)
    d_params[0, 7] = fx * (s + 2.0 * m * m)
    d_params[1, 7] = 2.0 * fy_n * m


@register_jitable
def _rational_prism(x, y, z, p, count, uv, d_point, d_params):
    """The whole model; `count` is the number of parameters in use, those after it are zero."""
    p1 = p[6]
    p2 = p[7]
    k3 = p[8]
    k4 = p[9] if count > 9 else 0.0
    k5 = p[10] if count > 9 else 0.0
    k6 = p[11] if count > 9 else 0.0
    s1 = p[12] if count > 12 else 0.0
    s2 = p[13] if count > 12 else 0.0
    s3 = p[14] if count > 12 else 0.0
    s4 = p[15] if count > 12 else 0.0
    w = 1.0 / z
    m = x * w
    n = y * w
    s = m * m + n * n
    numerator = 1.0 + s * (p[4] + s * (p[5] + s * k3))
    inverse = 1.0 / (1.0 + s * (k4 + s * (k5 + s * k6)))
    radial = numerator * inverse
    a = m * radial + 2.0 * p1 * m * n + p2 * (s + 2.0 * m * m) + s * (s1 + s * s2)
    b = n * radial + p1 * (s + 2.0 * n * n) + 2.0 * p2 * m * n + s * (s3 + s * s4)
    pixel_two_focals(a, b, p, uv)
    if d_point is not None:
        d_two_focals(a, b, d_params)
        twice_slope = (
            2.0
            * inverse
            * (p[4] + s * (2.0 * p[5] + 3.0 * s * k3) - radial * (k4 + s * (2.0 * k5 + 3.0 * s * k6)))
        )
        prism_a = 2.0 * s1 + 4.0 * s2 * s
        prism_b = 2.0 * s3 + 4.0 * s4 * s
        across = twice_slope * m * n + 2.0 * (p1 * m + p2 * n)
        a_m = radial + twice_slope * m * m + 2.0 * p1 * n + (6.0 * p2 + prism_a) * m
        b_n = radial + twice_slope * n * n + (6.0 * p1 + prism_b) * n + 2.0 * p2 * m
        d_perspective(p[0], p[1], a_m, across + prism_a * n, across + prism_b * m, b_n, m, n, w, d_point)
        _d_rational_prism(p[0], p[1], m, n, s, radial, inverse, count, d_params)
    return (z > EPSILON) & (inverse > 0.0)


@register_jitable
def _d_rational_prism(fx, fy, m, n, s, radial, inverse, count, d_params):
    """Derivative by the coefficients (columns 4 to count - 1)."""
    _d_radial_coefficients(fx, fy, m * inverse, n * inverse, s, d_params)
    d_params[0, 6] = 2.0 * fx * m * n
    d_params[1, 6] = fy * (s + 2.0 * n * n)
    d_params[0, 7] = fx * (s + 2.0 * m * m)
    d_params[1, 7] = 2.0 * fy * m * n
    cube = s * s * s * inverse
    d_params[0, 8] = fx * m * cube
    d_params[1, 8] = fy * n * cube
    if count > 9:
        fx_m = -fx * m * radial * inverse
        fy_n = -fy * n * radial * inverse
        d_params[0, 9] = fx_m * s
        d_params[1, 9] = fy_n * s
        d_params[0, 10] = fx_m * s * s
        d_params[1, 10] = fy_n * s * s
        d_params[0, 11] = fx_m * s * s * s
        d_params[1, 11] = fy_n * s * s * s
    if count > 12:
        d_params[0, 12] = fx * s
        d_params[1, 12] = 0.0
        d_params[0, 13] = fx * s * s
        d_params[1, 13] = 0.0
        d_params[0, 14] = 0.0
        d_params[1, 14] = fy * s
        d_params[0, 15] = 0.0
        d_params[1, 15] = fy * s * s


def brown_conrady_5(x, y, z, p, uv, d_point, d_params):
    return _rational_prism(x, y, z, p, 9, uv, d_point, d_params)


def full_opencv(x, y, z, p, uv, d_point, d_params):
    return _rational_prism(x, y, z, p, 12, uv, d_point, d_params)


def brown_conrady_12(x, y, z, p, uv, d_point, d_params):
    return _rational_prism(x, y, z, p, 16, uv, d_point, d_params)


def _coefficients(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of the radial factor, polynomials of s, ascending; p are all twelve, or 1 or 2 k."""
    if len(p) <= 5:
        return np.array([1.0, *p[3:]]), np.ones(1)
    k = np.zeros(6)
    k[:2] = p[4:6]
    k[2 : 2 + len(p[8:12])] = p[8:12]
    return np.array([1.0, *k[:3]]), np.array([1.0, *k[3:]])


def max_angle(p: np.ndarray) -> float:
    """Angle up to which the radial part increases: d/dr (r N / D) = 0, or the pole D = 0. Radians."""
    numerator, denominator = _coefficients(p)
    slope = polynomial.polymul(numerator, denominator)
    s = [0.0, 2.0]
    slope = polynomial.polyadd(
        slope, polynomial.polymul(s, polynomial.polymul(polynomial.polyder(numerator), denominator))
    )
    slope = polynomial.polysub(
        slope, polynomial.polymul(s, polynomial.polymul(numerator, polynomial.polyder(denominator)))
    )
    pole = first_positive_root(denominator) * (1.0 - 1e-12)  # this side of it, in spite of rounding
    square = min(first_positive_root(slope), pole)
    return float(np.arctan(np.sqrt(square)))


def lift(p: np.ndarray, a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """Rays (3, N) through the plane points (a, b), by the radial part alone."""
    numerator, denominator = _coefficients(p)
    d_numerator, d_denominator = polynomial.polyder(numerator), polynomial.polyder(denominator)

    def distort(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = r * r
        bottom = polynomial.polyval(s, denominator)
        factor = polynomial.polyval(s, numerator) / bottom
        change = (polynomial.polyval(s, d_numerator) - factor * polynomial.polyval(s, d_denominator)) / bottom
        return r * factor, factor + 2.0 * s * change

    distorted = np.hypot(a, b)
    r = invert_increasing(distort, distorted, np.tan(limit) if limit < 0.5 * np.pi else np.inf)
    gain = r / np.where(distorted > 0.0, distorted, 1.0)
    return np.stack([a * gain, b * gain, np.where(np.isnan(gain), np.nan, 1.0)])
