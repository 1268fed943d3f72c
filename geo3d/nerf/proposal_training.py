"""The proposal loss: weights that say where a ray is to be sampled must cover those of the field.

Weights w_i on intervals T_i along a ray are a histogram of where its colour comes from. Proposed weights v_j on other
intervals U_j are consistent with it if no w_i is above the sum of the v_j whose intervals meet T_i, the outer measure:

    bound_i = sum_{j : T_i meets U_j} v_j
    loss    = sum_i max(0, w_i - bound_i)^2 / w_i

Barron et al., mip-NeRF 360, CVPR 2022, equations 12 and 13. It is 0 where the proposal bounds the weights, and pushes
only upwards, as where the field has no weight it may still be found one. Intervals meet where they share a length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geo3d.nerf.samples import RaySamples
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

    from geo3d.nerf.rendering import RenderedRays

torch: Any = require("torch")


def proposal_loss(rendered: RenderedRays) -> Tensor:
    """() what the proposals of `rendered` rays are to be trained by, summed over them, to follow the field.

    Raises
    ------
    ValueError
        If the rays were not sampled by proposals, or coarse and fine.
    """
    if not rendered.stages:
        raise ValueError("rendered: expected rays sampled by proposals, or coarse and fine; these were not")
    rays = len(rendered.color)
    if rays == 0:
        raise ValueError("rendered: expected one ray or more, got none")
    edges, weights = _edges(rendered.samples, rays), rendered.weights.view(rays, -1)
    losses = [
        histogram_loss(edges, weights, _edges(stage.samples, rays), stage.weights.view(rays, -1))
        for stage in rendered.stages
    ]
    return torch.stack(losses).sum()


def histogram_loss(
    edges: Tensor, weights: Tensor, proposed_edges: Tensor, proposed_weights: Tensor
) -> Tensor:
    """Mean over the rays of what the weights of a field are above the bound of a proposal.

    Parameters
    ----------
    edges : (R, N + 1) tensor
        Ranges where the intervals of the field meet, ascending.
    weights : (R, N) tensor
        Of the field. They are what is to be covered: no gradient goes to them.
    proposed_edges : (R, M + 1) tensor
    proposed_weights : (R, M) tensor
        The gradient goes here.

    Returns
    -------
    () tensor
    """
    bound = outer_measure(edges.detach(), proposed_edges.detach(), proposed_weights)
    weights = weights.detach()
    above = torch.relu(weights - bound)
    return (above.square() / (weights + torch.finfo(weights.dtype).eps)).sum(-1).mean()


def outer_measure(edges: Tensor, proposed_edges: Tensor, proposed_weights: Tensor) -> Tensor:
    """The most weight that proposals allow in each interval.

    Parameters
    ----------
    edges : (R, N + 1) tensor
        Ranges where the intervals meet, ascending.
    proposed_edges : (R, M + 1) tensor
    proposed_weights : (R, M) tensor

    Returns
    -------
    (R, N) tensor
    """
    sums = torch.nn.functional.pad(proposed_weights.cumsum(-1), (1, 0))
    starts, ends, proposed_edges = (e.contiguous() for e in (edges[..., :-1], edges[..., 1:], proposed_edges))
    last = proposed_weights.shape[-1]
    first = (torch.searchsorted(proposed_edges, starts, right=True) - 1).clamp(0, last)
    after = torch.searchsorted(proposed_edges, ends).clamp(0, last)
    return sums.gather(-1, torch.maximum(after, first)) - sums.gather(-1, first)


def _edges(samples: RaySamples, rays: int) -> Tensor:
    """(R, N + 1) of samples that are equally many on each ray and leave no gap."""
    return torch.cat([samples.starts.view(rays, -1), samples.ends.view(rays, -1)[:, -1:]], 1)
