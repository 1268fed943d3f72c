"""Where there is something: a grid over the unit cube that remembers the densities a field had in its cells.

    d <- max(decay d, density at a random place of the cell)          of the cells that are looked at
    occupied  if  d > min(mean of d, thickness / step)  or the cell was never looked at

After Mueller et al., Instant-NGP, SIGGRAPH 2022, section "Occupancy grids", and nerfacc (Li et al., ICCV 2023): only
cells that are looked at decay.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.marching_kernels import count_samples, empty_distances, write_samples
from geo3d.nerf.rays import Rays
from geo3d.nerf.samples import RaySamples
from geo3d.util.buffers import Buffers

Density = Callable[[np.ndarray], np.ndarray]  # unit positions (S, 3) to densities (S,)
_AT_ONCE = 1 << 17


@dataclass(frozen=True)
class MarchOptions:
    """Length of the steps of a march. Lengths are in sides of the box.

    Attributes
    ----------
    smallest_step, largest_step : float
        Bounds of the length of a step.
    cone_angle : float
        Length of a step divided by its range, between the bounds.
    max_samples : int
        Samples that a ray may have.

    Raises
    ------
    ValueError
        If a value is outside of its range.
    """

    smallest_step: float = math.sqrt(3) / 1024
    largest_step: float = math.inf
    cone_angle: float = 0.0
    max_samples: int = 1024

    def __post_init__(self) -> None:
        if not 0 < self.smallest_step <= self.largest_step:
            found = f"{self.smallest_step!r} and {self.largest_step!r}"
            raise ValueError(f"smallest_step and largest_step: expected 0 < smallest <= largest, got {found}")
        if not 0 <= self.cone_angle < 1:
            raise ValueError(f"cone_angle: expected a number from 0 to below 1, got {self.cone_angle!r}")
        if self.max_samples < 1:
            raise ValueError(f"max_samples: expected at least 1, got {self.max_samples!r}")


@dataclass(frozen=True)
class MarchedRays:
    """What the rays passed that is not empty.

    Attributes
    ----------
    samples : RaySamples
        NumPy, world units; S intervals.
    positions : (S, 3) float32
        Middles of the intervals in the unit cube.
    directions : (S, 3) float32
        Of the ray of each sample.
    rays : (S,) int32
        Which ray it is.
    stopped : (R,) float32
        Range at which a ray had its last sample allowed; inf if it came to its end. A march with this as `near` and
        the jitter 0.5 goes on there.
    """

    samples: RaySamples
    positions: np.ndarray
    directions: np.ndarray
    rays: np.ndarray
    stopped: np.ndarray


class OccupancyGrid:
    """Cells over the unit cube of a box, on the CPU.

    Parameters
    ----------
    box : SceneBox
        Which part of the world it is.
    resolution : int
        Cells along an edge; a multiple of 4, so that the cells of an unbounded box do not straddle its faces.
    step : float
        Length of a step of a ray there, in the unit in which densities are given (per this unit).
    thickness : float
        A cell counts as empty if a step through it is thinner than this: density times `step`.

    Raises
    ------
    ValueError
        If `resolution` is not a multiple of 4, or `step` or `thickness` not above 0.
    """

    def __init__(
        self, box: SceneBox, resolution: int = 128, step: float = math.sqrt(3) / 1024, thickness: float = 0.01
    ) -> None:
        if resolution < 4 or resolution % 4:
            raise ValueError(f"resolution: expected a multiple of 4, got {resolution!r}")
        if not (step > 0 and thickness > 0):
            raise ValueError(f"step, thickness: expected numbers above 0, got {step!r} and {thickness!r}")
        self.box = box
        self.resolution = resolution
        self.threshold = thickness / step
        self._buffers = Buffers()
        self.restore(np.full(resolution**3, -1.0, np.float32))

    @property
    def densities(self) -> np.ndarray:
        """(N^3,) float32, cell (i, j, k) of x, y, z at (i N + j) N + k; -1 if never looked at."""
        return self._densities

    @property
    def occupied(self) -> np.ndarray:
        """(N, N, N) bool, where something may be."""
        return self._empty == 0

    @property
    def share(self) -> float:
        """Share of the cells that are occupied."""
        return 1.0 - np.count_nonzero(self._empty) / self._empty.size

    def restore(self, densities: np.ndarray) -> None:
        """Take the `densities` of a grid of this resolution.

        Parameters
        ----------
        densities : (N^3,) float32

        Raises
        ------
        ValueError
            If they are of another size.
        """
        count = self.resolution**3
        if densities.shape != (count,):
            raise ValueError(f"densities: expected the shape ({count},), got {densities.shape}")
        self._densities = np.array(densities, np.float32)
        self._refresh()

    def update(
        self, density: Density, rng: np.random.Generator, cells: int | None = None, decay: float = 0.95
    ) -> None:
        """Look at some cells: half of them drawn from all, half from those that are occupied.

        Parameters
        ----------
        density : callable
            (S, 3) float32 positions in the unit cube to (S,) densities.
        rng : Generator
        cells : int, optional
            How many; each one of the grid once if not given.
        decay : float
            Factor by which what a cell remembers fades.

        Raises
        ------
        ValueError
            If `density` gives another number of densities.
        """
        if cells is None:
            chosen = np.arange(self.resolution**3)
        else:
            occupied = np.flatnonzero(self._empty.ravel() == 0)
            anywhere = rng.integers(
                self.resolution**3, size=cells if len(occupied) == 0 else cells - cells // 2
            )
            again = occupied[rng.integers(len(occupied), size=cells // 2)] if len(occupied) else occupied
            chosen = np.concatenate([anywhere, again])
        faded = np.maximum(self._densities[chosen] * np.float32(decay), 0.0)
        self._densities[chosen] = faded
        for start in range(0, len(chosen), _AT_ONCE):
            part = chosen[start : start + _AT_ONCE]
            found = np.asarray(density(self._places(part, rng)), np.float32)
            if found.shape != part.shape:
                raise ValueError(
                    f"density: expected the shape {part.shape} for as many positions, got {found.shape}"
                )
            np.maximum.at(self._densities, part, found)
        self._refresh()

    def march(
        self, rays: Rays, options: MarchOptions | None = None, jitter: np.ndarray | None = None
    ) -> MarchedRays:
        """Samples of the rays in occupied cells.

        Parameters
        ----------
        rays : Rays
            R rays, NumPy, in the world frame of the box.
        options : MarchOptions, optional
        jitter : (R,) float32, optional
            Phase of each ray's steps, 0 to below 1; 0.5 of all if not given.

        Returns
        -------
        MarchedRays
            In memory that the next call uses again.

        Raises
        ------
        ValueError
            If there is not one `jitter` of each ray.
        """
        options = options or MarchOptions()
        count = len(rays)
        buffers = self._buffers
        if jitter is None:
            jitter = np.full(count, 0.5, np.float32)
        if jitter.shape != (count,):
            raise ValueError(f"jitter: expected the shape ({count},), one of each ray, got {jitter.shape}")
        counts, begins, stopped = buffers.rows(
            count, ("counts", np.int64), ("begins", np.float64), ("stopped", np.float32)
        )
        box = np.array([*self.box.center, self.box.side, self.box.unbounded, *self._corners], np.float64)
        side = self.box.side
        lengths = options.cone_angle, side * options.smallest_step, side * options.largest_step
        arrays = tuple(
            np.ascontiguousarray(a, np.float32) for a in (rays.origins, rays.directions, rays.near, rays.far)
        )
        same = arrays, box, lengths, self._empty, np.ascontiguousarray(jitter, np.float32)
        count_samples(*same, options.max_samples, counts, begins, stopped)
        offsets = buffers.array("offsets", (count + 1,), np.int64)
        offsets[0] = 0
        np.cumsum(counts, out=offsets[1:])
        starts, ends, positions, directions, of_rays = buffers.rows(
            int(offsets[-1]), ("starts",), ("ends",), ("positions", 3), ("directions", 3), ("rays", np.int32)
        )
        write_samples(*same, offsets, begins, (starts, ends, positions, directions, of_rays))
        return MarchedRays(RaySamples(starts, ends, offsets), positions, directions, of_rays, stopped)

    def _places(self, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(S, 3) a random position of the unit cube in each cell."""
        n = self.resolution
        corner = np.stack([cells // (n * n), cells // n % n, cells % n], 1).astype(np.float32)
        return (corner + rng.random((len(cells), 3), np.float32)) / np.float32(n)

    def _refresh(self) -> None:
        """Which cells are occupied, from the densities, and how far the others are from them."""
        known = self._densities >= 0
        mean = float(self._densities[known].mean(dtype=np.float64)) if known.any() else 0.0
        occupied = ~known | (self._densities > min(mean, self.threshold))
        cube = occupied.reshape((self.resolution,) * 3)
        self._empty = empty_distances(cube)
        lines = [np.flatnonzero(cube.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        ends = [(line[0], line[-1] + 1) if len(line) else (0, 0) for line in lines]
        self._corners = np.array(ends).T.ravel() / self.resolution
