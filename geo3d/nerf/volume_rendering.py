"""Volume rendering as the formulas read, in PyTorch: any float type, any device, differentiated by autograd.

Along a ray the density sigma and the colour c are constant in each interval i, of length delta_i (Max 1995; Mildenhall
et al., NeRF, ECCV 2020, equation 3):

    x_i = sigma_i delta_i                       optical thickness
    alpha_i = 1 - exp(-x_i)
    T_i = exp(-sum_{j<i} x_j)                   transmittance up to the interval
    w_i = T_i alpha_i                           weight: the share of the light that ends there
    color = sum_i w_i c_i + (1 - alpha) background,   alpha = sum_i w_i

Where the light ends, exactly for such densities, so that how finely they are cut changes nothing:

    range = sum_i w_i t_i / alpha               t_i = start_i + delta_i g(x_i),  g(x) = 1 / x - 1 / (exp(x) - 1)
    median range: where the transmittance is 1/2

Distortion loss of mip-NeRF 360 (Barron et al., CVPR 2022, equation 15), m_i the middles:

    sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 delta_i
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geo3d.nerf.samples import RaySamples
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")


@dataclass(frozen=True)
class RayRendering:
    """What R rays show; torch tensors.

    Attributes
    ----------
    color : (R, C)
        Over the background; C = 3, RGB, as a rule.
    alpha : (R,)
        Opacity, 0 to 1.
    range : (R,)
        Mean range at which the light ends, of that which does; 0 where none does.
    median_range : (R,)
        Range at which half of the light has ended; 0 where it never has. Without gradient.
    normals : (R, 3) or None
        Unit vectors, frame of the rays; 0 where nothing is.
    weights : (S,)
        Of the samples.
    """

    color: Tensor
    alpha: Tensor
    range: Tensor
    median_range: Tensor
    normals: Tensor | None
    weights: Tensor


def composite(
    density: Tensor,
    color: Tensor,
    samples: RaySamples,
    background: Tensor | None = None,
    normals: Tensor | None = None,
) -> RayRendering:
    """Render rays from the densities and colours of their samples.

    Parameters
    ----------
    density : (S,) tensor
        Finite and not negative; per unit of the ranges.
    color : (S, C) tensor
    samples : RaySamples
        Tensors.
    background : (C,) or (R, C) tensor, optional
        Black if not given.
    normals : (S, 3) tensor, optional
        Unit normals of the samples.

    Returns
    -------
    RayRendering

    Raises
    ------
    ValueError
        If there is not one density and one colour of each sample.

    Examples
    --------
    >>> samples = RaySamples.dense(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 2.0]]))
    >>> density = torch.log(torch.tensor([2.0, 4.0]))
    >>> composite(density, torch.eye(3)[:2], samples).color
    tensor([[0.5000, 0.3750, 0.0000]])
    """
    check_shape("density", density, len(samples))
    check_shape("color", color, len(samples), None)
    thickness = density * samples.lengths
    before = _summed_before(thickness, samples)
    weights = torch.exp(-before) * -torch.expm1(-thickness)
    alpha = _per_ray(weights, samples)
    image = _per_ray(weights[:, None] * color, samples)
    if background is not None:
        image = image + (1.0 - alpha)[:, None] * background
    place = samples.starts + samples.lengths * _mean_place(thickness)
    seen = alpha > 0
    far = _per_ray(weights * place, samples) / torch.where(seen, alpha, 1.0)
    if normals is not None:
        mean = _per_ray(weights[:, None] * normals, samples)
        normals = unit_vectors(mean)
    with torch.no_grad():
        median = _median_range(thickness, before, samples)
    return RayRendering(image, alpha, torch.where(seen, far, 0.0), median, normals, weights)


def ray_weights(density: Tensor, samples: RaySamples) -> Tensor:
    """(S,) weights of the samples.

    Parameters
    ----------
    density : (S,) tensor
    samples : RaySamples
        Tensors.

    Raises
    ------
    ValueError
        If there is not one density of each sample.
    """
    check_shape("density", density, len(samples))
    thickness = density * samples.lengths
    return torch.exp(-_summed_before(thickness, samples)) * -torch.expm1(-thickness)


def distortion_loss(weights: Tensor, samples: RaySamples) -> Tensor:
    """(R,) distortion loss of each ray, in time linear in the samples.

    Parameters
    ----------
    weights : (S,) tensor
    samples : RaySamples
        Tensors, in the distance that the loss is to count in (normalised ranges in mip-NeRF 360).

    Raises
    ------
    ValueError
        If there is not one weight of each sample.
    """
    check_shape("weights", weights, len(samples))
    middles = samples.middles
    nearer = middles * _summed_before(weights, samples) - _summed_before(weights * middles, samples)
    return _per_ray(2.0 * weights * nearer + weights**2 * samples.lengths / 3.0, samples)


def check_shape(name: str, values: Tensor, *shape: int | None) -> None:
    """Refuse `values`, called `name`, of another `shape`; None stands for any length."""
    found = tuple(values.shape)
    if len(found) != len(shape) or any(n not in (None, m) for n, m in zip(shape, found)):
        expected = ", ".join("C" if n is None else str(n) for n in shape) + "," * (len(shape) == 1)
        raise ValueError(f"{name}: expected the shape ({expected}), one of each sample, got {found}")


def unit_vectors(vectors: Tensor) -> Tensor:
    """(..., 3) `vectors` made unit vectors; where they are 0 they stay so, and so does the gradient."""
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / torch.where(length > 0, length, 1.0) * (length > 0)


def _per_ray(values: Tensor, samples: RaySamples) -> Tensor:
    """(R, ...) sums over the samples (S, ...) of each ray."""
    rays = len(samples.offsets) - 1
    return values.new_zeros(rays, *values.shape[1:]).index_add(0, samples.ray_indices(), values)


def _summed_before(values: Tensor, samples: RaySamples) -> Tensor:
    """(S,) sum over the samples of the ray that are in front of each."""
    ray = samples.ray_indices()
    slot = torch.arange(len(ray), device=values.device) - samples.offsets[ray]
    longest = int(samples.counts.max()) if len(samples.offsets) > 1 else 0
    table = values.new_zeros(len(samples.offsets) - 1, longest + 1).index_put((ray, slot + 1), values)
    return table.cumsum(1)[ray, slot]


def _mean_place(x: Tensor) -> Tensor:
    """g(x): where in an interval of thickness x the light ends on average, 0 to 1/2 of its length."""
    thin = x < 0.5
    small = torch.where(thin, x, 0.0)
    large = torch.where(thin, 1.0, x)
    series = 0.5 - small / 12 + small**3 / 720 - small**5 / 30240
    return torch.where(thin, series, 1.0 / large - 1.0 / torch.expm1(large.clamp(max=60.0)))


def _median_range(thickness: Tensor, before: Tensor, samples: RaySamples) -> Tensor:
    """(R,) range at which the transmittance is 1/2; 0 where it stays above."""
    half = math.log(2.0)
    here = (before < half) & (before + thickness >= half)
    share = (half - before) / torch.where(here, thickness, 1.0)
    return _per_ray(torch.where(here, samples.starts + samples.lengths * share, 0.0), samples)
