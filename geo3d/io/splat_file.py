"""What every file of Gaussians is read to, and which rows of untrusted numbers are kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from geo3d.io.world_frame import WorldFrame
from geo3d.scene import Gaussians

LARGEST_LOG_SCALE = 40.0
"""Beyond it the variance exp(2 s) is no float32; a smaller one than its negative is as flat as can be."""
LARGEST_LOGIT = 16.0
"""Its opacity differs from 1 by 1e-7."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplatFile:
    """Gaussians as they were read.

    Attributes
    ----------
    gaussians : Gaussians
        NumPy float32, C-contiguous.
    frame : WorldFrame
        Unit and place of their world, as far as the file tells.
    dropped : int
        Rows of the file that are no Gaussians, and so are not in `gaussians`.
    """

    gaussians: Gaussians
    frame: WorldFrame = field(default_factory=WorldFrame)
    dropped: int = 0


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Opacities of their `logits`, in the same type, without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * logits)


def logit(opacities: np.ndarray) -> np.ndarray:
    """Logits of `opacities` from 0 to 1; those of 0 and 1 are infinite."""
    with np.errstate(divide="ignore"):
        return np.log(opacities) - np.log1p(-opacities)


def numpy_gaussians(gaussians: Gaussians) -> Gaussians:
    """`gaussians` with C-contiguous NumPy float32 arrays; torch tensors come off the device and their graph."""

    def plain(values: Any) -> np.ndarray:
        if hasattr(values, "detach"):
            values = values.detach().cpu().numpy()
        return np.ascontiguousarray(values, np.float32)

    g = gaussians
    return Gaussians(
        plain(g.means),
        plain(g.quaternions),
        plain(g.log_scales),
        plain(g.logit_opacities),
        plain(g.sh),
        g.antialiased,
    )


def sound_rows(gaussians: Gaussians, source: object) -> tuple[Gaussians, int]:
    """The rows that are Gaussians, and how many are not; a warning names `source` where there are such.

    Dropped are rows with NaN, with an infinite mean or colour, a quaternion that is zero or infinite, or a log scale
    above `LARGEST_LOG_SCALE`. Kept and made finite are opacities of exactly 0 or 1 and scales of 0, which
    converters write (their logit and logarithm are infinite).

    Raises
    ------
    ValueError
        If there are rows and none is a Gaussian.
    """
    g = gaussians
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.einsum("ij,ij->i", g.quaternions, g.quaternions, dtype=np.float64)
        good = np.isfinite(g.means).all(1) & np.isfinite(g.sh).all((1, 2))
        good &= np.isfinite(norms) & (norms > 1e-30) & (g.log_scales <= LARGEST_LOG_SCALE).all(1)
        good &= ~np.isnan(g.logit_opacities)
    dropped = int(len(good) - np.count_nonzero(good))
    if len(good) and dropped == len(good):
        raise ValueError(
            f"{source}: none of its {dropped:,} rows is a Gaussian (NaN, infinite or zero rotation)"
        )
    if dropped:
        _log.warning("%s: %d of %d rows are no Gaussians (NaN, infinite, zero rotation); left out",
                     source, dropped, len(good))  # fmt: skip
    return Gaussians(
        g.means[good] if dropped else g.means,
        g.quaternions[good] if dropped else g.quaternions,
        np.maximum(g.log_scales[good] if dropped else g.log_scales, -LARGEST_LOG_SCALE),
        np.clip(g.logit_opacities[good] if dropped else g.logit_opacities, -LARGEST_LOGIT, LARGEST_LOGIT),
        g.sh[good] if dropped else g.sh,
        g.antialiased,
    ), dropped
