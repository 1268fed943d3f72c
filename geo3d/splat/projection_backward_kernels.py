"""The gradient of the projection: from the sums over pixels of every Gaussian in every tile to its parameters.

With g the gradient by ln(alpha) at a pixel and d = pixel - centre, and Q = Sigma2^-1:

    by the centre  Q sum g d        by Sigma2  Q (sum g d d^T) Q / 2        by ln(opacity)  sum g

and from there through projection_kernels' formulas, one Gaussian at a time, in float32. The pose's gradient is by the
entries of [R | T], summed in float64 chunk by chunk.
"""

import math

import numpy as np

from geo3d.splat.lanes import load, next_item, prefetch, spread, store
from geo3d.splat.projection_kernels import (
    ABOVE,
    BELOW,
    BLUR,
    CENTER,
    CHUNK,
    FX,
    FY,
    LEFT,
    RIGHT,
    SUM_ABS_U,
    SUM_ABS_V,
    SUM_BLUE,
    SUM_G,
    SUM_GREEN,
    SUM_GX,
    SUM_GXX,
    SUM_GXY,
    SUM_GY,
    SUM_GYY,
    SUM_NX,
    SUM_NY,
    SUM_NZ,
    SUM_RED,
    SUM_Z,
    SUMS,
    ellipse,
    facing,
    image_axes,
    rotation,
    scales_of,
    shortest,
    spread_in_image,
    to_camera,
)
from geo3d.splat.spherical_harmonics_kernels import sh_basis, sh_gradient
from geo3d.util.jit import njit

f4 = np.float32

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_INLINE = {**_OPTIONS, "forceinline": True}


@njit(**_INLINE)
def _colour_backward(view, means, sh, i, count, basis, weights, dr, dg, db, d_sh):
    """Gradient by the colour's coefficients into `d_sh[i]`, and by the mean through the direction (returned)."""
    x, y, z = means[i, 0] - view[CENTER], means[i, 1] - view[CENTER + 1], means[i, 2] - view[CENTER + 2]
    inverse = f4(1) / math.sqrt(x * x + y * y + z * z)
    x, y, z = x * inverse, y * inverse, z * inverse
    sh_basis(x, y, z, count, basis)
    red = green = blue = f4(0.5)
    for k in range(count):
        red += basis[k] * sh[i, k, 0]
        green += basis[k] * sh[i, k, 1]
        blue += basis[k] * sh[i, k, 2]
    dr = dr if red > f4(0) else f4(0)
    dg = dg if green > f4(0) else f4(0)
    db = db if blue > f4(0) else f4(0)
    for k in range(count):
        d_sh[i, k, 0] = basis[k] * dr
        d_sh[i, k, 1] = basis[k] * dg
        d_sh[i, k, 2] = basis[k] * db
        weights[k] = dr * sh[i, k, 0] + dg * sh[i, k, 1] + db * sh[i, k, 2]
    gx, gy, gz = sh_gradient(x, y, z, count, weights)
    radial = gx * x + gy * y + gz * z
    return (gx - radial * x) * inverse, (gy - radial * y) * inverse, (gz - radial * z) * inverse


@njit(**_INLINE)
def _rotation_backward(q, i, inverse, g00, g01, g02, g10, g11, g12, g20, g21, g22, d_q):
    """Gradient by quaternion i from that by its rotation matrix."""
    w, x, y, z = q[i, 0] * inverse, q[i, 1] * inverse, q[i, 2] * inverse, q[i, 3] * inverse
    two = f4(2)
    dw = two * (x * (g21 - g12) + y * (g02 - g20) + z * (g10 - g01))
    dx = two * (y * (g01 + g10) + z * (g02 + g20) + w * (g21 - g12) - two * x * (g11 + g22))
    dy = two * (x * (g01 + g10) + z * (g12 + g21) + w * (g02 - g20) - two * y * (g00 + g22))
    dz = two * (x * (g02 + g20) + y * (g12 + g21) + w * (g10 - g01) - two * z * (g00 + g11))
    radial = dw * w + dx * x + dy * y + dz * z
    d_q[i, 0] = (dw - radial * w) * inverse
    d_q[i, 1] = (dx - radial * x) * inverse
    d_q[i, 2] = (dy - radial * y) * inverse
    d_q[i, 3] = (dz - radial * z) * inverse


@njit(**_INLINE)
def _ellipse_backward(spread, antialiased, sums):
    """Gradient by M (2 x 3) and by the centre u, v, and the factor of the opacity's that antialiasing leaves."""
    m00, m01, m02, m10, m11, m12 = spread
    a, b, c, det, sharp = ellipse(spread)
    inverse = f4(1) / det
    qxx, qxy, qyy = c * inverse, -b * inverse, a * inverse
    sxx, sxy, syy = sums[SUM_GXX], sums[SUM_GXY], sums[SUM_GYY]
    # Half of Q S Q, with S the sum of g d d^T.
    hxx, hxy = qxx * sxx + qxy * sxy, qxx * sxy + qxy * syy
    hyx, hyy = qxy * sxx + qyy * sxy, qxy * sxy + qyy * syy
    pxx = hxx * qxx + hxy * qxy
    pxy = hxx * qxy + hxy * qyy
    pyy = hyx * qxy + hyy * qyy
    if antialiased:
        g, rest = sums[SUM_G], f4(1) / sharp
        pxx += g * ((c - BLUR) * rest - qxx)
        pxy += g * (-b * rest - qxy)
        pyy += g * ((a - BLUR) * rest - qyy)
    return (
        pxx * m00 + pxy * m10, pxx * m01 + pxy * m11, pxx * m02 + pxy * m12,
        pxy * m00 + pyy * m10, pxy * m01 + pyy * m11, pxy * m02 + pyy * m12,
        qxx * sums[SUM_GX] + qxy * sums[SUM_GY], qxy * sums[SUM_GX] + qyy * sums[SUM_GY],
    )  # fmt: skip


@njit(**_INLINE)
def _spread_backward(
    view, q, log_scales, i, point, axes, turn, scales, by_spread, sums, faces, d_q, d_s, pose
):
    """From the gradient by M `by_spread` (row by row) on to quaternion and scales; returns that by x, y, z.

    That by the normal, unless `faces` is None, goes on to the quaternion too, and all to the rotation in `pose` (12,).
    """
    x, y, z = point
    t00, t01, t02, t10, t11, t12, xz, yz = axes
    r00, r01, r02, r10, r11, r12, r20, r21, r22, length = turn
    d0, d1, d2 = by_spread[0] * scales[0], by_spread[1] * scales[1], by_spread[2] * scales[2]
    e0, e1, e2 = by_spread[3] * scales[0], by_spread[4] * scales[1], by_spread[5] * scales[2]
    g00, g01, g02 = t00 * d0 + t10 * e0, t00 * d1 + t10 * e1, t00 * d2 + t10 * e2
    g10, g11, g12 = t01 * d0 + t11 * e0, t01 * d1 + t11 * e1, t01 * d2 + t11 * e2
    g20, g21, g22 = t02 * d0 + t12 * e0, t02 * d1 + t12 * e1, t02 * d2 + t12 * e2
    d_s[i, 0] = g00 * r00 + g10 * r10 + g20 * r20
    d_s[i, 1] = g01 * r01 + g11 * r11 + g21 * r21
    d_s[i, 2] = g02 * r02 + g12 * r12 + g22 * r22
    if faces is not None:
        axis = shortest(log_scales, i)
        fx, fy, fz = r00, r10, r20
        if axis == 1:
            fx, fy, fz = r01, r11, r21
        elif axis == 2:
            fx, fy, fz = r02, r12, r22
        sign = facing(view, fx, fy, fz, x, y, z)
        nx, ny, nz = sign * sums[SUM_NX], sign * sums[SUM_NY], sign * sums[SUM_NZ]
        hx = view[0] * nx + view[4] * ny + view[8] * nz
        hy = view[1] * nx + view[5] * ny + view[9] * nz
        hz = view[2] * nx + view[6] * ny + view[10] * nz
        g00, g10, g20 = (g00 + hx, g10 + hy, g20 + hz) if axis == 0 else (g00, g10, g20)
        g01, g11, g21 = (g01 + hx, g11 + hy, g21 + hz) if axis == 1 else (g01, g11, g21)
        g02, g12, g22 = (g02 + hx, g12 + hy, g22 + hz) if axis == 2 else (g02, g12, g22)
        for row, n in ((0, nx), (4, ny), (8, nz)):
            pose[row] += n * fx
            pose[row + 1] += n * fy
            pose[row + 2] += n * fz
    _rotation_backward(q, i, length, g00, g01, g02, g10, g11, g12, g20, g21, g22, d_q)
    # By J R, whose rows are jx (R0 - xz R2) and jy (R1 - yz R2).
    a0, a1, a2 = (
        d0 * r00 + d1 * r01 + d2 * r02,
        d0 * r10 + d1 * r11 + d2 * r12,
        d0 * r20 + d1 * r21 + d2 * r22,
    )
    b0, b1, b2 = (
        e0 * r00 + e1 * r01 + e2 * r02,
        e0 * r10 + e1 * r11 + e2 * r12,
        e0 * r20 + e1 * r21 + e2 * r22,
    )
    inverse = f4(1) / z
    jx, jy = view[FX] * inverse, view[FY] * inverse
    pose[0] += jx * a0
    pose[1] += jx * a1
    pose[2] += jx * a2
    pose[4] += jy * b0
    pose[5] += jy * b1
    pose[6] += jy * b2
    pose[8] -= jx * xz * a0 + jy * yz * b0
    pose[9] -= jx * xz * a1 + jy * yz * b1
    pose[10] -= jx * xz * a2 + jy * yz * b2
    dz = -inverse * (a0 * t00 + a1 * t01 + a2 * t02 + b0 * t10 + b1 * t11 + b2 * t12)
    d_xz = -jx * (a0 * view[8] + a1 * view[9] + a2 * view[10])
    d_yz = -jy * (b0 * view[8] + b1 * view[9] + b2 * view[10])
    inside_x = view[LEFT] < x * inverse and x * inverse < view[RIGHT]
    inside_y = view[ABOVE] < y * inverse and y * inverse < view[BELOW]
    dx = d_xz * inverse if inside_x else f4(0)
    dy = d_yz * inverse if inside_y else f4(0)
    return dx, dy, dz - xz * dx - yz * dy


@njit(**_INLINE)
def _backward_one(
    view, means, q, log_scales, logits, sh, count, antialiased, i, basis, sums, faces, outputs, pose
):
    d_means, d_q, d_s, d_logits, d_sh, d_uv = outputs
    point = to_camera(view, means, i)
    axes, turn, scales = image_axes(view, *point), rotation(q, i), scales_of(log_scales, i)
    slopes = _ellipse_backward(spread_in_image(axes, turn, scales), antialiased, sums)
    by_spread, du, dv = slopes[:6], slopes[6], slopes[7]
    dx, dy, dz = _spread_backward(
        view, q, log_scales, i, point, axes, turn, scales, by_spread, sums, faces, d_q, d_s, pose
    )
    x, y, z = point
    d_logits[i] = sums[SUM_G] / (f4(1) + math.exp(logits[i]))
    d_uv[i, 0], d_uv[i, 1] = du, dv
    inverse = f4(1) / z
    du, dv = du * view[FX] * inverse, dv * view[FY] * inverse
    dx += du
    dy += dv
    dz -= inverse * (x * du + y * dv)
    if faces is not None:
        dz += sums[SUM_Z]
    cx, cy, cz = _colour_backward(
        view, means, sh, i, count, basis[0], basis[1], sums[SUM_RED], sums[SUM_GREEN], sums[SUM_BLUE], d_sh
    )
    d_means[i, 0] = view[0] * dx + view[4] * dy + view[8] * dz + cx
    d_means[i, 1] = view[1] * dx + view[5] * dy + view[9] * dz + cy
    d_means[i, 2] = view[2] * dx + view[6] * dy + view[10] * dz + cz
    gradient = (dx, dy, dz)
    for row in range(3):
        # The centre is -R^T T: colours move with both.
        shift = view[4 * row + 3]
        pose[4 * row] += gradient[row] * means[i, 0] + shift * cx
        pose[4 * row + 1] += gradient[row] * means[i, 1] + shift * cy
        pose[4 * row + 2] += gradient[row] * means[i, 2] + shift * cz
        pose[4 * row + 3] += gradient[row] + (
            view[4 * row] * cx + view[4 * row + 1] * cy + view[4 * row + 2] * cz
        )


@njit(**_OPTIONS)
def _clear(outputs, d_uv_abs, i):
    d_means, d_q, d_s, d_logits, d_sh, d_uv = outputs
    d_means[i], d_q[i], d_s[i], d_sh[i], d_uv[i] = f4(0), f4(0), f4(0), f4(0), f4(0)
    d_logits[i] = f4(0)
    if d_uv_abs is not None:
        d_uv_abs[i] = f4(0)


@njit(**_INLINE)
def _look_ahead(radius, first, last, place, flat, i, total):
    """Ask for what Gaussians further on need: it lies all over the memory."""
    far = min(i + 16, total - 1)
    if radius[far] > f4(0):
        prefetch(place, first[far])
    near = min(i + 6, total - 1)
    if radius[near] > f4(0):
        for e in range(first[near], min(last[near], first[near] + 8)):
            prefetch(flat, SUMS * np.int64(place[e]))


@njit(**_OPTIONS)
def project_backward(
    counter, view, gaussians, count, antialiased, scratch, radius, first, last, place, instance_sums, faces, outputs,
    d_uv_abs, set_rows, poses,
):  # fmt: skip
    """Gradients of all Gaussians from those of their instances, chunks of `CHUNK` as `counter` hands them out.

    Instances `first[i]:last[i]` of Gaussian i stand in the rows `place` of `instance_sums` (M, SUMS). Writes
    `outputs` (means, quaternions, log_scales, logit_opacities, sh, centre in the image), `d_uv_abs` (N, 2) unless it is
    None, and `poses` (chunks, 12) float64. Rows of Gaussians that are not seen (`radius` 0) are set to 0 if `set_rows`
    (N,) says that they were written to before. `gaussians` are as in `project`; `scratch` (3, 16) is this thread's own.
    """
    means, q, log_scales, logits, sh = gaussians
    total = means.shape[0]
    flat, sums = instance_sums.reshape(-1), scratch[2]
    chunk = next_item(counter)
    while chunk * CHUNK < total:
        pose = poses[chunk]
        pose[:] = 0.0
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, total)):
            if radius[i] > f4(0):
                _look_ahead(radius, first, last, place, flat, i, total)
                row = spread(f4(0))
                for e in range(first[i], last[i]):
                    row += load(flat, SUMS * np.int64(place[e]))
                store(sums, 0, row)
                _backward_one(
                    view, means, q, log_scales, logits, sh, count, antialiased, i, scratch, sums, faces, outputs,
                    pose,
                )  # fmt: skip
                if d_uv_abs is not None:
                    d_uv_abs[i, 0], d_uv_abs[i, 1] = sums[SUM_ABS_U], sums[SUM_ABS_V]
                set_rows[i] = True
            elif set_rows[i]:
                _clear(outputs, d_uv_abs, i)
                set_rows[i] = False
        chunk = next_item(counter)
