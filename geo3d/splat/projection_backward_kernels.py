"""The gradient of the projection: from the sums over pixels of every Gaussian in every tile to its parameters.

With g the gradient by ln(alpha) at a pixel and d = pixel - centre, and Q = Sigma2^-1:

    by the centre  Q sum g d        by Sigma2  Q (sum g d d^T) Q / 2        by ln(opacity)  sum g

and from there through projection_kernels' formulas, one Gaussian at a time, in float32. The pose's gradient is by the
entries of [R | T], summed in float64 chunk by chunk.
"""

import math

import numpy as np

from geo3d.splat.projection_kernels import (
    ABOVE,
    BACK,
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
    lens_ellipse,
    rotation,
    scales_of,
    shortest,
    spread_in_image,
    to_camera,
)
from geo3d.splat.spherical_harmonics_kernels import sh_basis, sh_gradient
from geo3d.util.jit import njit
from geo3d.util.lanes import load, next_item, prefetch, spread, store

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
def _rotation_backward(q, i, inverse, by_turn, d_q):
    """Gradient by quaternion i from that by its rotation matrix, row by row."""
    g00, g01, g02, g10, g11, g12, g20, g21, g22 = by_turn
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
def _ellipse_backward(shape, antialiased, sums):
    """Twice the gradient by Sigma2 (xx, xy, yy of a symmetric matrix), and that by the centre u, v.

    `shape` is what `ellipse` gives. The opacity's antialiasing counts as a part of Sigma2.
    """
    a, b, c, det, sharp = shape
    inverse = f4(1) / det
    qxx, qxy, qyy = c * inverse, -b * inverse, a * inverse
    sxx, sxy, syy = sums[SUM_GXX], sums[SUM_GXY], sums[SUM_GYY]
    # Q S Q, with S the sum of g d d^T.
    hxx, hxy = qxx * sxx + qxy * sxy, qxx * sxy + qxy * syy
    hyx, hyy = qxy * sxx + qyy * sxy, qxy * sxy + qyy * syy
    pxx, pxy, pyy = hxx * qxx + hxy * qxy, hxx * qxy + hxy * qyy, hyx * qxy + hyy * qyy
    if antialiased:
        g, rest = sums[SUM_G], f4(1) / sharp
        pxx += g * ((c - BLUR) * rest - qxx)
        pxy += g * (-b * rest - qxy)
        pyy += g * ((a - BLUR) * rest - qyy)
    gx, gy = sums[SUM_GX], sums[SUM_GY]
    return pxx, pxy, pyy, qxx * gx + qxy * gy, qxy * gx + qyy * gy


@njit(**_INLINE)
def _pinhole_backward(view, i, point, axes, turn, scales, spread, by_ellipse, d_s, pose):
    """From the gradient by ellipse and centre on to the scales, the rotation (nine entries) and the point x, y, z.

    The part of the pose's rotation goes into `pose` (12,).
    """
    x, y, z = point
    t00, t01, t02, t10, t11, t12, xz, yz = axes
    r00, r01, r02, r10, r11, r12, r20, r21, r22, _ = turn
    m00, m01, m02, m10, m11, m12 = spread
    s0, s1, s2 = scales
    pxx, pxy, pyy, du, dv = by_ellipse
    # By J R Rq: rows d and e.
    d0, d1, d2 = (pxx * m00 + pxy * m10) * s0, (pxx * m01 + pxy * m11) * s1, (pxx * m02 + pxy * m12) * s2
    e0, e1, e2 = (pxy * m00 + pyy * m10) * s0, (pxy * m01 + pyy * m11) * s1, (pxy * m02 + pyy * m12) * s2
    g00, g01, g02 = t00 * d0 + t10 * e0, t00 * d1 + t10 * e1, t00 * d2 + t10 * e2
    g10, g11, g12 = t01 * d0 + t11 * e0, t01 * d1 + t11 * e1, t01 * d2 + t11 * e2
    g20, g21, g22 = t02 * d0 + t12 * e0, t02 * d1 + t12 * e1, t02 * d2 + t12 * e2
    d_s[i, 0] = g00 * r00 + g10 * r10 + g20 * r20
    d_s[i, 1] = g01 * r01 + g11 * r11 + g21 * r21
    d_s[i, 2] = g02 * r02 + g12 * r12 + g22 * r22
    # By J R: rows a and b; they are jx (R0 - xz R2) and jy (R1 - yz R2).
    a0, a1 = d0 * r00 + d1 * r01 + d2 * r02, d0 * r10 + d1 * r11 + d2 * r12
    b0, b1 = e0 * r00 + e1 * r01 + e2 * r02, e0 * r10 + e1 * r11 + e2 * r12
    a2, b2 = d0 * r20 + d1 * r21 + d2 * r22, e0 * r20 + e1 * r21 + e2 * r22
    inverse = f4(1) / z
    jx, jy = view[FX] * inverse, view[FY] * inverse
    for k, a, b in ((0, a0, b0), (1, a1, b1), (2, a2, b2)):
        pose[k] += jx * a
        pose[4 + k] += jy * b
        pose[8 + k] -= jx * xz * a + jy * yz * b
    dz = -inverse * (a0 * t00 + a1 * t01 + a2 * t02 + b0 * t10 + b1 * t11 + b2 * t12)
    d_xz = -jx * (a0 * view[8] + a1 * view[9] + a2 * view[10])
    d_yz = -jy * (b0 * view[8] + b1 * view[9] + b2 * view[10])
    inside_x = view[LEFT] < x * inverse and x * inverse < view[RIGHT]
    inside_y = view[ABOVE] < y * inverse and y * inverse < view[BELOW]
    dx = d_xz * inverse if inside_x else f4(0)
    dy = d_yz * inverse if inside_y else f4(0)
    dz -= xz * dx + yz * dy
    du, dv = du * jx, dv * jy
    by_turn = (g00, g01, g02, g10, g11, g12, g20, g21, g22)
    return by_turn, (dx + du, dy + dv, dz - inverse * (x * du + y * dv))


@njit(**_INLINE)
def _face_backward(view, log_scales, i, point, turn, sums, pose):
    """Gradient by the rotation's nine entries from that by the normal, and the part of the pose's rotation."""
    axis = shortest(log_scales, i)
    fx, fy, fz = turn[0], turn[3], turn[6]
    if axis == 1:
        fx, fy, fz = turn[1], turn[4], turn[7]
    elif axis == 2:
        fx, fy, fz = turn[2], turn[5], turn[8]
    sign = facing(view, fx, fy, fz, point[0], point[1], point[2])
    nx, ny, nz = sign * sums[SUM_NX], sign * sums[SUM_NY], sign * sums[SUM_NZ]
    for row, n in ((0, nx), (4, ny), (8, nz)):
        pose[row] += n * fx
        pose[row + 1] += n * fy
        pose[row + 2] += n * fz
    hx = view[0] * nx + view[4] * ny + view[8] * nz
    hy = view[1] * nx + view[5] * ny + view[9] * nz
    hz = view[2] * nx + view[6] * ny + view[10] * nz
    zero = f4(0)
    if axis == 0:
        return hx, zero, zero, hy, zero, zero, hz, zero, zero
    if axis == 1:
        return zero, hx, zero, zero, hy, zero, zero, hz, zero
    return zero, zero, hx, zero, zero, hy, zero, zero, hz


@njit(**_INLINE)
def _backward_one(view, gaussians, count, antialiased, lens, i, basis, sums, faces, outputs, d_lens, pose):
    means, q, log_scales, logits, sh = gaussians
    d_means, d_q, d_s, d_logits, d_sh, d_uv = outputs
    point, turn, zero = to_camera(view, means, i), rotation(q, i), f4(0)
    if lens is None:
        axes, scales = image_axes(view, point[0], point[1], point[2]), scales_of(log_scales, i)
        spread = spread_in_image(axes, turn, scales)
        slopes = _ellipse_backward(ellipse(spread), antialiased, sums)
        g, by_point = _pinhole_backward(view, i, point, axes, turn, scales, spread, slopes, d_s, pose)
    else:
        slopes = _ellipse_backward(lens_ellipse(lens, i), antialiased, sums)
        for k in range(5):
            d_lens[i, k] = slopes[k]
        d_s[i, 0] = d_s[i, 1] = d_s[i, 2] = zero
        g, by_point = (zero, zero, zero, zero, zero, zero, zero, zero, zero), (zero, zero, zero)
    dx, dy, dz = by_point
    if faces is not None:
        h = _face_backward(view, log_scales, i, point, turn, sums, pose)
        g = (
            g[0] + h[0], g[1] + h[1], g[2] + h[2], g[3] + h[3], g[4] + h[4], g[5] + h[5], g[6] + h[6], g[7] + h[7],
            g[8] + h[8],
        )  # fmt: skip
        dz += sums[SUM_Z]
    _rotation_backward(q, i, turn[9], g, d_q)
    d_logits[i] = sums[SUM_G] / (f4(1) + math.exp(logits[i]))
    d_uv[i, 0], d_uv[i, 1] = slopes[3], slopes[4]
    cx, cy, cz = _colour_backward(
        view, means, sh, i, count, basis[0], basis[1], sums[SUM_RED], sums[SUM_GREEN], sums[SUM_BLUE], d_sh
    )
    d_means[i, 0] = view[0] * dx + view[4] * dy + view[8] * dz + cx
    d_means[i, 1] = view[1] * dx + view[5] * dy + view[9] * dz + cy
    d_means[i, 2] = view[2] * dx + view[6] * dy + view[10] * dz + cz
    # Colours are seen from -R^T (T + (0, 0, BACK)), which moves with both.
    back = view[BACK]
    for row, d, shift in ((0, dx, view[3]), (4, dy, view[7]), (8, dz, view[11] + back)):
        pose[row] += d * means[i, 0] + shift * cx
        pose[row + 1] += d * means[i, 1] + shift * cy
        pose[row + 2] += d * means[i, 2] + shift * cz
        pose[row + 3] += d + (view[row] * cx + view[row + 1] * cy + view[row + 2] * cz)


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
    counter, view, gaussians, count, antialiased, lens, scratch, radius, first, last, place, instance_sums, faces,
    outputs, d_lens, d_uv_abs, set_rows, poses,
):  # fmt: skip
    """Gradients of all Gaussians from those of their instances, chunks of `CHUNK` as `counter` hands them out.

    Instances `first[i]:last[i]` of Gaussian i stand in the rows `place` of `instance_sums` (M, SUMS). Writes `outputs`
    (means, quaternions, log_scales, logit_opacities, sh, centre in the image), `d_uv_abs` (N, 2) unless it is None, and
    `poses` (chunks, 12) float64. Rows of Gaussians that are not seen (`radius` 0) are set to 0 if `set_rows` (N,) says
    that they were written to before.

    Beside a `lens` the gradients by its ellipses go to `d_lens` (N, 5), as `_ellipse_backward` gives them, and not on
    to means, quaternions, scales and pose. `gaussians` are as in `project`; `scratch` (3, 16) is this thread's own.
    """
    total = radius.shape[0]
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
                    view, gaussians, count, antialiased, lens, i, scratch, sums, faces, outputs, d_lens, pose
                )
                if d_uv_abs is not None:
                    d_uv_abs[i, 0], d_uv_abs[i, 1] = sums[SUM_ABS_U], sums[SUM_ABS_V]
                set_rows[i] = True
            elif set_rows[i]:
                _clear(outputs, d_uv_abs, i)
                set_rows[i] = False
        chunk = next_item(counter)
