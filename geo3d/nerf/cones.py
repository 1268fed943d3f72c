"""Conical frusta: what a pixel sees of an interval of its ray, as a Gaussian with the frustum's own moments.

A cone about the ray o + t d, d of length 1, of radius r at t = 1, is cut at t0 and t1. With m = (t0 + t1) / 2 and
h = (t1 - t0) / 2 the points that are spread evenly in it have, along the ray and across it,

    mean       m + 2 m h^2 / (3 m^2 + h^2)
    axial      h^2 / 3 - 4 h^4 (12 m^2 - h^2) / (15 (3 m^2 + h^2)^2)
    radial     r^2 (m^2 / 4 + 5 h^2 / 12 - 4 h^4 / (15 (3 m^2 + h^2)))

Barron et al., mip-NeRF, ICCV 2021, equation 7, in the form that keeps its digits in float32. The covariance is
axial d d^T + radial (I - d d^T). Under a map of space with the Jacobian J it becomes J covariance J^T (Barron et al.,
mip-NeRF 360, CVPR 2022, equation 9), of which the encoding needs the diagonal only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.network_frame import network_coordinates, network_jacobians
from geo3d.nerf.rays import Rays
from geo3d.nerf.samples import RaySamples
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")


@dataclass(frozen=True)
class FrameGaussians:
    """What of space a network is asked about, in its frame (see `network_frame`)."""

    means: Tensor
    """(S, 3)."""
    variances: Tensor
    """(S, 3) along the axes."""


@dataclass(frozen=True)
class ConeMoments:
    """Mean and variances of frusta, world units."""

    distance: Tensor
    """(S,) of the mean along the ray."""
    axial: Tensor
    """(S,) variance along the ray."""
    radial: Tensor
    """(S,) variance in each direction across it."""


def cone_moments(starts: Tensor, ends: Tensor, radii: Tensor) -> ConeMoments:
    """Moments of frusta between `starts` and `ends` (S,) of cones with `radii` (S,) at distance 1 along the ray."""
    m, h = (starts + ends) / 2, (ends - starts) / 2
    mm, hh = m * m, h * h
    whole = (3 * mm + hh).clamp_min(torch.finfo(m.dtype).tiny)
    distance = m + 2 * m * hh / whole
    axial = hh / 3 - (4 / 15) * (hh / whole) ** 2 * (12 * mm - hh)
    radial = radii**2 * (mm / 4 + (5 / 12) * hh - (4 / 15) * hh * (hh / whole))
    return ConeMoments(distance, axial, radial)


def diagonal_variances(moments: ConeMoments, directions: Tensor, jacobians: Tensor | None = None) -> Tensor:
    """(S, 3) variances along the axes, after a map of space where one is given.

    Parameters
    ----------
    moments : ConeMoments
    directions : (S, 3) tensor
        Unit vectors of the rays.
    jacobians : (S, 3, 3) or (3, 3) tensor, optional
        Of the map, at the means.
    """
    if jacobians is None:
        along, whole = directions.square(), 1.0
    else:
        along = torch.einsum("...ab,...b->...a", jacobians, directions).square()
        whole = jacobians.square().sum(-1)
    return moments.axial[:, None] * along + moments.radial[:, None] * (whole - along)


def frustum_gaussians(box: SceneBox, rays: Rays, samples: RaySamples) -> FrameGaussians:
    """The frusta of intervals.

    Parameters
    ----------
    box : SceneBox
        Of the field.
    rays : Rays
    samples : RaySamples
    """
    directions = samples.per_sample(rays.directions)
    moments = cone_moments(samples.starts, samples.ends, samples.per_sample(rays.radii))
    means = samples.per_sample(rays.origins) + moments.distance[:, None] * directions
    variances = diagonal_variances(moments, directions, network_jacobians(box, means))
    return FrameGaussians(network_coordinates(box, means), variances)


def point_gaussians(box: SceneBox, positions: Tensor) -> FrameGaussians:
    """Points, without variance: `positions` (S, 3) of the world, for a field in a `box`."""
    return FrameGaussians(network_coordinates(box, positions), torch.zeros_like(positions))
