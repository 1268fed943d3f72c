"""One step of the fast method's variational refinement, on one level of a grey pyramid, in few sweeps over the image.

Energy, over the whole flow w = (u, v), with the Charbonnier penalty Psi(s) = 2 sqrt(s + eps^2):

    E(w) = sum_p  delta Psi(n |I1(p + w) - I0(p)|^2) + gamma Psi(sum_k n_k |dk I1(p + w) - dk I0(p)|^2)
                  + alpha g(p) Psi(|grad u|^2 + |grad v|^2)

n = 1 / (|grad I|^2 + zeta^2) turns a difference of brightness into a distance in pixels (Zimmer et al. 2011); the
second term is the constancy of the gradient, k = x, y (Brox et al. 2004); g falls with the image's contrast. Where
the flow turns or stretches the image, its gradient changes too: what is compared with grad I0 is the gradient of
I1(p + w(p)), which is (1 + grad w)^T grad I1, except at motion boundaries.

A step linearises the data terms at the flow, holds all Psi' fixed, and writes the linear system that this leaves for
`variational_kernels.relax_bands`. Differently from the accurate method, whose energy has three colours and whose data
terms keep their motion tensors to be weighted again, all is one sweep that leaves nothing in memory but the system.
"""

import numba
import numpy as np

from geo3d.flow.bicubic_step import bicubic
from geo3d.flow.sampling import held, keys_weights, slope, slope_along
from geo3d.util.jit import njit

f4 = np.float32

_BOUNDARY = f4(0.4)  # |du/dx| + |du/dy| + |dv/dx| + |dv/dy| of a motion boundary
FEATURES = 8  # value, x, y, xx, xy, yy, and two zeros, so that a pixel is one vector
_FAST = {"fastmath": True, "error_model": "numpy"}


@njit(parallel=True, **_FAST)
def features(image, planes, out):
    """Value and derivatives of an image (H, W): into planes (6, H, W) and, pixel by pixel, into out (H, W, 8)."""
    height, width = image.shape
    for y in numba.prange(height):
        a, b, c, d = (held(y - 2, height), held(y - 1, height), held(y + 1, height), held(y + 2, height))
        for x in range(width):
            planes[0, y, x] = image[y, x]
            planes[2, y, x] = slope(image[a, x], image[b, x], image[c, x], image[d, x])
        slope_along(image[y], planes[1, y])
    for y in numba.prange(height):
        a, b, c, d = (held(y - 2, height), held(y - 1, height), held(y + 1, height), held(y + 2, height))
        slope_along(planes[1, y], planes[3, y])
        for x in range(width):
            planes[4, y, x] = slope(planes[1, a, x], planes[1, b, x], planes[1, c, x], planes[1, d, x])
            planes[5, y, x] = slope(planes[2, a, x], planes[2, b, x], planes[2, c, x], planes[2, d, x])
        for x in range(width):
            for k in range(6):
                out[y, x, k] = planes[k, y, x]
            out[y, x, 6] = out[y, x, 7] = f4(0)


@njit(**_FAST)
def _fetch_row(second, flow, y, out, inside):
    """The features (H W 8,) at a row's places p + w, bicubic, into out (W 8,); inside (W,): 1 where in the image."""
    height, width = flow.shape[1], flow.shape[2]
    for x in range(width):
        px, py = f4(x) + flow[0, y, x], f4(y) + flow[1, y, x]
        inside[x] = f4(1) if 0 <= px <= width - 1 and 0 <= py <= height - 1 else f4(0)
        px, py = min(max(px, f4(0)), f4(width - 1)), min(max(py, f4(0)), f4(height - 1))
        x1, y1 = np.int64(px), np.int64(py)
        x0, x2, x3 = max(x1 - 1, 0), min(x1 + 1, width - 1), min(x1 + 2, width - 1)
        y0, y2, y3 = max(y1 - 1, 0), min(y1 + 1, height - 1), min(y1 + 2, height - 1)
        rows = (y0 * width * FEATURES, y1 * width * FEATURES, y2 * width * FEATURES, y3 * width * FEATURES)
        columns = (x0 * FEATURES, x1 * FEATURES, x2 * FEATURES, x3 * FEATURES)
        bicubic(
            second, rows, columns, keys_weights(px - f4(x1)), keys_weights(py - f4(y1)), out, x * FEATURES
        )


@njit(**_FAST)
def _data_row(first, warped, inside, flow, y, delta, gamma, zeta2, eps2, out):
    """A and b of the data terms, A w = b, of a row into out (7, H, W): 11, 12, 22, 1, 2; then I1(p + w) and inside."""
    half, one = f4(0.5), f4(1)
    height, width = flow.shape[1], flow.shape[2]
    up, down = max(y - 1, 0), min(y + 1, height - 1)
    for x in range(width):
        left, right = max(x - 1, 0), min(x + 1, width - 1)
        ux, vx = half * (flow[0, y, right] - flow[0, y, left]), half * (flow[1, y, right] - flow[1, y, left])
        uy, vy = half * (flow[0, down, x] - flow[0, up, x]), half * (flow[1, down, x] - flow[1, up, x])
        follow = one if abs(ux) + abs(uy) + abs(vx) + abs(vy) < _BOUNDARY else f4(0)
        w0, gx, gy = warped[x, 0], warped[x, 1], warped[x, 2]
        w1, w2 = gx + follow * (ux * gx + vx * gy), gy + follow * (uy * gx + vy * gy)
        t = w0 - first[0, y, x]
        tx, ty = w1 - first[1, y, x], w2 - first[2, y, x]
        ix, iy = half * (w1 + first[1, y, x]), half * (w2 + first[2, y, x])
        xx = half * (warped[x, 3] + first[3, y, x])
        xy = half * (warped[x, 4] + first[4, y, x])
        yy = half * (warped[x, 5] + first[5, y, x])
        n = one / (ix * ix + iy * iy + zeta2)
        nx, ny = one / (xx * xx + xy * xy + zeta2), one / (xy * xy + yy * yy + zeta2)
        p = n * inside[x] * delta / np.sqrt(n * t * t + eps2)
        q = inside[x] * gamma / np.sqrt(nx * tx * tx + ny * ty * ty + eps2)
        nx, ny = nx * q, ny * q
        a11 = p * ix * ix + nx * xx * xx + ny * xy * xy
        a12 = p * ix * iy + nx * xx * xy + ny * xy * yy
        a22 = p * iy * iy + nx * xy * xy + ny * yy * yy
        u, v = flow[0, y, x], flow[1, y, x]
        out[0, y, x], out[1, y, x], out[2, y, x] = a11, a12, a22
        out[3, y, x] = a11 * u + a12 * v - (p * ix * t + nx * xx * tx + ny * xy * ty)
        out[4, y, x] = a12 * u + a22 * v - (p * iy * t + nx * xy * tx + ny * yy * ty)
        out[5, y, x], out[6, y, x] = w0, inside[x]


@njit(**_FAST)
def _edge_row(flow, contrast, y, alpha, eps2, out):
    """Weights of smoothness of a row, to the right and below, into out (2, H, W); none beyond the border."""
    height, width = flow.shape[1], flow.shape[2]
    u, v = flow[0], flow[1]
    up, down = max(y - 1, 0), min(y + 1, height - 1)
    half, quarter = f4(0.5) * alpha, f4(0.25)
    for x in range(width - 1):
        ux, vx = u[y, x + 1] - u[y, x], v[y, x + 1] - v[y, x]
        uy = quarter * (u[down, x] + u[down, x + 1] - u[up, x] - u[up, x + 1])
        vy = quarter * (v[down, x] + v[down, x + 1] - v[up, x] - v[up, x + 1])
        weight = half * (contrast[y, x] + contrast[y, x + 1])
        out[0, y, x] = weight / np.sqrt(ux * ux + uy * uy + vx * vx + vy * vy + eps2)
    out[0, y, width - 1] = f4(0)
    if y == height - 1:
        out[1, y] = f4(0)
        return
    for x in range(1, width - 1):
        uy, vy = u[down, x] - u[y, x], v[down, x] - v[y, x]
        ux = quarter * (u[y, x + 1] + u[down, x + 1] - u[y, x - 1] - u[down, x - 1])
        vx = quarter * (v[y, x + 1] + v[down, x + 1] - v[y, x - 1] - v[down, x - 1])
        weight = half * (contrast[y, x] + contrast[down, x])
        out[1, y, x] = weight / np.sqrt(ux * ux + uy * uy + vx * vx + vy * vy + eps2)
    for x in (0, width - 1):
        uy, vy = u[down, x] - u[y, x], v[down, x] - v[y, x]
        weight = half * (contrast[y, x] + contrast[down, x])
        out[1, y, x] = weight / np.sqrt(uy * uy + vy * vy + eps2)


@njit(**_FAST)
def _pack_row(data, edges, flow, y, color, at, stride, buffer):
    """One color of a row into the buffer's planes: flow, inverse of the 2 x 2 block, right side, edges."""
    width = flow.shape[2]
    above = edges[1, y - 1] if y > 0 else edges[1, edges.shape[1] - 1]  # the last row's are zero
    first = (color + y) & 1
    for k in range((width - first + 1) // 2):
        x = 2 * k + first
        total = edges[0, y, x] + edges[1, y, x] + above[x] + f4(1e-6)
        if x > 0:
            total += edges[0, y, x - 1]
        a, b, c = data[0, y, x] + total, data[1, y, x], data[2, y, x] + total
        inverse = f4(1) / (a * c - b * b)
        u, v = flow[0, y, x], flow[1, y, x]
        buffer[at + k] = u
        buffer[at + stride + k] = v
        buffer[at + 2 * stride + k] = c * inverse
        buffer[at + 3 * stride + k] = -b * inverse
        buffer[at + 4 * stride + k] = a * inverse
        buffer[at + 5 * stride + k] = data[3, y, x] + f4(1e-6) * u
        buffer[at + 6 * stride + k] = data[4, y, x] + f4(1e-6) * v
        buffer[at + 7 * stride + k] = edges[0, y, x]
        buffer[at + 8 * stride + k] = edges[1, y, x]


@njit(parallel=True, **_FAST)
def assemble_step(first, second, contrast, flow, weights, zeta, eps, data, edges, buffer, layout):
    """The linear system of a step at flow (2, H, W), written into the buffer of `variational_kernels.relax_bands`.

    first (6, H, W) planes of image 0's features, second (H, W, 8) those of image 1, contrast (H, W) g; weights are
    delta, gamma and alpha; data (7, H, W) gets A, b, what image 1 shows where the flow leads, and 1 where that is
    inside of it; edges (2, H, W) is work space.
    """
    height, width = contrast.shape
    delta, gamma, alpha = weights
    color_size, pitch, lead, stride = layout
    zeta2, eps2 = zeta * zeta, eps * eps
    for y in numba.prange(height):
        fetched, inside = np.empty(width * FEATURES, np.float32), np.empty(width, np.float32)
        _fetch_row(second.reshape(-1), flow, y, fetched, inside)
        _data_row(first, fetched.reshape(width, FEATURES), inside, flow, y, delta, gamma, zeta2, eps2, data)
        _edge_row(flow, contrast, y, alpha, eps2, edges)
    for y in numba.prange(height):
        for color in range(2):
            _pack_row(
                data, edges, flow, y, color, color * color_size + (y + 1) * pitch + lead, stride, buffer
            )
