"""What every camera model shares: focal lengths and principal point, and the chain rule through them.

A model takes the point (x, y, z) of the camera frame to a plane point (a, b) without units, and that to the pixel
u = fx a + cx, v = fy b + cy. The functions here do the second step and its derivatives.

Plain functions in scalar style: NumPy runs them on arrays, numba compiles them for scalars (see `models`).
Compiled through geo3d.util.jit (the name puts this file into the hash of the kernel cache).
"""

import numpy as np
from numba.extending import overload, register_jitable

# A point nearer to the plane z = 0 than this is not in front of a camera (COLMAP's choice).
EPSILON = float(np.finfo(np.float64).eps)


def select(condition, yes, no):
    """`yes` where `condition`, else `no`."""
    return np.where(condition, yes, no)


# Not called from here: numba takes what this returns for `select` in compiled code, where the operands are scalars.
@overload(select)
def _select_scalar(condition, yes, no):
    return lambda condition, yes, no: yes if condition else no


@register_jitable
def pixel_one_focal(a, b, p, uv):
    """Pixel for parameters f, cx, cy, ..."""
    uv[0] = p[0] * a + p[1]
    uv[1] = p[0] * b + p[2]


@register_jitable
def pixel_two_focals(a, b, p, uv):
    """Pixel for parameters fx, fy, cx, cy, ..."""
    uv[0] = p[0] * a + p[2]
    uv[1] = p[1] * b + p[3]


@register_jitable
def d_one_focal(a, b, d_params):
    """Derivative of the pixel by f, cx, cy."""
    d_params[0, 0] = a
    d_params[1, 0] = b
    d_params[0, 1] = 1.0
    d_params[1, 1] = 0.0
    d_params[0, 2] = 0.0
    d_params[1, 2] = 1.0


@register_jitable
def d_two_focals(a, b, d_params):
    """Derivative of the pixel by fx, fy, cx, cy."""
    d_params[0, 0] = a
    d_params[1, 0] = 0.0
    d_params[0, 1] = 0.0
    d_params[1, 1] = b
    d_params[0, 2] = 1.0
    d_params[1, 2] = 0.0
    d_params[0, 3] = 0.0
    d_params[1, 3] = 1.0


@register_jitable
def d_perspective(fx, fy, a_m, a_n, b_m, b_n, m, n, w, d_point):
    """Derivative by the point where (a, b) is a function of m = x / z, n = y / z; w = 1 / z."""
    fx_w = fx * w
    fy_w = fy * w
    d_point[0, 0] = fx_w * a_m
    d_point[0, 1] = fx_w * a_n
    d_point[0, 2] = -fx_w * (a_m * m + a_n * n)
    d_point[1, 0] = fy_w * b_m
    d_point[1, 1] = fy_w * b_n
    d_point[1, 2] = -fy_w * (b_m * m + b_n * n)


@register_jitable
def polar(x, y, z):
    """Distance rho from the axis and the direction (c, s) around it; c = 1 on the axis."""
    rho = np.sqrt(x * x + y * y)
    off_axis = rho > 0.0
    inverse = 1.0 / select(off_axis, rho, 1.0)
    return rho, select(off_axis, x * inverse, 1.0), select(off_axis, y * inverse, 0.0)


@register_jitable
def d_radial(fx, fy, c, s, over_rho, h_rho, h_z, d_point):
    """Derivative by the point where (a, b) = h(rho, z) (c, s); over_rho = h / rho, its limit on the axis."""
    across = c * s * (h_rho - over_rho)
    d_point[0, 0] = fx * (c * c * h_rho + s * s * over_rho)
    d_point[0, 1] = fx * across
    d_point[0, 2] = fx * c * h_z
    d_point[1, 0] = fy * across
    d_point[1, 1] = fy * (s * s * h_rho + c * c * over_rho)
    d_point[1, 2] = fy * s * h_z
