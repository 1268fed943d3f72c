"""The Gaussians that training starts from: isotropic at the points of a reconstruction or at random ones, as large as
the mean distance to the three nearest points, of the colour of the point (Kerbl et al. 2023).
"""

from __future__ import annotations

import numpy as np

from geo3d.geometry import SH_C0
from geo3d.scene import Gaussians

_NEIGHBOURS = 3
_START_OPACITY = 0.1


def gaussians_at(
    points: np.ndarray, colors: np.ndarray, sh_degree: int, *, opacity: float = _START_OPACITY
) -> Gaussians:
    """Isotropic Gaussians at points.

    Parameters
    ----------
    points : (N, 3)
        World.
    colors : (N, 3)
        RGB in [0, 1].
    sh_degree : int
        0 to 3; all coefficients but the constant one are zero.
    opacity : float
        Of each.

    Raises
    ------
    ValueError
        If there is no point, or one is not finite.
    """
    from scipy.spatial import KDTree

    points = np.asarray(points, np.float64)
    if len(points) == 0 or not np.isfinite(points).all():
        raise ValueError("points: expected at least one, all finite")
    neighbours = min(_NEIGHBOURS, len(points) - 1)
    if neighbours:
        distance = KDTree(points).query(points, neighbours + 1)[0][:, 1:].mean(axis=1)
        known = distance[distance > 0]
        # Coinciding points get the least distance there is; points far out do not cover the scene.
        low, high = (known.min(), 20 * np.median(known)) if len(known) else (1e-3, 1e-3)
        distance = np.clip(distance, low, high)
    else:
        distance = np.array([1e-2])
    n = len(points)
    sh = np.zeros((n, (sh_degree + 1) ** 2, 3), np.float32)
    sh[:, 0] = (np.asarray(colors, np.float32) - 0.5) / SH_C0
    quaternions = np.zeros((n, 4), np.float32)
    quaternions[:, 0] = 1.0
    return Gaussians(
        points.astype(np.float32),
        quaternions,
        np.repeat(np.log(distance)[:, None], 3, axis=1).astype(np.float32),
        np.full(n, np.log(opacity / (1 - opacity)), np.float32),
        sh,
    )
