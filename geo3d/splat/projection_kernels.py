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

from geo3d.splat.spherical_harmonics_kernels import sh_basis
from geo3d.util.jit import njit
from geo3d.util.lanes import next_item

f4 = np.float32

RECORD = 16  # float32 of a record, one cache line
U, V = 0, 1  # centre, pixels
QXX, QXY, QYY = 2, 3, 4  # log2 of the alpha is log2(opacity) + QXX dx^2 + QXY dx dy + QYY dy^2
LOG2_OPACITY = 5
RED, GREEN, BLUE = 6, 7, 8
SLOPE, REACH, FALL = 9, 10, 11  # at dx the ellipse ends at SLOPE dx +- sqrt(REACH - FALL dx^2)
TOP = 12  # dx at which it ends lowest in the image (largest dy); -TOP is where it ends highest
DEPTH = 13
KEY = 14  # what they are sorted by: z, or the distance from the camera where z may be negative

# Columns of the sums over the pixels of one Gaussian, g being the gradient by the logarithm of alpha.
SUM_G, SUM_GX, SUM_GY, SUM_GXX, SUM_GXY, SUM_GYY, SUM_RED, SUM_GREEN, SUM_BLUE = range(9)
SUM_ABS_U, SUM_ABS_V, SUM_Z, SUM_NX, SUM_NY, SUM_NZ = range(9, 15)  # set only where asked for
SUMS = 16  # numbers of a row, one cache line

# Places in the view, a flat float32 array: R and T row by row, then these.
FX, FY, CX, CY = 12, 13, 14, 15  # of a pinhole
WIDTH, HEIGHT, NEAR = 16, 17, 18
LEFT, RIGHT, ABOVE, BELOW = 19, 20, 21, 22  # what x / z and y / z are held to
CENTER = 23  # the point from which colours are seen: -R^T (T + (0, 0, BACK))
BACK = 26
VIEW = 27

# Columns of `lens` (N, 7): what another lens than a pinhole makes of each Gaussian (unscented.py).
LENS_U, LENS_V, LENS_XX, LENS_XY, LENS_YY, LENS_SHARP, LENS_KEY = range(7)

BLUR = f4(0.3)  # px^2
CHUNK = 1024  # Gaussians that a thread takes at a time
TILE = 16  # px
LOG2_255 = f4(math.log2(255.0))
LN2 = f4(math.log(2.0))
LOG2_E = f4(1.0 / math.log(2.0))
_LARGEST = f4(1e30)

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_INLINE = {**_OPTIONS, "forceinline": True}


@njit(**_INLINE)
def rotation(q, i):
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


@njit(**_INLINE)
def to_camera(view, means, i):
    x, y, z = means[i, 0], means[i, 1], means[i, 2]
    return (
        view[0] * x + view[1] * y + view[2] * z + view[3],
        view[4] * x + view[5] * y + view[6] * z + view[7],
        view[8] * x + view[9] * y + view[10] * z + view[11],
    )


@njit(**_INLINE)
def image_axes(view, x, y, z):
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


@njit(**_INLINE)
def scales_of(log_scales, i):
    """The three standard deviations of Gaussian i."""
    return math.exp(log_scales[i, 0]), math.exp(log_scales[i, 1]), math.exp(log_scales[i, 2])


@njit(**_INLINE)
def spread_in_image(axes, turn, scales):
    """M = J R Rq S (2 x 3) row by row, from `image_axes`, `rotation` and `scales_of`."""
    t00, t01, t02, t10, t11, t12, _, _ = axes
    r00, r01, r02, r10, r11, r12, r20, r21, r22, _ = turn
    return (
        (t00 * r00 + t01 * r10 + t02 * r20) * scales[0],
        (t00 * r01 + t01 * r11 + t02 * r21) * scales[1],
        (t00 * r02 + t01 * r12 + t02 * r22) * scales[2],
        (t10 * r00 + t11 * r10 + t12 * r20) * scales[0],
        (t10 * r01 + t11 * r11 + t12 * r21) * scales[1],
        (t10 * r02 + t11 * r12 + t12 * r22) * scales[2],
    )


@njit(**_INLINE)
def ellipse(spread):
    """Sigma2 = [[a, b], [b, c]], its determinant and that of M M^T.

    det(M M^T) is the squared cross product of the rows: a c - b^2 would lose a thin ellipse's digits.
    """
    m00, m01, m02, m10, m11, m12 = spread
    a = m00 * m00 + m01 * m01 + m02 * m02
    b = m00 * m10 + m01 * m11 + m02 * m12
    c = m10 * m10 + m11 * m11 + m12 * m12
    n0, n1, n2 = m01 * m12 - m02 * m11, m02 * m10 - m00 * m12, m00 * m11 - m01 * m10
    sharp = n0 * n0 + n1 * n1 + n2 * n2
    return a + BLUR, b, c + BLUR, sharp + BLUR * (a + c) + BLUR * BLUR, sharp


@njit(**_INLINE)
def lens_ellipse(lens, i):
    """What `ellipse` gives, of Gaussian i as the lens shows it."""
    a, c, sharp = lens[i, LENS_XX], lens[i, LENS_YY], lens[i, LENS_SHARP]
    return a + BLUR, lens[i, LENS_XY], c + BLUR, sharp + BLUR * (a + c) + BLUR * BLUR, sharp


@njit(**_INLINE)
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


@njit(**_INLINE)
def _tiles_between(low, high, size):
    """First and last + 1 tile with a pixel centre in [low, high] of an axis of `size` pixels."""
    first = math.ceil(min(max(low - f4(0.5), f4(0)), f4(size)))
    last = math.floor(min(max(high - f4(0.5), f4(-1)), f4(size - 1)))
    if last < first:
        return 0, 0
    return int(first) // TILE, int(last) // TILE + 1


@njit(**_INLINE)
def _project_one(view, means, q, log_scales, logits, sh, count, antialiased, lens, i, basis, records, box):
    """Record i and the tiles around it in `box`; the radius in pixels, 0 if it is not seen."""
    x, y, z = to_camera(view, means, i)
    if lens is None:
        key, u, v = z, view[FX] * x / z + view[CX], view[FY] * y / z + view[CY]
        spread = spread_in_image(image_axes(view, x, y, z), rotation(q, i), scales_of(log_scales, i))
        a, b, c, det, sharp = ellipse(spread)
    else:
        key, u, v = lens[i, LENS_KEY], lens[i, LENS_U], lens[i, LENS_V]
        a, b, c, det, sharp = lens_ellipse(lens, i)
    if not key >= view[NEAR]:
        return f4(0)
    if not (det > f4(0) and det < _LARGEST and a < _LARGEST and c < _LARGEST):
        return f4(0)
    opacity = -math.log(f4(1) + math.exp(-logits[i])) * LOG2_E
    if antialiased:
        opacity += f4(0.5) * LOG2_E * math.log(sharp / det)
    reach = f4(2) * LN2 * (opacity + LOG2_255)
    if not reach > f4(0):
        return f4(0)
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
    row[U], row[V], row[DEPTH], row[KEY] = u, v, z, key
    scale = f4(-0.5) * LOG2_E / det
    row[QXX], row[QXY], row[QYY], row[LOG2_OPACITY] = scale * c, f4(-2) * scale * b, scale * a, opacity
    row[RED], row[GREEN], row[BLUE] = max(red, f4(0)), max(green, f4(0)), max(blue, f4(0))
    row[SLOPE], row[REACH], row[FALL] = b / a, reach * det / a, det / (a * a)
    row[TOP] = b * math.sqrt(reach / c)
    middle = f4(0.5) * (a + c)
    return f4(3) * math.sqrt(middle + math.sqrt(max(middle * middle - det, f4(0))))


@njit(**_OPTIONS)
def project(counter, view, gaussians, count, antialiased, lens, basis, records, box, radius, seen):
    """Project all Gaussians, chunks of `CHUNK` as `counter` hands them out.

    `gaussians`: means, quaternions, log_scales, logit_opacities, sh, of which the first `count` coefficients are used.
    `lens` (N, 7) float32 if the camera is not a pinhole, else None.
    Fills `records` (N, 16), `box` (N, 4) int32 (tiles x0, x1, y0, y1), `radius` (N,) float32, 0 where not seen, and
    `seen` (chunks,) int64, how many of a chunk are. `basis` (16,) is this thread's own.
    """
    means, q, log_scales, logits, sh = gaussians
    total = means.shape[0]
    chunk = next_item(counter)
    while chunk * CHUNK < total:
        found = 0
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, total)):
            radius[i] = _project_one(
                view, means, q, log_scales, logits, sh, count, antialiased, lens, i, basis, records, box
            )
            found += radius[i] > f4(0)
        seen[chunk] = found
        chunk = next_item(counter)


@njit(**_INLINE)
def shortest(log_scales, i):
    """The axis of the smallest scale, the first of equals."""
    a, b, c = log_scales[i, 0], log_scales[i, 1], log_scales[i, 2]
    if a <= b and a <= c:
        return 0
    return 1 if b <= c else 2


@njit(**_INLINE)
def facing(view, fx, fy, fz, x, y, z):
    """1 if the direction (fx, fy, fz) of the world at (x, y, z) of the camera frame looks to the camera, else -1."""
    along = (view[0] * fx + view[1] * fy + view[2] * fz) * x
    along += (view[4] * fx + view[5] * fy + view[6] * fz) * y
    along += (view[8] * fx + view[9] * fy + view[10] * fz) * z
    return f4(-1) if along > f4(0) else f4(1)


@njit(**_OPTIONS)
def face_camera(counter, view, gaussians, radius, faces):
    """Normals `faces` (N, 3) of the Gaussians seen: the shortest axis, turned to the camera, in its frame."""
    means, q, log_scales, _, _ = gaussians
    total = means.shape[0]
    chunk = next_item(counter)
    while chunk * CHUNK < total:
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, total)):
            if radius[i] > f4(0):
                x, y, z = to_camera(view, means, i)
                r = rotation(q, i)
                axis = shortest(log_scales, i)
                fx, fy, fz = r[0], r[3], r[6]
                if axis == 1:
                    fx, fy, fz = r[1], r[4], r[7]
                elif axis == 2:
                    fx, fy, fz = r[2], r[5], r[8]
                sign = facing(view, fx, fy, fz, x, y, z)
                for row in range(3):
                    faces[i, row] = sign * (
                        view[4 * row] * fx + view[4 * row + 1] * fy + view[4 * row + 2] * fz
                    )
        chunk = next_item(counter)
