"""Kernels of variational optical flow: warping, linearised constancy, and relaxation of the flow.

The energy, over the flow (u, v) from image 0 to image 1 with features f_c,

    E = sum_p sum_g w_g psi(sum_c theta_c (f1_c(p + w) - f0_c(p))^2)
        + sum over neighbours p, q of a_pq sqrt(|w_p - w_q|^2 + eps^2),     psi(s) = sqrt(s + eps_g^2)

has two groups g: the three colours, and their two derivatives each (Brox et al. 2004). theta_c = 1/(|grad f_c|^2 +
zeta^2) makes each constraint a distance in pixels (Zimmer, Bruhn, Weickert 2011). About a base flow a group's
square is a quadratic form of the change (du, dv), its motion tensor, stored as 11, 12, 22, 13, 23, 33:

    J11 du^2 + 2 J12 du dv + J22 dv^2 + 2 J13 du + 2 J23 dv + J33.

Arrays: features (C, H, W), flow (2, H, W), tensors (2, 6, H, W), all float32. The plain forms stand in
`geo3d.flow.variational_reference`.
"""

import numba
import numpy as np

from geo3d.flow.relaxation_step import LANES, PLANES, relax
from geo3d.flow.sampling import held, slope, slope_along
from geo3d.util.jit import njit

BAND_ROWS = 32
_ONE, _HALF = np.float32(1.0), np.float32(0.5)
_TIE = np.float32(1e-6)  # holds the flow where neither data nor neighbours do


@njit(error_model="numpy")
def _spline_weights(t):
    """Cubic B-spline at the distances t + 1, t, 1 - t and 2 - t."""
    s = _ONE - t
    sixth = np.float32(1.0 / 6.0)
    first, last = sixth * s * s * s, sixth * t * t * t
    second = np.float32(2.0 / 3.0) - t * t + _HALF * t * t * t
    return first, second, _ONE - first - second - last, last


@njit(parallel=True, error_model="numpy")
def warp_spline(coefficients, flow, out, inside):
    """Values of a cubic spline where the flow leads, and 1 in `inside` where that is in the image, else 0."""
    channels, height, width = coefficients.shape
    for row in numba.prange(height):
        for column in range(width):
            x = np.float32(column) + flow[0, row, column]
            y = np.float32(row) + flow[1, row, column]
            within = x >= 0 and y >= 0 and x <= width - 1 and y <= height - 1
            inside[row, column] = _ONE if within else np.float32(0.0)
            x = min(max(x, np.float32(-2.0)), np.float32(width + 1))
            y = min(max(y, np.float32(-2.0)), np.float32(height + 1))
            left, top = np.floor(x), np.floor(y)
            a0, a1, a2, a3 = _spline_weights(x - left)
            b0, b1, b2, b3 = _spline_weights(y - top)
            i, j = np.int64(left), np.int64(top)
            x0, x1, x2, x3 = held(i - 1, width), held(i, width), held(i + 1, width), held(i + 2, width)
            y0, y1, y2, y3 = (
                held(j - 1, height),
                held(j, height),
                held(j + 1, height),
                held(j + 2, height),
            )
            for c in range(channels):
                plane = coefficients[c]
                r0 = a0 * plane[y0, x0] + a1 * plane[y0, x1] + a2 * plane[y0, x2] + a3 * plane[y0, x3]
                r1 = a0 * plane[y1, x0] + a1 * plane[y1, x1] + a2 * plane[y1, x2] + a3 * plane[y1, x3]
                r2 = a0 * plane[y2, x0] + a1 * plane[y2, x1] + a2 * plane[y2, x2] + a3 * plane[y2, x3]
                r3 = a0 * plane[y3, x0] + a1 * plane[y3, x1] + a2 * plane[y3, x2] + a3 * plane[y3, x3]
                out[c, row, column] = b0 * r0 + b1 * r1 + b2 * r2 + b3 * r3


@njit(error_model="numpy")
def _across_rows(plane, y, out):
    """Derivative down the columns at row `y`, five points."""
    height, width = plane.shape
    before2, before = plane[held(y - 2, height)], plane[held(y - 1, height)]
    after, after2 = plane[held(y + 1, height)], plane[held(y + 2, height)]
    for x in range(width):
        out[x] = slope(before2[x], before[x], after[x], after2[x])


@njit(parallel=True, error_model="numpy")
def image_slopes(first, warped, mean_x, mean_y, change):
    """Derivatives of the mean of two images and their difference, each (C, H, W)."""
    channels, height, width = first.shape
    mean = np.empty((channels, height, width), np.float32)
    for y in numba.prange(height):
        for c in range(channels):
            for x in range(width):
                mean[c, y, x] = _HALF * (first[c, y, x] + warped[c, y, x])
                change[c, y, x] = warped[c, y, x] - first[c, y, x]
    for y in numba.prange(height):
        for c in range(channels):
            slope_along(mean[c, y], mean_x[c, y])
            _across_rows(mean[c], y, mean_y[c, y])


@njit(error_model="numpy")
def _add_constraint(tensor, gx, gy, change, weight):
    """Add theta (gx du + gy dv + change)^2 of a row to its motion tensors (6, W)."""
    for x in range(gx.shape[0]):
        a, b, d, w = gx[x], gy[x], change[x], weight[x]
        wa, wb = w * a, w * b
        tensor[0, x] += wa * a
        tensor[1, x] += wa * b
        tensor[2, x] += wb * b
        tensor[3, x] += wa * d
        tensor[4, x] += wb * d
        tensor[5, x] += w * d * d


@njit(error_model="numpy")
def _normalisation(gx, gy, inside, zeta2, weight):
    for x in range(gx.shape[0]):
        weight[x] = inside[x] / (gx[x] * gx[x] + gy[x] * gy[x] + zeta2)


@njit(parallel=True, error_model="numpy")
def motion_tensors(mean_x, mean_y, change, inside, zeta, tensors):
    """Motion tensors (2, 6, H, W) of colour and of gradient constancy; none where the flow leaves the image."""
    channels, height, width = mean_x.shape
    zeta2 = zeta * zeta
    for y in numba.prange(height):
        scratch = np.empty((6, width), np.float32)
        gxx, gxy, gyy = scratch[0], scratch[1], scratch[2]
        change_x, change_y, weight = scratch[3], scratch[4], scratch[5]
        color, gradient = tensors[0, :, y], tensors[1, :, y]
        color[:] = 0.0
        gradient[:] = 0.0
        for c in range(channels):
            _normalisation(mean_x[c, y], mean_y[c, y], inside[y], zeta2, weight)
            _add_constraint(color, mean_x[c, y], mean_y[c, y], change[c, y], weight)
            slope_along(mean_x[c, y], gxx)
            _across_rows(mean_x[c], y, gxy)
            _across_rows(mean_y[c], y, gyy)
            slope_along(change[c, y], change_x)
            _across_rows(change[c], y, change_y)
            _normalisation(gxx, gxy, inside[y], zeta2, weight)
            _add_constraint(gradient, gxx, gxy, change_x, weight)
            _normalisation(gxy, gyy, inside[y], zeta2, weight)
            _add_constraint(gradient, gxy, gyy, change_y, weight)


@njit(parallel=True, error_model="numpy")
def contrast_weights(features, contrast, floor, weights):
    """Weights (2, H, W) of the edges to the right and below: floor + (1 - floor) exp(-|colour step| / contrast)."""
    channels, height, width = features.shape
    scale = -_ONE / contrast
    for y in numba.prange(height):
        below = min(y + 1, height - 1)
        for x in range(width):
            right = min(x + 1, width - 1)
            across, down = np.float32(0.0), np.float32(0.0)
            for c in range(channels):
                across += (features[c, y, right] - features[c, y, x]) ** 2
                down += (features[c, below, x] - features[c, y, x]) ** 2
            weights[0, y, x] = floor + (_ONE - floor) * np.exp(np.sqrt(across) * scale)
            weights[1, y, x] = floor + (_ONE - floor) * np.exp(np.sqrt(down) * scale)


@njit(parallel=True, error_model="numpy")
def smoothness(flow, edges, alpha, epsilon, weights):
    """Weights a_pq / sqrt(|w_p - w_q|^2 + eps^2) of the edges to the right and below, (2, H, W); 0 at the border."""
    height, width = flow.shape[1:]
    epsilon2 = epsilon * epsilon
    for y in numba.prange(height):
        below = min(y + 1, height - 1)
        for x in range(width):
            right = min(x + 1, width - 1)
            across = (flow[0, y, right] - flow[0, y, x]) ** 2 + (flow[1, y, right] - flow[1, y, x]) ** 2
            down = (flow[0, below, x] - flow[0, y, x]) ** 2 + (flow[1, below, x] - flow[1, y, x]) ** 2
            weights[0, y, x] = alpha * edges[0, y, x] / np.sqrt(across + epsilon2)
            weights[1, y, x] = alpha * edges[1, y, x] / np.sqrt(down + epsilon2)
        weights[0, y, width - 1] = 0.0
        if y == height - 1:
            weights[1, y] = 0.0


@njit(error_model="numpy")
def _data_block(tensors, shares, epsilon2, u0, v0, du, dv, y, x):
    """A11, A12, A22, b1, b2 of the data term at one pixel, for the whole flow: A w = b."""
    a11, a12, a22 = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    b1, b2 = np.float32(0.0), np.float32(0.0)
    two = np.float32(2.0)
    for g in range(tensors.shape[0]):
        t11, t12, t22 = tensors[g, 0, y, x], tensors[g, 1, y, x], tensors[g, 2, y, x]
        t13, t23, t33 = tensors[g, 3, y, x], tensors[g, 4, y, x], tensors[g, 5, y, x]
        square = t11 * du * du + t22 * dv * dv + t33 + two * (t12 * du * dv + t13 * du + t23 * dv)
        w = shares[g] / np.sqrt(max(square, np.float32(0.0)) + epsilon2)
        a11 += w * t11
        a12 += w * t12
        a22 += w * t22
        b1 += w * (t11 * u0 + t12 * v0 - t13)
        b2 += w * (t12 * u0 + t22 * v0 - t23)
    return a11, a12, a22, b1, b2


@njit(parallel=True, error_model="numpy")
def assemble(tensors, shares, epsilon, base, flow, weights, buffer, layout):
    """Write the linear system at `flow`, its data term linearised at `base`, and the flow as its first solution.

    `layout` is that of `buffer_layout`; the system's weights are those of half the Euler-Lagrange equations.
    """
    height, width = flow.shape[1:]
    color_size, pitch, lead, stride = layout
    epsilon2 = epsilon * epsilon
    for y in numba.prange(height):
        for x in range(width):
            u0, v0 = base[0, y, x], base[1, y, x]
            u, v = flow[0, y, x], flow[1, y, x]
            a11, a12, a22, b1, b2 = _data_block(tensors, shares, epsilon2, u0, v0, u - u0, v - v0, y, x)
            around = weights[0, y, x] + weights[1, y, x] + _TIE
            if x > 0:
                around += weights[0, y, x - 1]
            if y > 0:
                around += weights[1, y - 1, x]
            a11 += around
            a22 += around
            scale = _ONE / (a11 * a22 - a12 * a12)
            k = ((x + y) & 1) * color_size + (y + 1) * pitch + lead + x // 2
            buffer[k] = u
            buffer[k + stride] = v
            buffer[k + 2 * stride] = a22 * scale
            buffer[k + 3 * stride] = -a12 * scale
            buffer[k + 4 * stride] = a11 * scale
            buffer[k + 5 * stride] = b1 + _TIE * u
            buffer[k + 6 * stride] = b2 + _TIE * v
            buffer[k + 7 * stride] = weights[0, y, x]
            buffer[k + 8 * stride] = weights[1, y, x]


def buffer_layout(height: int, width: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A zeroed buffer for `assemble` and `relax_bands`, and its layout: size of a colour, pitch, lead, stride.

    Each plane holds the pixels of even x + y, then those of odd. A row has `pitch` places, a border row stands
    above and below, and two rows for each band hold what `relax_bands` keeps of its neighbours.
    """
    pitch = -(-(width // 2 + 1) // LANES) * LANES + LANES
    bands = height // BAND_ROWS + 2
    color_size = (height + 2 + 2 * bands) * pitch
    stride = 2 * color_size + 2 * LANES
    return np.zeros(PLANES * stride, np.float32), (color_size, pitch, LANES // 2, stride)


@njit(error_model="numpy")
def _copy_row(buffer, layout, source, target):
    color_size, pitch, _lead, stride = layout
    for color in range(2):
        for plane in (0, 1, 8):
            a = plane * stride + color * color_size + source * pitch
            b = plane * stride + color * color_size + target * pitch
            for k in range(pitch):
                buffer[b + k] = buffer[a + k]


@njit(parallel=True, error_model="numpy")
def relax_bands(buffer, layout, height, width, offset, sweeps, omega):
    """Red-black over-relaxation within bands of rows, each with its neighbours' rows as they were before.

    So the cores meet once for all sweeps, a band stays in the cache, and the result does not depend on
    how many cores there are. `offset` moves the bands, in rows: alternate it.
    """
    color_size, pitch, lead, stride = layout
    bands = (height + offset + BAND_ROWS - 1) // BAND_ROWS
    for band in numba.prange(bands):
        _copy_row(buffer, layout, max(band * BAND_ROWS - offset, 0), height + 2 + 2 * band)
        _copy_row(
            buffer,
            layout,
            min((band + 1) * BAND_ROWS - offset, height) + 1,
            height + 3 + 2 * band,
        )
    for band in numba.prange(bands):
        first = max(band * BAND_ROWS - offset, 0)
        end = min((band + 1) * BAND_ROWS - offset, height)
        for _ in range(sweeps):
            for color in range(2):
                here, other = color * color_size + lead, (1 - color) * color_size + lead
                for y in range(first, end):
                    above = y if y > first else height + 2 + 2 * band
                    below = y + 2 if y < end - 1 else height + 3 + 2 * band
                    for k in range(0, (width + 1) // 2, LANES):
                        relax(
                            buffer,
                            here + (y + 1) * pitch + k,
                            other + (y + 1) * pitch + k,
                            other + above * pitch + k,
                            other + below * pitch + k,
                            (color + y) & 1,
                            stride,
                            omega,
                        )


@njit(parallel=True, error_model="numpy")
def take_flow(buffer, layout, flow):
    """Read the solution out of the buffer, (2, H, W)."""
    height, width = flow.shape[1:]
    color_size, pitch, lead, stride = layout
    for y in numba.prange(height):
        for x in range(width):
            k = ((x + y) & 1) * color_size + (y + 1) * pitch + lead + x // 2
            flow[0, y, x] = buffer[k]
            flow[1, y, x] = buffer[k + stride]
