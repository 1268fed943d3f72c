"""Inverse search: patches of one image find their place in the other (DIS; Kroeger, Timofte, Dai, Van Gool 2016).

Each patch T of 8 x 8 pixels of image 0, four pixels from the next, minimises over its displacement w

    C(w) = sum_x (I1(x + w) - mean I1 - T(x) + mean T)^2

by Gauss-Newton steps with the gradient of the template, so that the 2 x 2 matrix H is inverted once:

    w -= H^-1 sum_x g(x) (I1(x + w) - T(x)),    g = grad T - mean grad T,    H = sum_x g g^T.

It starts at the best of the displacements that the flow so far has around the patch, then twice at the best of its own
and its neighbours' results, by which large motions of small things spread. Images are read `MARGIN` pixels beyond
their border, where the nearest pixel is repeated.
"""

import numba
import numpy as np

from geo3d.util.jit import njit

f4 = np.float32

SIZE, STRIDE, MARGIN = 8, 4, 16
_PIXELS = SIZE * SIZE
_FAST = {"fastmath": True, "error_model": "numpy"}


@njit(**_FAST)
def _fetch(padded, x, y, u, v, out):
    """The patch of 8 x 8 at (x + u, y + v), bilinear, less its mean; at most a patch's side outside of the image."""
    height, width = padded.shape
    px = min(max(f4(x) + u, f4(-SIZE)), f4(width - 2 * MARGIN)) + f4(MARGIN)
    py = min(max(f4(y) + v, f4(-SIZE)), f4(height - 2 * MARGIN)) + f4(MARGIN)
    left, top = np.int64(px), np.int64(py)
    a, b = px - f4(left), py - f4(top)
    w00, w01, w10, w11 = (f4(1) - a) * (f4(1) - b), a * (f4(1) - b), (f4(1) - a) * b, a * b
    total = f4(0)
    for j in range(SIZE):
        upper, lower = padded[top + j], padded[top + j + 1]
        for i in range(SIZE):
            k = left + i
            value = w00 * upper[k] + w01 * upper[k + 1] + w10 * lower[k] + w11 * lower[k + 1]
            out[j * SIZE + i] = value
            total += value
    mean = total * f4(1 / _PIXELS)
    for k in range(_PIXELS):
        out[k] -= mean


@njit(**_FAST)
def _cost(template, patch):
    total = f4(0)
    for k in range(_PIXELS):
        total += (patch[k] - template[k]) ** 2
    return total


@njit(**_FAST)
def _template(padded, slopes, x, y, template, gx, gy):
    """Template and its gradient at (x, y), means taken off; returns the inverse of H: 11, 12, 22."""
    _fetch(padded, x, y, f4(0), f4(0), template)
    mx, my = f4(0), f4(0)
    for j in range(SIZE):
        for i in range(SIZE):
            a, b = slopes[0, y + j, x + i], slopes[1, y + j, x + i]
            gx[j * SIZE + i], gy[j * SIZE + i] = a, b
            mx += a
            my += b
    mx, my = mx * f4(1 / _PIXELS), my * f4(1 / _PIXELS)
    xx, xy, yy = f4(0), f4(0), f4(0)
    for k in range(_PIXELS):
        gx[k] -= mx
        gy[k] -= my
        xx += gx[k] * gx[k]
        xy += gx[k] * gy[k]
        yy += gy[k] * gy[k]
    xx, yy = xx + f4(1e-4), yy + f4(1e-4)  # of noise: half a grey level at each pixel
    scale = f4(1) / (xx * yy - xy * xy)
    return yy * scale, -xy * scale, xx * scale


@njit(**_FAST)
def _descend(padded1, x, y, u, v, cost, inverse, template, gx, gy, patch, steps):
    """Gauss-Newton steps from (u, v) while they lower the cost; returns the best (u, v, cost)."""
    h11, h12, h22 = inverse
    start_u, start_v = u, v
    _fetch(padded1, x, y, u, v, patch)
    for _ in range(steps):
        bx, by = f4(0), f4(0)
        for k in range(_PIXELS):
            change = patch[k] - template[k]
            bx += gx[k] * change
            by += gy[k] * change
        du, dv = h11 * bx + h12 * by, h12 * bx + h22 * by
        if abs(u - du - start_u) > SIZE or abs(v - dv - start_v) > SIZE:
            break
        _fetch(padded1, x, y, u - du, v - dv, patch)
        now = _cost(template, patch)
        if now >= cost:
            break
        u, v, cost = u - du, v - dv, now
        if du * du + dv * dv < f4(1e-4):
            break
    return u, v, cost


@njit(parallel=True, **_FAST)
def inverse_search(padded0, padded1, slopes, flow, found, spread, steps):
    """Displacement and cost of each patch, from the flow (2, H, W) into found (3, rows, columns); spread is as large.

    padded0 and padded1 are (H + 32, W + 32), slopes (2, H, W) of image 0. The result does not depend on how many cores
    there are: a round reads only what the one before it wrote.
    """
    height, width = flow.shape[1], flow.shape[2]
    rows, columns = found.shape[1], found.shape[2]
    for row in numba.prange(rows):
        template, patch = np.empty(_PIXELS, np.float32), np.empty(_PIXELS, np.float32)
        gx, gy = np.empty(_PIXELS, np.float32), np.empty(_PIXELS, np.float32)
        y = min(row * STRIDE, height - SIZE)
        for column in range(columns):
            x = min(column * STRIDE, width - SIZE)
            inverse = _template(padded0, slopes, x, y, template, gx, gy)
            best, u, v = f4(np.inf), f4(0), f4(0)
            for j in range(-1, 2):
                for i in range(-1, 2):
                    q = min(max(y + SIZE // 2 + j * SIZE, 0), height - 1)
                    p = min(max(x + SIZE // 2 + i * SIZE, 0), width - 1)
                    _fetch(padded1, x, y, flow[0, q, p], flow[1, q, p], patch)
                    cost = _cost(template, patch)
                    if cost < best:
                        best, u, v = cost, flow[0, q, p], flow[1, q, p]
            found[0, row, column], found[1, row, column], found[2, row, column] = _descend(
                padded1, x, y, u, v, best, inverse, template, gx, gy, patch, steps
            )
    for turn in range(2):
        source, target = (found, spread) if turn == 0 else (spread, found)
        for row in numba.prange(rows):
            template, patch = np.empty(_PIXELS, np.float32), np.empty(_PIXELS, np.float32)
            gx, gy = np.empty(_PIXELS, np.float32), np.empty(_PIXELS, np.float32)
            y = min(row * STRIDE, height - SIZE)
            for column in range(columns):
                x = min(column * STRIDE, width - SIZE)
                inverse = _template(padded0, slopes, x, y, template, gx, gy)
                best, u, v = source[2, row, column], source[0, row, column], source[1, row, column]
                own = best
                for j in range(max(row - 1, 0), min(row + 2, rows)):
                    for i in range(max(column - 1, 0), min(column + 2, columns)):
                        _fetch(padded1, x, y, source[0, j, i], source[1, j, i], patch)
                        cost = _cost(template, patch)
                        if cost < best:
                            best, u, v = cost, source[0, j, i], source[1, j, i]
                if best < own:
                    u, v, best = _descend(padded1, x, y, u, v, best, inverse, template, gx, gy, patch, steps)
                target[0, row, column], target[1, row, column], target[2, row, column] = u, v, best


@njit(parallel=True, **_FAST)
def densify(found, floor, out):
    """The flow of each pixel, (2, H, W): mean over the patches that cover it, weighted by 1 / (cost + floor)."""
    height, width = out.shape[1], out.shape[2]
    rows, columns = found.shape[1], found.shape[2]
    for y in numba.prange(height):
        sums = np.zeros((3, width), np.float32)
        for row in range(rows):
            top = min(row * STRIDE, height - SIZE)
            if top > y or y >= top + SIZE:
                continue
            for column in range(columns):
                x = min(column * STRIDE, width - SIZE)
                weight = f4(1) / (found[2, row, column] + floor)
                u, v = weight * found[0, row, column], weight * found[1, row, column]
                for i in range(x, x + SIZE):
                    sums[0, i] += u
                    sums[1, i] += v
                    sums[2, i] += weight
        for x in range(width):
            out[0, y, x], out[1, y, x] = sums[0, x] / sums[2, x], sums[1, x] / sums[2, x]
