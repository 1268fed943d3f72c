"""Real spherical harmonics of degree 0 to 3 and their gradient, as kernels. Order and signs of Kerbl et al. 2023.

Y_k(d) for a unit vector d = (x, y, z), k = l^2 + l + m. All in float32.
"""

import numpy as np

from geo3d.util.jit import njit

f4 = np.float32

C0 = f4(0.28209479177387814)
C1 = f4(0.4886025119029199)
C2A, C2B, C2C = f4(1.0925484305920792), f4(0.31539156525252005), f4(0.5462742152960396)
C3A, C3B, C3C = f4(0.5900435899266435), f4(2.890611442640554), f4(0.4570457994644658)
C3D, C3E = f4(0.3731763325901154), f4(1.445305721320277)

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}


@njit(**_OPTIONS)
def sh_basis(x, y, z, count, out):
    """The first `count` (1, 4, 9 or 16) values Y_k at the unit vector (x, y, z) into `out` (16,)."""
    two, three, four = f4(2), f4(3), f4(4)
    out[0] = C0
    if count > 1:
        out[1] = -C1 * y
        out[2] = C1 * z
        out[3] = -C1 * x
    if count > 4:
        xx, yy, zz = x * x, y * y, z * z
        out[4] = C2A * x * y
        out[5] = -C2A * y * z
        out[6] = C2B * (two * zz - xx - yy)
        out[7] = -C2A * x * z
        out[8] = C2C * (xx - yy)
        if count > 9:
            out[9] = -C3A * y * (three * xx - yy)
            out[10] = C3B * x * y * z
            out[11] = -C3C * y * (four * zz - xx - yy)
            out[12] = C3D * z * (two * zz - three * xx - three * yy)
            out[13] = -C3C * x * (four * zz - xx - yy)
            out[14] = C3E * z * (xx - yy)
            out[15] = -C3A * x * (xx - three * yy)


@njit(**_OPTIONS)
def sh_gradient(x, y, z, count, w):
    """Gradient of sum_k w_k Y_k by x, y and z (not yet along the sphere); `w` (16,)."""
    two, three, four, six, eight = f4(2), f4(3), f4(4), f4(6), f4(8)
    gx = gy = gz = f4(0)
    if count > 1:
        gy -= C1 * w[1]
        gz += C1 * w[2]
        gx -= C1 * w[3]
    if count > 4:
        gx += C2A * (y * w[4] - z * w[7]) + two * x * (C2C * w[8] - C2B * w[6])
        gy += C2A * (x * w[4] - z * w[5]) - two * y * (C2C * w[8] + C2B * w[6])
        gz += four * C2B * z * w[6] - C2A * (y * w[5] + x * w[7])
        if count > 9:
            xx, yy, zz = x * x, y * y, z * z
            gx += -six * C3A * x * y * w[9] + C3B * y * z * w[10] + two * C3C * x * y * w[11]
            gx += -six * C3D * x * z * w[12] - C3C * (four * zz - three * xx - yy) * w[13]
            gx += two * C3E * x * z * w[14] - three * C3A * (xx - yy) * w[15]
            gy += -three * C3A * (xx - yy) * w[9] + C3B * x * z * w[10]
            gy += -C3C * (four * zz - xx - three * yy) * w[11] - six * C3D * y * z * w[12]
            gy += two * C3C * x * y * w[13] - two * C3E * y * z * w[14] + six * C3A * x * y * w[15]
            gz += C3B * x * y * w[10] - eight * C3C * y * z * w[11]
            gz += three * C3D * (two * zz - xx - yy) * w[12] - eight * C3C * x * z * w[13]
            gz += C3E * (xx - yy) * w[14]
    return gx, gy, gz
