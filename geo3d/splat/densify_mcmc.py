"""Gaussians as samples of a Markov chain: Kheradmand et al., 3D Gaussian Splatting as MCMC (NeurIPS 2024).

Nothing is pruned: a Gaussian that has become transparent is moved to where an opaque one is, drawn in proportion to
opacity, and both are made such that what a ray gathers stays the same. With N of opacity o' and deviation s' in the
place of one of o and s:

    o' = 1 - (1 - o)^(1/N),    s' = s o / sum_{k=1}^{N} C(N, k) (-1)^(k-1) o'^k / sqrt(k)

(their equation 9; the inner sum of binomials is closed). A random walk moves the transparent ones:
`mean += rate noise gate(o) Sigma xi`, xi standard normal, gate(o) = sigmoid(100 (0.005 - o)).
"""

from __future__ import annotations

import numpy as np
from scipy.special import comb

from geo3d.geometry.quaternions import quaternion_to_matrix
from geo3d.scene import Gaussians
from geo3d.splat.refinement import Refinement, logit, opacities, take, useless
from geo3d.splat.training_options import DensifyOptions

_MOST_COPIES = 51  # as in the paper's code
GATE_SLOPE, GATE_OPACITY = 100.0, 0.005
_STILL_OPACITY = 0.06  # above, the gate is under 0.005 and the walk is left out


def relocated(opacity: np.ndarray, copies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Opacity of each of so many copies in one place, and the factor of their scales.

    Parameters
    ----------
    opacity : (K,) float
        Of the one before.
    copies : (K,) int
        At least 1; more than 51 count as 51.

    Returns
    -------
    opacity, scale : (K,) float64
    """
    n = np.clip(copies, 1, _MOST_COPIES)
    o = np.clip(np.asarray(opacity, np.float64), 1e-6, 1 - 1e-6)
    new = 1.0 - (1.0 - o) ** (1.0 / n)
    total = np.zeros_like(new)
    for k in range(1, int(n.max(initial=1)) + 1):
        total += comb(n, k) * (-1.0) ** (k - 1) * new**k / np.sqrt(k)
    return new, o / total


def densify_mcmc(
    gaussians: Gaussians, options: DensifyOptions, *, extent: float, room: int, rng: np.random.Generator
) -> Refinement:
    """Move the transparent Gaussians to opaque ones, and add `room` more in the same way.

    Parameters
    ----------
    gaussians : Gaussians
        NumPy, N rows.
    options : DensifyOptions
    extent : float
        Of the scene, world units.
    room : int
        So many are added.
    rng : numpy.random.Generator

    Returns
    -------
    Refinement
    """
    dead = useless(gaussians, options.min_opacity, options.max_extent * extent)
    alive = np.flatnonzero(~dead)
    if len(alive) == 0:
        return Refinement(gaussians, np.arange(len(gaussians)), 0, 0)
    moved = int(np.count_nonzero(dead))
    weight = opacities(take(gaussians, alive)).astype(np.float64)
    drawn = alive[rng.choice(len(alive), moved + max(room, 0), p=weight / weight.sum())]
    copies = np.bincount(drawn, minlength=len(gaussians)) + 1
    hosts = np.flatnonzero(copies > 1)
    opacity, scale = relocated(opacities(take(gaussians, hosts)), copies[hosts])

    rows = np.arange(len(gaussians) + max(room, 0))
    rows[np.flatnonzero(dead)] = drawn[:moved]
    rows[len(gaussians) :] = drawn[moved:]
    found = take(gaussians, rows)
    place = np.full(len(gaussians), -1)
    place[hosts] = np.arange(len(hosts))
    touched = place[rows] >= 0
    host = place[rows[touched]]
    found.logit_opacities[touched] = logit(np.maximum(opacity[host], options.min_opacity * 1.01))
    found.log_scales[touched] += np.log(scale[host])[:, None].astype(np.float32)
    source = rows.astype(np.int64)
    source[touched] = -1
    return Refinement(found, source, max(room, 0) + moved, moved)


def random_walk(gaussians: Gaussians, strength: float, rng: np.random.Generator) -> None:
    """Move the centres of transparent Gaussians at random, in place.

    Parameters
    ----------
    gaussians : Gaussians
        NumPy.
    strength : float
        Learning rate of the centres times `DensifyOptions.noise`.
    rng : numpy.random.Generator
    """
    rows = np.flatnonzero(gaussians.logit_opacities < np.log(_STILL_OPACITY / (1 - _STILL_OPACITY)))
    if len(rows) == 0:
        return
    opacity = opacities(take(gaussians, rows))
    gate = 1.0 / (1.0 + np.exp(-GATE_SLOPE * (GATE_OPACITY - opacity)))
    axes = quaternion_to_matrix(gaussians.quaternions[rows]).astype(np.float32)
    variances = np.exp(2.0 * gaussians.log_scales[rows])
    xi = rng.standard_normal((len(rows), 3), np.float32) * (strength * gate)[:, None].astype(np.float32)
    local = np.einsum("nij,ni->nj", axes, xi) * variances
    gaussians.means[rows] += np.einsum("nij,nj->ni", axes, local)
