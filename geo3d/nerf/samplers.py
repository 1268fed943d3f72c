"""Ways to sample rays, one of which `RenderOptions` names: evenly, coarse and fine, by proposals, in occupied cells.

Each is a frozen dataclass whose `sample` gives the intervals at which the field is to be evaluated, and the `Stage`s
that led there: their weights are what a coarse field or a proposal network is trained by. No gradient goes through the
places of samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from geo3d.nerf.field_output import evaluate, evaluate_density
from geo3d.nerf.occupancy import MarchOptions, OccupancyGrid
from geo3d.nerf.rays import Rays
from geo3d.nerf.samples import RaySamples
from geo3d.nerf.sampling import SPACINGS, from_spacing, resample_edges, spread_edges, to_spacing
from geo3d.nerf.volume_rendering import RayRendering, composite, ray_weights
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Generator, Tensor

torch: Any = require("torch")


@dataclass(frozen=True)
class Stage:
    """What a field was asked to find the places of the samples after it.

    Attributes
    ----------
    samples : RaySamples
    weights : (S,) tensor
        Of the samples, with gradient.
    rendering : RayRendering or None
        Where the stage has colours.
    """

    samples: RaySamples
    weights: Tensor
    rendering: RayRendering | None = None


@dataclass(frozen=True)
class Spacing:
    """In what intervals are even.

    Attributes
    ----------
    kind : str
        "range", or "disparity": in 1 / (range + scale).
    scale : float
        World units.

    Raises
    ------
    ValueError
        If there is no such kind, or the scale is not positive.
    """

    kind: str = "range"
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in SPACINGS:
            raise ValueError(f"kind: expected one of {', '.join(SPACINGS)}, got {self.kind!r}")
        if not self.scale > 0:
            raise ValueError(f"scale: expected a length above 0, got {self.scale!r}")


@dataclass(frozen=True)
class EvenSampling:
    """The same number of intervals on every ray, evenly spaced.

    Attributes
    ----------
    count : int
        Intervals a ray.
    spacing : Spacing
    """

    count: int = 64
    spacing: Spacing = Spacing()

    def __post_init__(self) -> None:
        _check_counts(count=self.count)

    def sample(
        self, field: Any, rays: Rays, background: Any = None, rng: Generator | None = None
    ) -> tuple[RaySamples, tuple[Stage, ...]]:
        """The intervals, and no stage.

        Parameters
        ----------
        field : Field
            Not asked.
        rays : Rays
            Tensors, with finite far ends.
        background : tensor, optional
            Not used.
        rng : torch.Generator, optional
            For jitter; none without it.
        """
        edges = spread_edges(rays, self.count, self.spacing.kind, self.spacing.scale, rng)
        return RaySamples.dense(edges[:, :-1], edges[:, 1:]), ()


@dataclass(frozen=True)
class HierarchicalSampling:
    """Coarse and fine: intervals cut again where a first rendering has its weights (NeRF, section 5.2).

    The field is evaluated in the union of all edges: `coarse` + `fine` intervals a ray.

    Attributes
    ----------
    coarse, fine : int
        Intervals a ray of the first rendering, and those added to them.
    coarse_field : Field or None
        What is rendered first; the field itself if None.
    spacing : Spacing
    """

    coarse: int = 64
    fine: int = 128
    coarse_field: Any = None
    spacing: Spacing = Spacing()

    def __post_init__(self) -> None:
        _check_counts(coarse=self.coarse, fine=self.fine)

    def sample(
        self, field: Any, rays: Rays, background: Any = None, rng: Generator | None = None
    ) -> tuple[RaySamples, tuple[Stage, ...]]:
        """The intervals of both, and the coarse rendering as a stage.

        Parameters
        ----------
        field : Field
        rays : Rays
            Tensors, with finite far ends.
        background : (3,) or (R, 3) tensor, optional
            Behind the coarse rendering.
        rng : torch.Generator, optional
            For jitter; none without it.
        """
        kind, scale = self.spacing.kind, self.spacing.scale
        edges = spread_edges(rays, self.coarse, kind, scale, rng)
        samples = RaySamples.dense(edges[:, :-1], edges[:, 1:])
        found = evaluate(field if self.coarse_field is None else self.coarse_field, rays, samples)
        first = composite(found.density, found.color, samples, background)
        weights = first.weights.detach().view(len(rays), self.coarse)
        inner = resample_edges(to_spacing(edges, kind, scale), weights, self.fine + 1, rng=rng)[:, 1:-1]
        inner = from_spacing(inner, kind, scale).clip(min=edges[:, :1], max=edges[:, -1:])
        both = torch.cat([edges, inner], 1).sort(-1).values
        return RaySamples.dense(both[:, :-1], both[:, 1:]), (Stage(samples, first.weights, first),)


@dataclass(frozen=True)
class ProposalSampling:
    """Each proposal says where the next one, and at last the field, is to be asked (mip-NeRF 360, section 3).

    Attributes
    ----------
    proposals : tuple of callables
        See `geo3d.nerf.field_output.evaluate_density`.
    counts : tuple of int
        Intervals a ray of each proposal.
    count : int
        Intervals a ray of the field.
    padding : float
        Share of the intervals that goes evenly to all of a ray, whatever a proposal says.
    spacing : Spacing
    """

    proposals: tuple[Any, ...]
    counts: tuple[int, ...]
    count: int = 32
    padding: float = 0.05
    spacing: Spacing = Spacing("disparity")

    def __post_init__(self) -> None:
        if len(self.proposals) != len(self.counts) or not self.proposals:
            found = f"{len(self.proposals)} proposals and {len(self.counts)} counts"
            raise ValueError(f"proposals and counts: expected one count for each proposal, got {found}")
        _check_counts(count=self.count, counts=min(self.counts))
        if not 0 <= self.padding <= 1:
            raise ValueError(f"padding: expected a share from 0 to 1, got {self.padding!r}")

    def sample(
        self, field: Any, rays: Rays, background: Any = None, rng: Generator | None = None
    ) -> tuple[RaySamples, tuple[Stage, ...]]:
        """The intervals of the field, and the proposals as stages.

        Parameters
        ----------
        field : Field
            Not asked.
        rays : Rays
            Tensors, with finite far ends.
        background : tensor, optional
            Not used.
        rng : torch.Generator, optional
            For jitter; none without it.
        """
        kind, scale = self.spacing.kind, self.spacing.scale
        edges = spread_edges(rays, self.counts[0], kind, scale, rng)
        stages = []
        for proposal, count, following in zip(self.proposals, self.counts, (*self.counts[1:], self.count)):
            samples = RaySamples.dense(edges[:, :-1], edges[:, 1:])
            weights = ray_weights(evaluate_density(proposal, rays, samples), samples)
            stages.append(Stage(samples, weights))
            shares = weights.detach().view(len(rays), count)
            spaced = resample_edges(to_spacing(edges, kind, scale), shares, following, self.padding, rng)
            ends = edges[:, :1], from_spacing(spaced[:, 1:-1], kind, scale), edges[:, -1:]
            edges = torch.cat(ends, 1).clip(min=edges[:, :1], max=edges[:, -1:])
        return RaySamples.dense(edges[:, :-1], edges[:, 1:]), tuple(stages)


@dataclass(frozen=True)
class OccupancySampling:
    """Steps through the cells that an occupancy grid calls occupied.

    Attributes
    ----------
    grid : OccupancyGrid
    march : MarchOptions
    """

    grid: OccupancyGrid
    march: MarchOptions = field(default_factory=MarchOptions)

    def sample(
        self, field: Any, rays: Rays, background: Any = None, rng: Generator | None = None
    ) -> tuple[RaySamples, tuple[Stage, ...]]:
        """The intervals, and no stage.

        Parameters
        ----------
        field : Field
            Not asked.
        rays : Rays
            Tensors, in the world frame of the grid's box.
        background : tensor, optional
            Not used.
        rng : torch.Generator, optional
            For jitter; none without it.
        """
        like = rays.near
        jitter = None
        if rng is not None:
            jitter = torch.rand(len(rays), generator=rng, dtype=like.dtype, device=like.device).cpu().numpy()
        parts = (rays.origins, rays.directions, rays.near, rays.far, rays.radii, rays.rows)
        on_cpu = Rays(*(part.detach().cpu().numpy() for part in parts))
        found = self.grid.march(on_cpu, self.march, jitter).samples
        starts, ends = (
            torch.tensor(a, dtype=like.dtype, device=like.device) for a in (found.starts, found.ends)
        )
        offsets = torch.tensor(np.asarray(found.offsets), device=like.device)
        return RaySamples(starts, ends, offsets), ()


Sampling = EvenSampling | HierarchicalSampling | ProposalSampling | OccupancySampling


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: expected at least 1 interval a ray, got {count!r}")
