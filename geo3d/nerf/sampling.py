"""Where a ray is sampled: edges of intervals spread evenly, or as a histogram of weights asks for; PyTorch.

    s(t) = t                       spacing "range": even in the range
    s(t) = -scale / (t + scale)    spacing "disparity": what is far has few samples, and s keeps their digits

N intervals have N + 1 edges, the first and the last of which are the ray's ends: nothing of it is left out. Inner edges
are moved at random by up to half of their distance to the next (stratified sampling, Mildenhall et al., NeRF, ECCV
2020, equation 2, for edges as in mip-NeRF). Edges after a histogram are where its cumulative sum, linear in each
interval, takes evenly spaced values (section 5.2 there; Barron et al., mip-NeRF 360, CVPR 2022, section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geo3d.nerf.rays import Rays
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Generator, Tensor

torch: Any = require("torch")

SPACINGS = "range", "disparity"


def even_shares(rays: int, count: int, like: Tensor, rng: Generator | None = None) -> Tensor:
    """(R, count + 1) numbers from 0 to 1, ascending and evenly spaced; the inner ones jittered where `rng` is given.

    Parameters
    ----------
    rays, count : int
    like : tensor
        Of the type and the device that is wanted.
    rng : torch.Generator, optional
        Of the device.
    """
    share = torch.linspace(0.0, 1.0, count + 1, dtype=like.dtype, device=like.device).expand(rays, -1)
    if rng is None:
        return share
    noise = torch.rand(rays, count + 1, generator=rng, dtype=like.dtype, device=like.device) - 0.5
    noise[:, [0, -1]] = 0.0
    return share + noise / count


def spread_edges(
    rays: Rays, count: int, spacing: str = "range", scale: float = 1.0, rng: Generator | None = None
) -> Tensor:
    """(R, count + 1) edges from near to far.

    Parameters
    ----------
    rays : Rays
        R rays, tensors. All edges of an empty ray are at its near end.
    count : int
        Intervals.
    spacing : str
        "range" or "disparity".
    scale : float
        Of the disparity: half of the edges are nearer than this if the ray goes from 0 to very far.
    rng : torch.Generator, optional
        For jitter; none without it.

    Raises
    ------
    ValueError
        If there is no such spacing, or a ray has no end.
    """
    if not bool(torch.isfinite(rays.far).all()):
        raise ValueError(
            "rays: far is infinite; give the range at which to end, with 'disparity' it may be very far"
        )
    share = even_shares(len(rays), count, rays.near, rng)
    far = rays.far.maximum(rays.near)
    first, last = (to_spacing(end, spacing, scale)[:, None] for end in (rays.near, far))
    edges = from_spacing(first + share * (last - first), spacing, scale)
    edges = torch.cat([rays.near[:, None], edges[:, 1:-1], far[:, None]], 1)
    return edges.clip(min=rays.near[:, None], max=far[:, None])


def to_spacing(t: Tensor, spacing: str, scale: float = 1.0) -> Tensor:
    """s(t) of a `spacing`, of ranges `t` (...) and with the `scale` of the disparity."""
    if spacing not in SPACINGS:
        raise ValueError(f"spacing: expected one of {', '.join(SPACINGS)}, got {spacing!r}")
    return t if spacing == "range" else -scale / (t + scale)


def from_spacing(s: Tensor, spacing: str, scale: float = 1.0) -> Tensor:
    """The inverse of `to_spacing`: t of `s` (...) in a `spacing` with its `scale`."""
    if spacing not in SPACINGS:
        raise ValueError(f"spacing: expected one of {', '.join(SPACINGS)}, got {spacing!r}")
    return s if spacing == "range" else -scale / s - scale


def invert_histogram(edges: Tensor, weights: Tensor, shares: Tensor) -> Tensor:
    """Inverse of the cumulative distribution that is constant in each interval.

    Parameters
    ----------
    edges : (R, N + 1) tensor
        Ascending.
    weights : (R, N) tensor
        Not negative. A ray without any weight counts as evenly filled.
    shares : (R, M) tensor
        Numbers from 0 to 1.

    Returns
    -------
    (R, M) tensor
        Without gradient; ascending if the shares are.
    """
    with torch.no_grad():
        total = weights.sum(-1, keepdim=True)
        even = edges.diff(dim=-1) + torch.finfo(weights.dtype).tiny
        weights = torch.where(total > 0, weights, even)
        sums = torch.nn.functional.pad(weights.cumsum(-1), (1, 0))
        sums = sums / sums[:, -1:]
        upper = torch.searchsorted(sums.contiguous(), shares.contiguous(), right=True).clip(
            1, weights.shape[-1]
        )
        low, high = sums.gather(-1, upper - 1), sums.gather(-1, upper)
        part = ((shares - low) / torch.where(high > low, high - low, 1.0)).clip(0.0, 1.0)
        first, last = edges.gather(-1, upper - 1), edges.gather(-1, upper)
        return first + part * (last - first)


def resample_edges(
    edges: Tensor, weights: Tensor, count: int, padding: float = 0.01, rng: Generator | None = None
) -> Tensor:
    """(R, count + 1) edges that are dense where the weights are.

    Parameters
    ----------
    edges : (R, N + 1) tensor
        Finite, ascending; in the space in which intervals are to be even.
    weights : (R, N) tensor
    count : int
        New intervals.
    padding : float
        Share of a ray's new edges that goes evenly to all of it.
    rng : torch.Generator, optional
        For jitter; none without it.
    """
    shares = even_shares(len(edges), count, edges, rng)
    total = weights.sum(-1, keepdim=True)
    length = (edges[:, -1:] - edges[:, :1]).clip(min=torch.finfo(edges.dtype).tiny)
    even = edges.diff(dim=-1) / length
    filled = (1 - padding) * weights / torch.where(total > 0, total, 1.0) + padding * even
    found = invert_histogram(edges, filled, shares)
    return torch.cat([edges[:, :1], found[:, 1:-1], edges[:, -1:]], 1)
