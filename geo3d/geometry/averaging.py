"""The one rotation that stands for many: R with the least sum of w_i d(R, R_i)^p.

Chordal L2 (p = 2, d = |R - R_i| in the Frobenius norm): the rotation nearest to the weighted sum of the
matrices, in closed form. Geodesic L1 (p = 1, d = angle of R^T R_i): the median on the group, by Weiszfeld's iteration;
outliers hardly move it. Hartley, Trumpf, Dai, Li: Rotation averaging, 2013.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from geo3d.geometry.group import as_rotation
from geo3d.geometry.so3 import SO3, closest_rotation, rotation_angle

_MAX_STARTS = 64
_MAX_ITERATIONS = 200
_STEP_TOLERANCE_RAD = 1e-12


def average_rotations(
    rotations: ArrayLike, weights: ArrayLike | None = None, robust: bool = False
) -> np.ndarray:
    """Average of rotations: chordal L2, or geodesic L1 where `robust`.

    Parameters
    ----------
    rotations : (N, 3, 3)
        Rotation matrices, N >= 1.
    weights : (N,), optional
        Not negative, not all zero; one each by default.
    robust : bool
        True: the median (geodesic L1), which stands while fewer than half of the rotations (by weight) are
        wrong. False: the mean (chordal L2).

    Returns
    -------
    (3, 3) float64
        The average.

    Raises
    ------
    ValueError
        If the shapes do not fit, a number is not finite, or the mean is not unique (as of two rotations that
        differ by pi).

    References
    ----------
    Hartley, Trumpf, Dai, Li: Rotation averaging. International Journal of Computer Vision 103, 2013.
    """
    r = as_rotation(rotations, "rotations")
    if r.ndim != 3 or len(r) == 0:
        raise ValueError(f"rotations: expected shape (N, 3, 3) with N >= 1, got {r.shape}")
    if not np.isfinite(r).all():
        raise ValueError("rotations: expected finite numbers, got NaN or infinity")
    w = np.ones(len(r)) if weights is None else np.asarray(weights, np.float64)
    if w.shape != (len(r),) or not np.isfinite(w).all() or (w < 0).any() or not w.any():
        raise ValueError(
            f"weights: expected {len(r)} finite numbers, none negative and not all zero, got shape {w.shape}"
        )
    return _median(r[w > 0], w[w > 0]) if robust else _mean(r, w)


def _mean(rotations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = np.einsum("n,nij->ij", weights, rotations)
    mean = closest_rotation(total)
    singular = np.linalg.svd(total, compute_uv=False)
    if singular[1] + np.sign(np.linalg.det(total)) * singular[2] <= 1e-9 * weights.sum():
        raise ValueError(
            "rotations: they have no unique mean, because they cancel each other (as two that differ by pi)"
        )
    return mean


def _median(rotations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weiszfeld's iteration, begun at the best of (at most 64 of) the given rotations."""
    starts = rotations[:: -(-len(rotations) // _MAX_STARTS)]
    costs = [weights @ rotation_angle(start.T @ rotations) for start in starts]
    median = starts[int(np.argmin(costs))]
    for _ in range(_MAX_ITERATIONS):
        errors = SO3(median.T @ rotations).log()
        distance = np.linalg.norm(errors, axis=-1)
        apart = distance > _STEP_TOLERANCE_RAD
        pull = weights[apart] / distance[apart]
        force = pull @ errors[apart]
        # A rotation at the very point holds on to it with its weight (Vardi and Zhang 2000)
        held = weights[~apart].sum()
        strength = float(np.linalg.norm(force))
        if strength <= held or not apart.any():
            break
        step = force / pull.sum() * (1 - held / strength)
        median = median @ SO3.exp(step).matrix
        if np.linalg.norm(step) < _STEP_TOLERANCE_RAD:
            break
    return closest_rotation(median)
