"""Taking the images of moving layers, and their exact flow: the loops over pixels of `geo3d.synthetic.flow`.

A row of `shapes` (16 numbers) is a kind, the centre x and y, a radius that holds it all, cosine and sine of a turn,
and of a bar (BAR): half its length and width, how it bends (v = bend u^2), and for fences the pitch and the share of
it that is solid; of a blob (BLOB): its radius and 2 x 4 waves of the outline, cosine and sine of 2, 3, 4 and 5 times
the angle.
"""

import math

import numba
import numpy as np

from geo3d.util.jit import njit

EVERYWHERE, BAR, BLOB = 0, 1, 2


@njit(error_model="numpy")
def _holds(shape, x, y):
    """Whether a shape holds a place."""
    kind = int(shape[0])
    if kind == EVERYWHERE:
        return True
    dx, dy = x - shape[1], y - shape[2]
    if dx * dx + dy * dy > shape[3] * shape[3]:
        return False
    u, v = shape[4] * dx + shape[5] * dy, shape[4] * dy - shape[5] * dx
    if kind == BAR:
        if abs(u) >= shape[6] or abs(v - shape[8] * u * u) >= shape[7]:
            return False
        if shape[10] >= 1.0:
            return True
        stripe = u / shape[9]
        return stripe - math.floor(stripe) < shape[10]
    radius = math.hypot(u, v)
    if radius < 1e-9:
        return True
    cos, sin = u / radius, v / radius
    outline, c, s = 1.0, cos, sin
    for k in range(4):
        c, s = c * cos - s * sin, s * cos + c * sin
        outline += shape[7 + 2 * k] * c + shape[8 + 2 * k] * s
    return radius < shape[6] * outline


@njit(error_model="numpy")
def _moved(h, x, y):
    w = h[2, 0] * x + h[2, 1] * y + h[2, 2]
    return (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / w, (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / w


@njit(error_model="numpy")
def _seen(inverse, boxes, shapes, x, y):
    """Number of the layer that a place shows, and where on it: its place at time 0."""
    for k in range(len(shapes) - 1, 0, -1):
        if boxes[k, 0] <= x <= boxes[k, 2] and boxes[k, 1] <= y <= boxes[k, 3]:
            px, py = _moved(inverse[k], x, y)
            if _holds(shapes[k], px, py):
                return k, px, py
    px, py = _moved(inverse[0], x, y)
    return 0, px, py


@njit(parallel=True, error_model="numpy")
def photograph(inverse, boxes, shapes, textures, paint, bank, samples, out):
    """Fill `out`, (H, W, 3) float32 in grey levels: the mean of samples x samples places of each pixel.

    inverse (L, 3, 3) gives the place at time 0 of one in the image, boxes (L, 4) what each layer can cover.
    """
    height, width, _ = out.shape
    size = bank.shape[1]
    for row in numba.prange(height):
        for column in range(width):
            red, green, blue = 0.0, 0.0, 0.0
            for j in range(samples):
                for i in range(samples):
                    x, y = column + (i + 0.5) / samples, row + (j + 0.5) / samples
                    k, px, py = _seen(inverse, boxes, shapes, x, y)
                    p = paint[k]
                    tx, ty = p[0] * px + p[1] * py + p[2], p[3] * px + p[4] * py + p[5]
                    left, top = math.floor(tx), math.floor(ty)
                    fx, fy = np.float32(tx - left), np.float32(ty - top)
                    x0, y0 = int(left) % size, int(top) % size
                    x1, y1 = (x0 + 1) % size, (y0 + 1) % size
                    texture = bank[textures[k]]
                    a, b = (np.float32(1.0) - fx) * (np.float32(1.0) - fy), fx * (np.float32(1.0) - fy)
                    c, d = (np.float32(1.0) - fx) * fy, fx * fy
                    t0 = a * texture[y0, x0, 0] + b * texture[y0, x1, 0] + c * texture[y1, x0, 0]
                    t1 = a * texture[y0, x0, 1] + b * texture[y0, x1, 1] + c * texture[y1, x0, 1]
                    t2 = a * texture[y0, x0, 2] + b * texture[y0, x1, 2] + c * texture[y1, x0, 2]
                    t0 += d * texture[y1, x1, 0]
                    t1 += d * texture[y1, x1, 1]
                    t2 += d * texture[y1, x1, 2]
                    red += min(max(p[6] * t0 + p[7] * t1 + p[8] * t2 + p[9], 0.0), 255.0)
                    green += min(max(p[10] * t0 + p[11] * t1 + p[12] * t2 + p[13], 0.0), 255.0)
                    blue += min(max(p[14] * t0 + p[15] * t1 + p[16] * t2 + p[17], 0.0), 255.0)
            share = 1.0 / (samples * samples)
            out[row, column, 0] = red * share
            out[row, column, 1] = green * share
            out[row, column, 2] = blue * share


@njit(parallel=True, error_model="numpy")
def truth(inverse0, inverse1, step, boxes0, boxes1, shapes, flow, occlusion, layer):
    """Fill flow (H, W, 2), occlusion and layer (H, W); `step` (L, 3, 3) leads from the first image to the second."""
    height, width, _ = flow.shape
    for row in numba.prange(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            k, _, _ = _seen(inverse0, boxes0, shapes, x, y)
            at_x, at_y = _moved(step[k], x, y)
            flow[row, column, 0], flow[row, column, 1] = at_x - x, at_y - y
            layer[row, column] = k
            inside = 0.0 <= at_x <= width and 0.0 <= at_y <= height
            occlusion[row, column] = not inside or _seen(inverse1, boxes1, shapes, at_x, at_y)[0] != k
