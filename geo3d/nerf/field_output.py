"""What a field gives for points of space, and how any callable becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from geo3d.nerf.rays import Rays
from geo3d.nerf.samples import RaySamples

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FieldOutput:
    """A field at S points.

    Attributes
    ----------
    density : (S,)
        Not negative, per unit of length of the world.
    color : (S, 3)
        RGB, sRGB-encoded.
    """

    density: Any
    color: Any


class Field(Protocol):
    """Any callable of this form is a field.

    One that wants more than the middles of the intervals, as the cones of the rays or the photos that they are from,
    has a method `along(rays, samples)` too, which is then called in its place.
    """

    def __call__(self, positions: Any, directions: Any) -> FieldOutput:
        """Density and colour.

        Parameters
        ----------
        positions, directions : (S, 3) tensor
            World frame; directions of the rays, of length 1.
        """
        ...


def evaluate(field: Any, rays: Rays, samples: RaySamples) -> FieldOutput:
    """A field in the intervals of rays.

    Parameters
    ----------
    field : Field
    rays : Rays
    samples : RaySamples
    """
    if hasattr(field, "along"):
        return field.along(rays, samples)
    return field(samples.positions(rays), samples.per_sample(rays.directions))


def evaluate_density(proposal: Any, rays: Rays, samples: RaySamples) -> Tensor:
    """(S,) density of a proposal in the intervals of rays.

    Parameters
    ----------
    proposal : callable
        Positions (S, 3) to densities (S,); or with a method `along(rays, samples)` that gives them.
    rays : Rays
    samples : RaySamples
    """
    if hasattr(proposal, "along"):
        return proposal.along(rays, samples)
    return proposal(samples.positions(rays))
