"""Volume rendering and its gradient by hand, parallel over rays; the formulas are those of volume_rendering.py.

With v_i = dL / dw_i, which gathers colour, opacity, range and what is given for the weights themselves:

    v_i = d_color . (c_i - background) + d_alpha + d_range (t_i - range) / alpha + d_weights_i
    dL / dsigma_i = delta_i (T_{i+1} v_i - sum_{j>i} w_j v_j) + d_range w_i delta_i^2 g'(x_i) / alpha
    dL / dc_i = w_i d_color

Arrays are float32; sums along a ray are in double precision, whose order is that of the samples. Each ray is one
thread's: a run gives the same bits as the next.
"""

import math

import numpy as np
from numba import prange

from geo3d.util.jit import njit

f4 = np.float32

_OPTIONS = {"error_model": "numpy", "_nrt": False}
_HALF = math.log(2.0)


@njit(**_OPTIONS)
def _opacity(x):
    """1 - exp(-x), to a few units of the last place for x >= 0."""
    if x < f4(0.03):
        return x * (f4(1) - x * (f4(0.5) - x * (f4(1 / 6) - x * f4(1 / 24))))
    return f4(1) - np.exp(-x)


@njit(**_OPTIONS)
def _mean_place(x):
    """g(x), where the light ends within an interval, and its derivative."""
    x = np.float64(x)
    if x < 0.5:
        square = x * x
        return (
            0.5 - x * (1 / 12 - square * (1 / 720 - square / 30240)),
            -1 / 12 + square * (1 / 240 - square / 6048),
        )
    inverse = 1.0 / x
    grown = np.exp(min(x, 60.0))
    rest = 1.0 / (grown - 1.0)
    return inverse - rest, grown * rest * rest - inverse * inverse


@njit(parallel=True, **_OPTIONS)
def composite_forward(starts, ends, offsets, density, color, background, image, alpha, weights):
    """Colour over the background and opacity of R rays; `weights` (S,) of their samples.

    `density` (S,), `color` (S, 3), `background` (R, 3) -> `image` (R, 3), `alpha` (R,), `weights`.
    """
    for ray in prange(len(alpha)):
        red, green, blue, total, light = 0.0, 0.0, 0.0, 0.0, 1.0
        for i in range(offsets[ray], offsets[ray + 1]):
            weight = light * _opacity(density[i] * (ends[i] - starts[i]))
            light -= weight
            weights[i] = weight
            total += weight
            red += weight * color[i, 0]
            green += weight * color[i, 1]
            blue += weight * color[i, 2]
        alpha[ray] = total
        image[ray, 0] = red + light * background[ray, 0]
        image[ray, 1] = green + light * background[ray, 1]
        image[ray, 2] = blue + light * background[ray, 2]


@njit(parallel=True, **_OPTIONS)
def ranges(starts, ends, offsets, density, weights, mean, median):
    """Mean and median range of R rays from the densities and weights of their samples: `mean` (R,), `median` (R,)."""
    for ray in prange(len(mean)):
        total, far, thickness, half = 0.0, 0.0, 0.0, 0.0
        for i in range(offsets[ray], offsets[ray + 1]):
            length = ends[i] - starts[i]
            x = density[i] * length
            place, _ = _mean_place(x)
            total += weights[i]
            far += weights[i] * (starts[i] + length * place)
            if thickness < _HALF <= thickness + x:
                half = starts[i] + length * (_HALF - thickness) / x
            thickness += x
        mean[ray] = far / total if total > 0.0 else 0.0
        median[ray] = half


@njit(parallel=True, **_OPTIONS)
def composite_backward(
    starts,
    ends,
    offsets,
    density,
    color,
    background,
    weights,
    d_image,
    d_alpha,
    d_weights,
    d_density,
    d_color,
):
    """Gradients by density and colour of the samples.

    `d_image` (R, 3), `d_alpha` (R,), `d_weights` (S,) or of no rows -> `d_density` (S,), `d_color` (S, 3).
    """
    more = len(d_weights) > 0
    for ray in prange(len(offsets) - 1):
        first, last = offsets[ray], offsets[ray + 1]
        red, green, blue = d_image[ray, 0], d_image[ray, 1], d_image[ray, 2]
        always = d_alpha[ray] - (
            red * background[ray, 0] + green * background[ray, 1] + blue * background[ray, 2]
        )
        light = 1.0
        for i in range(first, last):
            light -= weights[i]
        behind = 0.0
        for i in range(last - 1, first - 1, -1):
            weight = weights[i]
            value = always + red * color[i, 0] + green * color[i, 1] + blue * color[i, 2]
            if more:
                value += d_weights[i]
            d_density[i] = (ends[i] - starts[i]) * (light * value - behind)
            behind += np.float64(weight) * value
            light += weight
            d_color[i, 0] = weight * red
            d_color[i, 1] = weight * green
            d_color[i, 2] = weight * blue


@njit(parallel=True, **_OPTIONS)
def range_backward(starts, ends, offsets, density, weights, mean, d_mean, d_weights, d_density):
    """Add the gradient by the mean range: to `d_weights` (S,) that by the weights, to `d_density` (S,) the rest.

    `mean` (R,) from `ranges`, `d_mean` (R,).
    """
    for ray in prange(len(mean)):
        first, last = offsets[ray], offsets[ray + 1]
        total = 0.0
        for i in range(first, last):
            total += weights[i]
        if total > 0.0:
            slope = d_mean[ray] / total
            for i in range(first, last):
                length = ends[i] - starts[i]
                place, change = _mean_place(density[i] * length)
                d_weights[i] += slope * (starts[i] + length * place - mean[ray])
                d_density[i] += slope * weights[i] * length * length * change


@njit(parallel=True, **_OPTIONS)
def distortion(starts, ends, offsets, weights, scale, losses, d_weights):
    """Distortion loss of R rays, `losses` (R,); `scale` (R,) times its gradient by the weights, `d_weights` (S,)."""
    for ray in prange(len(losses)):
        first, last = offsets[ray], offsets[ray + 1]
        total, moment = 0.0, 0.0
        for i in range(first, last):
            total += weights[i]
            moment += weights[i] * 0.5 * (starts[i] + ends[i])
        near, near_moment, loss = 0.0, 0.0, 0.0
        for i in range(first, last):
            weight = np.float64(weights[i])
            middle = 0.5 * (starts[i] + ends[i])
            width = weight * (ends[i] - starts[i]) / 3.0
            nearer = middle * near - near_moment
            near += weight
            near_moment += weight * middle
            farther = moment - near_moment - middle * (total - near)
            loss += weight * (nearer + farther + width)
            d_weights[i] = scale[ray] * 2.0 * (nearer + farther + width)
        losses[ray] = loss
