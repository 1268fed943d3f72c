"""What a field gives for points of space, and how any callable becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from geo3d.nerf.rays import Rays
from geo3d.nerf.samples import RaySamples
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")


@dataclass(frozen=True)
class FieldOutput:
    """A field at S points.

    Attributes
    ----------
    density : (S,)
        Finite and not negative, per unit of length of the world.
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

    Raises
    ------
    ValueError
        If it gives something else than a density and a colour of each.
    """
    if hasattr(field, "along"):
        found = field.along(rays, samples)
    else:
        found = field(samples.positions(rays), samples.per_sample(rays.directions))
    if not (hasattr(found, "density") and hasattr(found, "color")):
        raise ValueError(f"field: expected a FieldOutput, got {_kind(found)}")
    _check("field: expected density", found.density, (len(samples),))
    _check("field: expected color", found.color, (len(samples), 3))
    return found


def evaluate_density(proposal: Any, rays: Rays, samples: RaySamples) -> Tensor:
    """(S,) density of a proposal in the intervals of rays.

    Parameters
    ----------
    proposal : callable
        Positions (S, 3) to densities (S,); or with a method `along(rays, samples)` that gives them.
    rays : Rays
    samples : RaySamples

    Raises
    ------
    ValueError
        If it gives something else than a density of each.
    """
    along = hasattr(proposal, "along")
    density = proposal.along(rays, samples) if along else proposal(samples.positions(rays))
    _check("proposal: expected densities", density, (len(samples),))
    return density


def _check(expected: str, found: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != shape:
        raise ValueError(
            f"{expected} of the shape {shape} in a tensor, from as many positions, got {_kind(found)}"
        )


def _kind(found: Any) -> str:
    return str(tuple(found.shape)) if isinstance(found, torch.Tensor) else f"a {type(found).__name__}"
