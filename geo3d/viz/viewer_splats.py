"""Gaussians as the browser draws them: centres, covariances, one colour each, in the display frame.

    covariance = M M^T,  M = s R_display R_q diag(exp(log_scales)),  s the scale of the display frame

The browser has no view-dependent colour: it shows that of degree 0, `0.5 + Y_0 sh_0`. It keeps covariances in half
precision (6e-8 to 65504), so lengths are given `MAGNIFIED` times larger and drawn at a scale that undoes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.geometry import SH_C0, Sim3, quaternion_to_matrix
from geo3d.scene import Gaussians

MAX_SPLATS = 1_000_000
"""More than a browser sorts several times a second; those that cover most are shown."""

MAGNIFIED = 8.0
"""Splats are handed over in display units times this."""

_LARGEST = 200.0  # standard deviation in magnified units, whose square half precision still holds
_FARTHEST = 1e5  # display units; nothing that is further was meant


@dataclass(frozen=True)
class ShownSplats:
    """What the browser is given.

    Attributes
    ----------
    centers : (N, 3) float32
        Display frame times `MAGNIFIED`.
    covariances : (N, 3, 3) float32
    colors : (N, 3) uint8
    opacities : (N,) float32
        0 to 1.
    total : int
        How many Gaussians there are, of which these N cover most.
    """

    centers: np.ndarray
    covariances: np.ndarray
    colors: np.ndarray
    opacities: np.ndarray
    total: int

    def solid(self) -> np.ndarray:
        """(M, 3) centres, display frame, of those at least half opaque: what can be measured on."""
        return self.centers[self.opacities >= 0.5] / np.float32(MAGNIFIED)


def shown_splats(gaussians: Gaussians, display_from_world: Sim3, most: int = MAX_SPLATS) -> ShownSplats:
    """Gaussians for the browser.

    Parameters
    ----------
    gaussians : Gaussians
        NumPy, finite, quaternions not zero.
    display_from_world : Sim3
    most : int
        Of more than these, those of the largest opacity times area are kept, in their order.
    """
    g = gaussians
    total = len(g)
    opacities = (1 / (1 + np.exp(-g.logit_opacities.astype(np.float64)))).astype(np.float32)
    if total > most:
        two = np.sort(g.log_scales, axis=1)[:, 1:].sum(axis=1)  # logarithm of the area of the widest section
        weight = np.log(opacities) + two
        rows = np.sort(np.argpartition(-weight, most)[:most])
    else:
        rows = np.arange(total)
    frame = display_from_world
    centers = (frame.act(g.means[rows].astype(np.float64)) * MAGNIFIED).astype(np.float32)
    near = np.abs(centers).max(axis=1, initial=0.0) < _FARTHEST * MAGNIFIED
    rows, centers = rows[near], centers[near]
    scale = float(frame.scale) * MAGNIFIED
    sizes = np.minimum(scale * np.exp(g.log_scales[rows].astype(np.float64)), _LARGEST)
    axes = frame.rotation @ quaternion_to_matrix(g.quaternions[rows]) * sizes[:, None, :]
    return ShownSplats(
        centers,
        (axes @ axes.transpose(0, 2, 1)).astype(np.float32),
        (255 * np.clip(0.5 + SH_C0 * g.sh[rows, 0], 0, 1)).round().astype(np.uint8),
        opacities[rows],
        total,
    )
