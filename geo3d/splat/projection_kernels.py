"""Gaussians to ellipses in the image of a pinhole camera, and the gradient back; float32, one Gaussian at a time.

    t = R mean + T                             camera frame; skipped if z < near
    M = J R Rq diag(exp(log_scales))           2 x 3; J: the derivative of (fx x / z, fy y / z) by t
    Sigma2 = M M^T + blur I                    Zwicker et al., EWA splatting, 2002
    ln opacity = -ln(1 + exp(-logit)) [+ ln(det(M M^T) / det(Sigma2)) / 2 if antialiased; Mip-Splatting]
    colour = max(0, 1/2 + sum_k Y_k(d) sh_k)   d: unit vector from the camera's centre to the mean

Each Gaussian leaves one record of 16 float32 (constants below) for the tiles. `x / z` and `y / z` in J, and only there,
are held to the image's borders and 0.3 of its half-width more, as gsplat does.
"""

import math

import numpy as np

from geo3d.splat.lanes import next_item
from geo3d.splat.spherical_harmonics_kernels import sh_basis, sh_gradient
from geo3d.util.jit import njit

f4 = np.float32

RECORD = 16  # float32 of a record, one cache line
U, V = 0, 1  # centre, pixels
QXX, QXY, QYY = 2, 3, 4  # log2 of the alpha is log2(opacity) + QXX dx^2 + QXY dx dy + QYY dy^2
LOG2_OPACITY = 5
RED, GREEN, BLUE = 6, 7, 8
SLOPE, REACH, FALL = 9, 10, 11  # at dx the ellipse ends at SLOPE dx +- sqrt(REACH - FALL dx^2)
TOP = 12  # dx at which it ends lowest in the image (largest dy); -TOP is where it ends highest
DEPTH = 13

# Rows of the view, a flat float32 array: R and T row by row, then these.
FX, FY, CX, CY, WIDTH, HEIGHT, NEAR, LEFT, RIGHT, ABOVE, BELOW, CENTER = (
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    19,
    20,
    21,
    22,
    23,
)
VIEW = 26

BLUR = f4(0.3)  # px^2
CHUNK = 1024  # Gaussians that a thread takes at a time
TILE = 16  # px
LOG2_255 = f4(math.log2(255.0))
LN2 = f4(math.log(2.0))
LOG2_E = f4(1.0 / math.log(2.0))
_LARGEST = f4(1e30)

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}


@njit(**_OPTIONS)
def _rotation(q, i):
    """Rows of the rotation of quaternion i, and 1 / its length."""
    w, x, y, z = q[i, 0], q[i, 1], q[i, 2], q[i, 3]
    inverse = f4(1) / math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    one, two = f4(1), f4(2)
    return (
        one - two * (y * y + z * z), two * (x * y - w * z), two * (x * z + w * y),
        two * (x * y + w * z), one - two * (x * x + z * z), two * (y * z - w * x),
        two * (x * z - w * y), two * (y * z + w * x), one - two * (x * x + y * y),
        inverse,
    )  # fmt: skip


@njit(**_OPTIONS)
def _to_camera(view, means, i):
    x, y, z = means[i, 0], means[i, 1], means[i, 2]
    return (
        view[0] * x + view[1] * y + view[2] * z + view[3],
        view[4] * x + view[5] * y + view[6] * z + view[7],
        view[8] * x + view[9] * y + view[10] * z + view[11],
    )


@njit(**_OPTIONS)
def _image_axes(view, x, y, z):
    """J R (2 x 3) row by row, and x / z, y / z as held inside of the view."""
    inverse = f4(1) / z
    xz = min(max(x * inverse, view[LEFT]), view[RIGHT])
    yz = min(max(y * inverse, view[ABOVE]), view[BELOW])
    jx, jy = view[FX] * inverse, view[FY] * inverse
    return (
        jx * (view[0] - xz * view[8]), jx * (view[1] - xz * view[9]), jx * (view[2] - xz * view[10]),
        jy * (view[4] - yz * view[8]), jy * (view[5] - yz * view[9]), jy * (view[6] - yz * view[10]),
        xz, yz,
    )  # fmt: skip


@njit(**_OPTIONS)
def _spread_in_image(view, q, log_scales, i, x, y, z):
    """M = J R Rq S (2 x 3) row by row."""
    t00, t01, t02, t10, t11, t12, _, _ = _image_axes(view, x, y, z)
    r00, r01, r02, r10, r11, r12, r20, r21, r22, _ = _rotation(q, i)
    s0, s1, s2 = math.exp(log_scales[i, 0]), math.exp(log_scales[i, 1]), math.exp(log_scales[i, 2])
    return (
        (t00 * r00 + t01 * r10 + t02 * r20) * s0,
        (t00 * r01 + t01 * r11 + t02 * r21) * s1,
        (t00 * r02 + t01 * r12 + t02 * r22) * s2,
        (t10 * r00 + t11 * r10 + t12 * r20) * s0,
        (t10 * r01 + t11 * r11 + t12 * r21) * s1,
        (t10 * r02 + t11 * r12 + t12 * r22) * s2,
    )


@njit(**_OPTIONS)
def _ellipse(m00, m01, m02, m10, m11, m12):
    """Sigma2 = [[a, b], [b, c]], its determinant and that of M M^T.

    det(M M^T) is the squared cross product of the rows: a c - b^2 would lose a thin ellipse's digits.
    """
    a = m00 * m00 + m01 * m01 + m02 * m02
    b = m00 * m10 + m01 * m11 + m02 * m12
    c = m10 * m10 + m11 * m11 + m12 * m12
    n0, n1, n2 = m01 * m12 - m02 * m11, m02 * m10 - m00 * m12, m00 * m11 - m01 * m10
    sharp = n0 * n0 + n1 * n1 + n2 * n2
    return a + BLUR, b, c + BLUR, sharp + BLUR * (a + c) + BLUR * BLUR, sharp


@njit(**_OPTIONS)
def _colour(view, means, sh, i, count, basis):
    """0.5 + sum_k Y_k sh_k for R, G, B, not yet held above 0."""
    x, y, z = means[i, 0] - view[CENTER], means[i, 1] - view[CENTER + 1], means[i, 2] - view[CENTER + 2]
    inverse = f4(1) / math.sqrt(x * x + y * y + z * z)
    sh_basis(x * inverse, y * inverse, z * inverse, count, basis)
    red = green = blue = f4(0.5)
    for k in range(count):
        red += basis[k] * sh[i, k, 0]
        green += basis[k] * sh[i, k, 1]
        blue += basis[k] * sh[i, k, 2]
    return red, green, blue


@njit(**_OPTIONS)
def _tiles_between(low, high, size):
    """First and last + 1 tile with a pixel centre in [low, high] of an axis of `size` pixels."""
    first = math.ceil(min(max(low - f4(0.5), f4(0)), f4(size)))
    last = math.floor(min(max(high - f4(0.5), f4(-1)), f4(size - 1)))
    if last < first:
        return 0, 0
    return int(first) // TILE, int(last) // TILE + 1


@njit(**_OPTIONS)
def _project_one(view, means, q, log_scales, logits, sh, count, antialiased, i, basis, records, box):
    """Record i and the tiles around it in `box`; the radius in pixels, 0 if it is not seen."""
    x, y, z = _to_camera(view, means, i)
    if not z >= view[NEAR]:
        return f4(0)
    m00, m01, m02, m10, m11, m12 = _spread_in_image(view, q, log_scales, i, x, y, z)
    a, b, c, det, sharp = _ellipse(m00, m01, m02, m10, m11, m12)
    if not (det > f4(0) and det < _LARGEST and a < _LARGEST and c < _LARGEST):
        return f4(0)
    opacity = -math.log(f4(1) + math.exp(-logits[i])) * LOG2_E
    if antialiased:
        opacity += f4(0.5) * LOG2_E * math.log(sharp / det)
    reach = f4(2) * LN2 * (opacity + LOG2_255)
    if not reach > f4(0):
        return f4(0)
    u, v = view[FX] * x / z + view[CX], view[FY] * y / z + view[CY]
    ex, ey = math.sqrt(reach * a), math.sqrt(reach * c)
    x0, x1 = _tiles_between(u - ex, u + ex, view[WIDTH])
    y0, y1 = _tiles_between(v - ey, v + ey, view[HEIGHT])
    if x0 == x1 or y0 == y1:
        return f4(0)
    red, green, blue = _colour(view, means, sh, i, count, basis)
    if not abs(red) + abs(green) + abs(blue) < _LARGEST:
        return f4(0)
    box[i, 0], box[i, 1], box[i, 2], box[i, 3] = x0, x1, y0, y1
    row = records[i]
    row[U], row[V], row[DEPTH] = u, v, z
    scale = f4(-0.5) * LOG2_E / det
    row[QXX], row[QXY], row[QYY], row[LOG2_OPACITY] = scale * c, f4(-2) * scale * b, scale * a, opacity
    row[RED], row[GREEN], row[BLUE] = max(red, f4(0)), max(green, f4(0)), max(blue, f4(0))
    row[SLOPE], row[REACH], row[FALL] = b / a, reach * det / a, det / (a * a)
    row[TOP] = b * math.sqrt(reach / c)
    middle = f4(0.5) * (a + c)
    return f4(3) * math.sqrt(middle + math.sqrt(max(middle * middle - det, f4(0))))


@njit(**_OPTIONS)
def project(
    counter, view, means, q, log_scales, logits, sh, count, antialiased, scratch, records, box, radius, seen
):
    """Project all Gaussians, chunks of `CHUNK` as `counter` hands them out.

    Fills `records` (N, 16), `box` (N, 4) int32 (tiles x0, x1, y0, y1), `radius` (N,) float32, 0 where not seen, and
    `seen` (chunks,) int64, how many of a chunk are. `scratch` (16,) is this thread's own.
    """
    total = means.shape[0]
    chunk = next_item(counter)
    while chunk * CHUNK < total:
        found = 0
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, total)):
            radius[i] = _project_one(
                view, means, q, log_scales, logits, sh, count, antialiased, i, scratch, records, box
            )
            found += radius[i] > f4(0)
        seen[chunk] = found
        chunk = next_item(counter)


@njit(**_OPTIONS)
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


@njit(**_OPTIONS)
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


# Columns of the sums over the pixels of one Gaussian, g being the gradient by the logarithm of alpha.
SUM_G, SUM_GX, SUM_GY, SUM_GXX, SUM_GXY, SUM_GYY, SUM_RED, SUM_GREEN, SUM_BLUE, SUM_ABS_U, SUM_ABS_V = range(
    11
)
SUMS = 16  # of a row, one cache line; the rest of it is not used


@njit(**_OPTIONS)
def _ellipse_backward(m00, m01, m02, m10, m11, m12, antialiased, sums):
    """Gradient by M (2 x 3) and by the centre u, v, and the factor of the opacity's that antialiasing leaves."""
    a, b, c, det, sharp = _ellipse(m00, m01, m02, m10, m11, m12)
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


@njit(**_OPTIONS)
def _spread_backward(view, q, log_scales, i, x, y, z, d0, d1, d2, e0, e1, e2, d_q, d_s, pose):
    """From the gradient by M (d: first row, e: second) on to quaternion and scales; returns that by x, y, z.

    The part of the pose's rotation goes into `pose` (12,).
    """
    t00, t01, t02, t10, t11, t12, xz, yz = _image_axes(view, x, y, z)
    r00, r01, r02, r10, r11, r12, r20, r21, r22, length = _rotation(q, i)
    s0, s1, s2 = math.exp(log_scales[i, 0]), math.exp(log_scales[i, 1]), math.exp(log_scales[i, 2])
    d0, d1, d2, e0, e1, e2 = d0 * s0, d1 * s1, d2 * s2, e0 * s0, e1 * s1, e2 * s2
    g00, g01, g02 = t00 * d0 + t10 * e0, t00 * d1 + t10 * e1, t00 * d2 + t10 * e2
    g10, g11, g12 = t01 * d0 + t11 * e0, t01 * d1 + t11 * e1, t01 * d2 + t11 * e2
    g20, g21, g22 = t02 * d0 + t12 * e0, t02 * d1 + t12 * e1, t02 * d2 + t12 * e2
    d_s[i, 0] = g00 * r00 + g10 * r10 + g20 * r20
    d_s[i, 1] = g01 * r01 + g11 * r11 + g21 * r21
    d_s[i, 2] = g02 * r02 + g12 * r12 + g22 * r22
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


@njit(**_OPTIONS)
def _backward_one(view, means, q, log_scales, logits, sh, count, antialiased, i, basis, sums, outputs, pose):
    d_means, d_q, d_s, d_logits, d_sh, d_uv = outputs
    x, y, z = _to_camera(view, means, i)
    m00, m01, m02, m10, m11, m12 = _spread_in_image(view, q, log_scales, i, x, y, z)
    d0, d1, d2, e0, e1, e2, du, dv = _ellipse_backward(m00, m01, m02, m10, m11, m12, antialiased, sums)
    dx, dy, dz = _spread_backward(view, q, log_scales, i, x, y, z, d0, d1, d2, e0, e1, e2, d_q, d_s, pose)
    d_logits[i] = sums[SUM_G] / (f4(1) + math.exp(logits[i]))
    d_uv[i, 0], d_uv[i, 1] = du, dv
    inverse = f4(1) / z
    du, dv = du * view[FX] * inverse, dv * view[FY] * inverse
    dx += du
    dy += dv
    dz -= inverse * (x * du + y * dv)
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
def project_backward(
    counter, view, means, q, log_scales, logits, sh, count, antialiased, scratch, radius, first, last, place,
    instance_sums, outputs, d_uv_abs, poses,
):  # fmt: skip
    """Gradients of all Gaussians from those of their instances, chunks of `CHUNK` as `counter` hands them out.

    Instances `first[i]:last[i]` of Gaussian i stand in the rows `place` of `instance_sums` (M, SUMS). Writes
    `outputs` (means, quaternions, log_scales, logit_opacities, sh, centre in the image), `d_uv_abs` unless it has no
    rows, and `poses` (chunks, 12) float64. Rows of Gaussians that are not seen (`radius` 0) are left as they are.
    `scratch` (3, 16) is this thread's own.
    """
    total = means.shape[0]
    chunk = next_item(counter)
    while chunk * CHUNK < total:
        pose = poses[chunk]
        pose[:] = 0.0
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, total)):
            if radius[i] > f4(0):
                sums = scratch[2]
                sums[:] = f4(0)
                for e in range(first[i], last[i]):
                    row = instance_sums[place[e]]
                    for column in range(SUM_ABS_V + 1):
                        sums[column] += row[column]
                _backward_one(
                    view,
                    means,
                    q,
                    log_scales,
                    logits,
                    sh,
                    count,
                    antialiased,
                    i,
                    scratch,
                    sums,
                    outputs,
                    pose,
                )
                if d_uv_abs.shape[0] > 0:
                    d_uv_abs[i, 0], d_uv_abs[i, 1] = sums[SUM_ABS_U], sums[SUM_ABS_V]
        chunk = next_item(counter)
