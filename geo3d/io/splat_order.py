"""Orders of Gaussians in files: near ones together, where a format compresses by blocks; large ones first, where it
streams.
"""

from __future__ import annotations

import numpy as np

from geo3d.scene import Gaussians

_BITS = 21  # an axis; three of them fill 63 bits


def rows(gaussians: Gaussians, order: np.ndarray) -> Gaussians:
    """The rows `order` of `gaussians` (of NumPy arrays)."""
    g = gaussians
    return Gaussians(
        g.means[order],
        g.quaternions[order],
        g.log_scales[order],
        g.logit_opacities[order],
        g.sh[order],
        g.antialiased,
    )


def by_place(gaussians: Gaussians) -> np.ndarray:
    """(N,) rows in Morton order of their centres: the bits of x, y and z interleaved, in the cube that holds them."""
    means = gaussians.means.astype(np.float64)
    if not len(means):
        return np.zeros(0, np.int64)
    low = means.min(0)
    size = max(float((means - low).max()), 1e-300)
    cells = np.minimum((means - low) / size * 2**_BITS, 2**_BITS - 1).astype(np.uint64)
    code = _spread(cells[:, 0]) | _spread(cells[:, 1]) << np.uint64(1) | _spread(cells[:, 2]) << np.uint64(2)
    return np.argsort(code, kind="stable")


def by_importance(gaussians: Gaussians) -> np.ndarray:
    """(N,) rows by volume times opacity, largest first."""
    g = gaussians
    opacity = -np.logaddexp(0, -g.logit_opacities.astype(np.float64))  # its logarithm
    return np.argsort(-(g.log_scales.sum(1, dtype=np.float64) + opacity), kind="stable")


def _spread(cells: np.ndarray) -> np.ndarray:
    """The lowest 21 bits of each number, two zeros after each."""
    x = cells
    for shift, mask in (
        (32, 0x1F00000000FFFF),
        (16, 0x1F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ):
        x = (x | x << np.uint64(shift)) & np.uint64(mask)
    return x
