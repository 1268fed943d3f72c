"""Conjugate gradients for a sparse positive definite system, preconditioned by the inverses of its diagonal blocks.

`A x = b` by minimising `Q(x) = x.A x / 2 - b.x`. Ends when an iteration lowers Q by little against what all of them
did, `k (Q_k - Q_{k-1}) <= tolerance Q_k` (Nash and Sofer 1990), which is what an inexact Newton step asks for: it is
short where the system is ill-conditioned, and as good for its length.
"""

from __future__ import annotations

import numpy as np

from geo3d.optim import sparse_kernels as kernels


def conjugate_gradients(
    indptr: np.ndarray,
    indices: np.ndarray,
    data: np.ndarray,
    columns: np.ndarray,
    b: np.ndarray,
    tolerance: float,
    max_iterations: int = 500,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Solve `A x = b`.

    Parameters
    ----------
    indptr, indices, data : (n + 1,), (N,), (N,) array
        Lower triangle of A in compressed rows; see `sparse_kernels`.
    columns : (blocks + 1,) int
        Bounds of the diagonal blocks.
    b : (n,) array
    tolerance : float
        0 goes on to `max_iterations` or rounding.
    max_iterations : int

    Returns
    -------
    (n,) array, (n,) array or None
        x and `b - A x`; None when A is not positive definite.
    """
    blocks = np.empty((len(columns) - 1, *[int(np.diff(columns).max(initial=1))] * 2))
    kernels.diagonal_blocks(indptr, indices, data, columns, blocks)
    try:
        np.linalg.cholesky(blocks)
    except np.linalg.LinAlgError:
        return None
    inverses = np.linalg.inv(blocks)
    x, r = np.zeros_like(b), b.copy()
    z, q = np.empty_like(b), np.empty_like(b)
    kernels.multiply_blocks(inverses, columns, r, z)
    p, rz = z.copy(), float(r @ z)
    floor, value = 1e-28 * rz, 0.0
    for k in range(1, max_iterations + 1):
        if rz <= floor:
            break
        kernels.symmetric_product(indptr, indices, data, p, q)
        curvature = float(p @ q)
        if not curvature > 0:
            return None
        alpha = rz / curvature
        x += alpha * p
        r -= alpha * q
        before, value = value, -0.5 * float(x @ (b + r))
        if k * (value - before) >= tolerance * value and tolerance > 0:
            break
        kernels.multiply_blocks(inverses, columns, r, z)
        following = float(r @ z)
        p *= following / rz
        p += z
        rz = following
    return x, r
