"""Adam (Kingma and Ba 2015) over the visible Gaussians, all their parameters in one sweep. float32.

m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
p -= rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)     t: how often this Gaussian was moved
"""

import math

import numpy as np

from geo3d.splat.lanes import next_item
from geo3d.util.jit import njit

f4 = np.float32

CHUNK = 1024  # Gaussians that a thread takes at a time
SIZES = (
    3,
    4,
    3,
    1,
)  # means, quaternions, log_scales, logit_opacities; what is left are the spherical harmonics
MOMENTS = sum(SIZES)

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}


@njit(**_OPTIONS)
def _move(values, gradients, begin, count, m, v, at, rate, first, second, size, epsilon):
    """One group of parameters of one Gaussian: `size` is the step's factor from both bias corrections."""
    one = f4(1)
    for j in range(count):
        g = gradients[begin + j]
        m[at + j] = first * m[at + j] + (one - first) * g
        v[at + j] = second * v[at + j] + (one - second) * g * g
        values[begin + j] -= rate * size * m[at + j] / (math.sqrt(v[at + j]) + epsilon)


@njit(**_OPTIONS)
def adam(counter, visible, parameters, gradients, rates, betas, epsilon, steps, m, v):
    """Move the rows where `visible`, chunks as `counter` hands them out.

    `parameters`, `gradients`: means, quaternions, log_scales, logit_opacities, sh, each flat. `rates` (6,): of these
    with the coefficients of degree 0 before the others. `steps` (N,) int32, `m`, `v` (N * D,) are the state.
    """
    n = visible.shape[0]
    width = m.shape[0] // max(n, 1)
    colours = width - MOMENTS
    chunk = next_item(counter)
    while chunk * CHUNK < n:
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, n)):
            if not visible[i]:
                continue
            steps[i] += 1
            # m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + e) = size m / (sqrt(v) + e sqrt(1 - b2^t))
            root = math.sqrt(1.0 - betas[1] ** steps[i])
            size, e = f4(root / (1.0 - betas[0] ** steps[i])), f4(epsilon * root)
            first, second = f4(betas[0]), f4(betas[1])
            at = i * width
            _move(parameters[0], gradients[0], 3 * i, 3, m, v, at, rates[0], first, second, size, e)
            _move(parameters[1], gradients[1], 4 * i, 4, m, v, at + 3, rates[1], first, second, size, e)
            _move(parameters[2], gradients[2], 3 * i, 3, m, v, at + 7, rates[2], first, second, size, e)
            _move(parameters[3], gradients[3], i, 1, m, v, at + 10, rates[3], first, second, size, e)
            begin = colours * i
            _move(parameters[4], gradients[4], begin, 3, m, v, at + 11, rates[4], first, second, size, e)
            _move(
                parameters[4],
                gradients[4],
                begin + 3,
                colours - 3,
                m,
                v,
                at + 14,
                rates[5],
                first,
                second,
                size,
                e,
            )
        chunk = next_item(counter)
