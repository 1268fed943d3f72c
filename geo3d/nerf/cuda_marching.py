"""The occupancy grid and the march through it on the GPU: what `geo3d.nerf.occupancy` is on the CPU.

The march is in float32, where the CPU's is in double precision: a ray that just touches a cell may have a sample more
or less. How many samples there are stays on the GPU: they go into memory for `capacity` of them, and rays whose
samples do not fit do not count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.cuda_field import CudaField, blocks_of
from geo3d.nerf.marching_kernels import FARTHEST
from geo3d.nerf.occupancy import MarchOptions
from geo3d.util.require import require

_CELLS_AT_ONCE = 1 << 19


@dataclass(frozen=True, eq=False)
class CudaSamples:
    """Samples along R rays; tensors on the GPU.

    Attributes
    ----------
    starts, ends : (capacity,) float32
        Range at which each begins and ends.
    positions : (capacity, 3) float32
        Of their middles, in the unit cube.
    rays : (capacity,) int32
        Whose they are.
    offsets : (R + 1,) int64
        Where those of each ray begin; the last may be beyond the capacity.
    count : (1,) int32
        Of all rays together.
    """

    starts: Any
    ends: Any
    positions: Any
    rays: Any
    offsets: Any
    count: Any


class CudaOccupancy:
    """Cells over the unit cube of a box, on the GPU.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher
    box : SceneBox
    resolution : int
        Cells along an edge, a multiple of 4.
    step : float
        Length of a step of a ray there, in the unit in which densities are given (per this unit).
    thickness : float
        A cell counts as empty if a step through it is thinner than this: density times `step`.

    Attributes
    ----------
    densities : (N^3,) float32 tensor
        -1 where never looked at; all that is to be kept.
    empty : (N, N, N) uint8 tensor
        Distance of each cell to the nearest occupied one, as of `marching_kernels.empty_distances`.
    """

    def __init__(
        self,
        launch: Any,
        box: SceneBox,
        resolution: int = 128,
        step: float = math.sqrt(3) / 1024,
        thickness: float = 0.01,
    ) -> None:
        torch = require("torch")
        self.launch, self.resolution, self.threshold = launch, resolution, thickness / step
        device = launch.device
        corners = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
        self._box = torch.tensor(
            [*box.center, box.side, box.unbounded, *corners], dtype=torch.float32, device=device
        )
        self.empty = torch.zeros(*[resolution] * 3, dtype=torch.uint8, device=device)
        self.densities = torch.full((resolution**3,), -1.0, dtype=torch.float32, device=device)
        self._steps: tuple[MarchOptions | None, Any] = (None, None)

    def restore(self, densities: Any) -> None:
        """Take the `densities` (N^3,) of a grid of this resolution, an array or a tensor."""
        self.densities.copy_(require("torch").as_tensor(densities))
        self._refresh()

    def update(self, field: CudaField, seed: int, cells: int | None = None, decay: float = 0.95) -> None:
        """Look at some cells: half of them drawn from all, half from those that are occupied.

        Parameters
        ----------
        field : CudaField
        seed : int
            Another one for every update.
        cells : int, optional
            How many; each one of the grid once if not given.
        decay : float
            Factor by which what a cell remembers fades.
        """
        total = self.resolution**3
        if cells is None:
            for first in range(0, total, _CELLS_AT_ONCE):
                self._look(field, seed, min(_CELLS_AT_ONCE, total - first), first, decay)
        else:
            self._look(field, seed, cells, -1, decay)
        self._refresh()

    def _look(self, field: CudaField, seed: int, count: int, first: int, decay: float) -> None:
        torch = require("torch")
        chosen = torch.empty(count, dtype=torch.int32, device=self.launch.device)
        positions = torch.empty(count, 3, dtype=torch.float32, device=self.launch.device)
        grid = blocks_of(count, 256)
        self.launch(
            "occupancy/draw_cells", grid, 256, count, self.resolution, first, seed, self.empty, chosen, positions
        )  # fmt: skip
        self.launch("occupancy/fade_cells", grid, 256, count, chosen, decay, self.densities)
        self.launch(
            "occupancy/remember_cells", grid, 256, count, chosen, field.density(positions), self.densities
        )

    def _refresh(self) -> None:
        """Which cells are occupied, from the densities, how far the others are from them, and the box around them."""
        torch = require("torch")
        n = self.resolution
        known = self.densities >= 0
        mean = torch.where(known, self.densities, 0.0).sum() / known.sum().clamp(min=1)
        occupied = ((self.densities > mean.clamp(max=self.threshold)) | ~known).view(n, n, n)
        grown = occupied[None, None].to(torch.float32)
        near = grown.clone()  # how many of the cubes of 1, 3, 5, ... cells around a cell hold an occupied one
        for _ in range(1, FARTHEST):
            grown = torch.nn.functional.max_pool3d(grown, 3, 1, 1)
            near += grown
        self.empty.copy_(FARTHEST - near[0, 0])
        lines = torch.stack([occupied.amax(axes) for axes in ((1, 2), (0, 2), (0, 1))]).int()
        first, behind = lines.argmax(1), n - lines.flip(1).argmax(1)
        some = lines.amax()
        self._box[5:8] = some * first / n
        self._box[8:11] = some * behind / n

    def march(
        self, rays: Any, options: MarchOptions, capacity: int | None, jitter: Any = None
    ) -> CudaSamples:
        """Samples of the rays in occupied cells.

        Parameters
        ----------
        rays : Rays
            Contiguous float32 tensors, in the frame of the box.
        options : MarchOptions
            Lengths in the unit of the rays.
        capacity : int or None
            How many samples there is memory for; None for as many as there are, which waits for the GPU.
        jitter : (R,) float32 tensor, optional
            Phase of each ray's steps, 0 to below 1; 0.5 of all if not given.
        """
        torch = require("torch")
        count, device = len(rays), self.launch.device
        if self._steps[0] != options:
            lengths = [options.cone_angle, options.smallest_step, options.largest_step]
            self._steps = options, torch.tensor(lengths, dtype=torch.float32, device=device)
        given = (
            count, rays.origins, rays.directions, rays.near, rays.far, jitter, self._box, self._steps[1],
            self.resolution, self.empty,
        )  # fmt: skip
        counts = torch.empty(count, dtype=torch.int32, device=device)
        begins = torch.empty(count, dtype=torch.float32, device=device)
        self.launch(
            "marching/count_samples", blocks_of(count, 128), 128, *given, options.max_samples, counts, begins
        )
        offsets = torch.zeros(count + 1, dtype=torch.int64, device=device)
        torch.cumsum(counts, 0, dtype=torch.int64, out=offsets[1:])
        if capacity is None:
            capacity = int(offsets[-1])
        starts, ends = torch.empty(2, capacity, dtype=torch.float32, device=device)
        positions = torch.empty(capacity, 3, dtype=torch.float32, device=device)
        owners = torch.empty(capacity, dtype=torch.int32, device=device)
        self.launch(
            "marching/write_samples", blocks_of(count, 128), 128, *given, offsets, begins, capacity, starts, ends,
            positions, owners,
        )  # fmt: skip
        return CudaSamples(starts, ends, positions, owners, offsets, offsets[-1:].int())
