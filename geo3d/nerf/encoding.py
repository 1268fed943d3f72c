"""Positional encoding: a coordinate as sines and cosines of octaves, so that a small network can draw fine detail.

    gamma(p) = (sin(2^0 pi p), cos(2^0 pi p), ..., sin(2^(L-1) pi p), cos(2^(L-1) pi p)),   p in [-1, 1]

Mildenhall et al., NeRF, ECCV 2020, equation 4. The expected value over a Gaussian N(mean, variance), which forgets
the octaves that are finer than the Gaussian is wide (Barron et al., mip-NeRF, ICCV 2021, equations 11 to 14):

    E[sin(w p)] = sin(w mean) exp(-w^2 variance / 2),   E[cos(w p)] = cos(w mean) exp(-w^2 variance / 2)
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING, Any

from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")


def positional_encoding(coordinates: Tensor, levels: int) -> Tensor:
    """Sines and cosines of `levels` octaves.

    Parameters
    ----------
    coordinates : (..., D) tensor
        In [-1, 1].
    levels : int

    Returns
    -------
    (..., 2 levels D) tensor
        For each octave, the lowest first, the D sines, then the D cosines.
    """
    phases = _phases(coordinates, levels)
    return torch.stack([phases.sin(), phases.cos()], -2).flatten(-3)


def integrated_encoding(means: Tensor, variances: Tensor, levels: int) -> Tensor:
    """Expected positional encoding over Gaussians; `positional_encoding` where the variance is 0.

    Parameters
    ----------
    means : (..., D) tensor
        In [-1, 1].
    variances : (..., D) tensor
        The diagonal of the covariance; what lies beside it makes no difference here.
    levels : int

    Returns
    -------
    (..., 2 levels D) tensor
        In the order of `positional_encoding`.
    """
    phases = _phases(means, levels)
    fading = torch.exp(-0.5 * variances[..., None, :] * _frequencies(means, levels).square()[:, None])
    return torch.stack([fading * phases.sin(), fading * phases.cos()], -2).flatten(-3)


def _frequencies(like: Tensor, levels: int) -> Tensor:
    """(levels,) radians a unit."""
    return pi * torch.exp2(torch.arange(levels, dtype=like.dtype, device=like.device))


def _phases(coordinates: Tensor, levels: int) -> Tensor:
    """(..., levels, D) radians."""
    return coordinates[..., None, :] * _frequencies(coordinates, levels)[:, None]
