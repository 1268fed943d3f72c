"""Adam (Kingma and Ba 2015) over the visible Gaussians, all their parameters in one sweep; sixteen numbers at a time.

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
    p -= rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)     t: how often this Gaussian was moved

A row of the moments: mean, quaternion, log_scale, logit_opacity in the first `HEAD` numbers (some of them unused), then
the spherical harmonics.
"""

import math

import numpy as np

from geo3d.util.jit import njit
from geo3d.util.lanes import load, next_item, square_root, store

f4 = np.float32

CHUNK = 1024  # Gaussians that a thread takes at a time
HEAD = 16

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_INLINE = {**_OPTIONS, "forceinline": True}


@njit(**_INLINE)
def _move(p, g, at, m, v, moments_at, rates, rates_at, decay, size, epsilon):
    """Sixteen numbers: `p` and `g` from `at` on, their moments and their rates."""
    slope = load(g, at)
    first = load(m, moments_at) * decay[0] + slope * (f4(1) - decay[0])
    second = load(v, moments_at) * decay[1] + slope * slope * (f4(1) - decay[1])
    store(m, moments_at, first)
    store(v, moments_at, second)
    store(p, at, load(p, at) - load(rates, rates_at) * size * first / (square_root(second) + epsilon))


@njit(**_INLINE)
def _exchange(head, at, groups, i, back):
    """Copy mean, quaternion, log_scale and logit_opacity of Gaussian i to `head[at:]`, or back."""
    k = at
    for group, width in ((groups[0], 3), (groups[1], 4), (groups[2], 3), (groups[3], 1)):
        for j in range(width):
            if back:
                group[width * i + j] = head[k]
            else:
                head[k] = group[width * i + j]
            k += 1


@njit(**_OPTIONS)
def adam(counter, visible, parameters, gradients, rates, decay, sizes, epsilons, steps, m, v, scratch):
    """Move the rows where `visible`, chunks as `counter` hands them out.

    `parameters`, `gradients`: means, quaternions, log_scales, logit_opacities, sh, each flat. `rates` (D,) as a row of
    the moments. `decay`: b1, b2 in float32. `sizes`, `epsilons` (T,): sqrt(1 - b2^t) / (1 - b1^t) and
    epsilon sqrt(1 - b2^t), the last of them for all later t. `steps` (N,) int32, `m`, `v` (N * D,) are the state,
    `scratch` (2 * HEAD,) this thread's own, its unused numbers 0.
    """
    n, width = visible.shape[0], rates.shape[0]
    colours = width - HEAD
    whole = colours - colours % 16
    sh, d_sh = parameters[4], gradients[4]
    chunk = next_item(counter)
    while chunk * CHUNK < n:
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, n)):
            if not visible[i]:
                continue
            steps[i] += 1
            t = min(np.int64(steps[i]), sizes.shape[0] - 1)
            size, epsilon, at = sizes[t], epsilons[t], i * width
            _exchange(scratch, 0, parameters, i, False)
            _exchange(scratch, HEAD, gradients, i, False)
            _move(scratch, scratch[HEAD:], 0, m, v, at, rates, 0, decay, size, epsilon)
            _exchange(scratch, 0, parameters, i, True)
            at += HEAD
            for j in range(0, whole, 16):
                _move(sh, d_sh, colours * i + j, m, v, at + j, rates, HEAD + j, decay, size, epsilon)
            for j in range(whole, colours):
                g, k = d_sh[colours * i + j], at + j
                m[k] = decay[0] * m[k] + (f4(1) - decay[0]) * g
                v[k] = decay[1] * v[k] + (f4(1) - decay[1]) * g * g
                sh[colours * i + j] -= rates[HEAD + j] * size * m[k] / (math.sqrt(v[k]) + epsilon)
        chunk = next_item(counter)
