"""The cube of a scene, and all space squeezed into the unit cube.

    box frame     x = (world - center) / side + 1/2                      the box is [0, 1]^3
    bounded       unit = x
    unbounded     q = 2 x - 1,  r = max(1, |q|_inf)
                  unit = 1/2 + (2 - 1 / r) (q / r) / 4                   the box is [1/4, 3/4]^3, infinity the surface

The second is the contraction of mip-NeRF 360 (Barron et al., CVPR 2022, equation 10) with the infinity norm, as
nerfacto has it: the image is the whole cube, so that no cell of a grid is wasted. It is linear inside the box and has
a continuous value; along an axis its derivative is continuous too.

`contract` works on plain numbers and is compiled into the kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geo3d.nerf.rays import Rays


def contract(x, y, z):
    """A point of the box frame in the unit cube: the unbounded case above.

    Parameters
    ----------
    x, y, z : float
    """
    qx, qy, qz = 2 * x - 1, 2 * y - 1, 2 * z - 1
    inverse = 1 / max(abs(qx), abs(qy), abs(qz), 1)
    factor = (2 - inverse) * inverse / 4
    return 0.5 + factor * qx, 0.5 + factor * qy, 0.5 + factor * qz


@dataclass(frozen=True)
class SceneBox:
    """The cube that a field covers.

    Attributes
    ----------
    center : tuple of 3 float
        World.
    side : float
        Length of an edge, world units.
    unbounded : bool
        Whether the field also covers all that is outside, contracted.

    Raises
    ------
    ValueError
        If the side is not positive, or a number is not finite.
    """

    center: tuple[float, float, float] = (0.5, 0.5, 0.5)
    side: float = 1.0
    unbounded: bool = False

    def __post_init__(self) -> None:
        if np.shape(self.center) != (3,) or not np.all(np.isfinite(self.center)):
            raise ValueError(f"center: expected three finite numbers, got {self.center!r}")
        if not 0 < self.side < np.inf:
            raise ValueError(f"side: expected a finite length above 0, got {self.side!r}")
        object.__setattr__(self, "center", tuple(float(c) for c in self.center))
        object.__setattr__(self, "side", float(self.side))

    def in_box_frame(self) -> SceneBox:
        """The same box for rays that `local_rays` has turned to its frame: [0, 1]^3."""
        return SceneBox(unbounded=self.unbounded)

    def local_rays(self, rays: Rays) -> Rays:
        """Rays in the frame of the box, all lengths in sides of the box: a density is then per side.

        Parameters
        ----------
        rays : Rays
            World frame.
        """
        return replace(
            rays,
            origins=self.local_points(rays.origins),
            near=rays.near / self.side,
            far=rays.far / self.side,
        )

    def local_points(self, points: Any) -> Any:
        """(..., 3) points of the world in the frame of the box, in which it is [0, 1]^3."""
        return (points - _like(points, self.center)) / self.side + 0.5

    def unit_positions(self, points: Any) -> Any:
        """(..., 3) points of the world in the unit cube; in a bounded box those outside leave the cube."""
        local = self.local_points(points)
        if not self.unbounded:
            return local
        q = 2 * local - 1
        inverse = 1 / _largest(abs(q)).clip(min=1)
        return 0.5 + (2 - inverse) * inverse * q / 4

    def world_points(self, unit_positions: Any) -> Any:
        """(..., 3) points of the world from the unit cube: the inverse of `unit_positions`."""
        local = unit_positions
        if self.unbounded:
            c = 4 * unit_positions - 2
            size = _largest(abs(c)).clip(min=1)  # 2 - 1 / r
            local = 0.5 + 0.5 * c / (size * (2 - size).clip(min=1e-6))
        return (local - 0.5) * self.side + _like(local, self.center)

    def world_gradients(self, points: np.ndarray, d_unit: np.ndarray) -> np.ndarray:
        """(S, 3) gradient by points of the world from that by their `unit_positions`; NumPy.

        Parameters
        ----------
        points, d_unit : (S, 3)
        """
        if not self.unbounded:
            return d_unit / self.side
        q = 2 * self.local_points(points) - 1
        size = abs(q)
        inverse = 1 / _largest(size).clip(min=1)
        d_points = 0.5 * (2 - inverse) * inverse * d_unit
        along = (inverse - 1) * inverse**2 * (d_unit * q).sum(-1, keepdims=True)
        most = size.argmax(-1)[..., None]
        there = np.take_along_axis(d_points, most, -1) + along * np.sign(np.take_along_axis(q, most, -1))
        np.put_along_axis(d_points, most, there, -1)
        return d_points / self.side

    def clip(self, rays: Rays) -> Rays:
        """The rays with near and far moved to where they enter and leave a bounded box; as they are if unbounded.

        Parameters
        ----------
        rays : Rays
            NumPy arrays or torch tensors. A ray that misses the box becomes empty.
        """
        if self.unbounded:
            return rays
        tiny = _like(rays.directions, (1e-12,))  # of the rays' own float type
        slopes = rays.directions / self.side
        slopes = slopes + tiny * (abs(slopes) < tiny)
        local = self.local_points(rays.origins)
        first, second = -local / slopes, (1 - local) / slopes
        gap, middle = 0.5 * abs(second - first), 0.5 * (first + second)
        enter, leave = _largest(middle - gap)[..., 0], -_largest(-middle - gap)[..., 0]
        return replace(rays, near=rays.near.clip(min=enter), far=rays.far.clip(max=leave))


def _like(array: Any, values: tuple[float, ...]) -> Any:
    """The values as an array or tensor of the kind of `array`."""
    if isinstance(array, np.ndarray):
        return np.asarray(values, array.dtype)
    return array.new_tensor(values)


def _largest(array: Any) -> Any:
    """(..., 1) largest along the last axis."""
    return array.max(-1, keepdims=True) if isinstance(array, np.ndarray) else array.amax(-1, keepdim=True)
