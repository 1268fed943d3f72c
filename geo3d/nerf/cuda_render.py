"""Views of a field on the GPU: what `geo3d.nerf.model.FieldRenderer` is on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.cuda_field import CudaField
from geo3d.nerf.cuda_marching import CudaOccupancy, CudaSamples
from geo3d.nerf.cuda_poses import in_box
from geo3d.nerf.cuda_volume import CudaRendering, composite
from geo3d.nerf.model import FieldView, NerfModel
from geo3d.nerf.occupancy import MarchOptions
from geo3d.nerf.rays import Rays, pixel_centers
from geo3d.util.require import require

_RAYS_AT_ONCE, _LEAST_RAYS = 1 << 15, 1 << 10
_FARTHEST = 1e30  # a range that float32 can do sums with


class CudaRenderer:
    """Renders a field on the GPU.

    Parameters
    ----------
    field : CudaField
    grid : CudaOccupancy
        In the frame of the box.
    box : SceneBox
        In the world.
    march : MarchOptions
    """

    def __init__(self, field: CudaField, grid: CudaOccupancy, box: SceneBox, march: MarchOptions) -> None:
        self.field, self.grid, self.box, self.march = field, grid, box, march
        self._lens: tuple[Camera | None, Any] = (None, None)
        self._at_once = _RAYS_AT_ONCE

    def view(
        self,
        camera: Camera,
        cam_from_world: SE3,
        background: np.ndarray,
        *,
        near: float,
        far: float,
        normals: bool = False,
    ) -> FieldView:
        """Render a view.

        Parameters
        ----------
        camera : Camera
            Any lens.
        cam_from_world : SE3
        background : (3,) float32
        near, far : float
            World units.
        normals : bool

        Notes
        -----
        Fewer rays at once are tried where the memory of the GPU is not enough.
        """
        torch = require("torch")
        while True:
            try:
                return self._view(camera, cam_from_world, background, near, min(far, _FARTHEST), normals)
            except torch.cuda.OutOfMemoryError:
                if self._at_once <= _LEAST_RAYS:
                    raise
                self._at_once //= 2
                self.field.forget()

    def _view(
        self,
        camera: Camera,
        cam_from_world: SE3,
        background: np.ndarray,
        near: float,
        far: float,
        normals: bool,
    ) -> FieldView:
        torch = require("torch")
        device, side = self.field.launch.device, self.box.side
        bearings = self._bearings(camera)
        count = len(bearings)
        tensor = lambda array: torch.tensor(np.asarray(array, np.float32), device=device)  # noqa: E731
        rotation = tensor(cam_from_world.rotation)
        center = tensor(self.box.local_points(np.asarray(cam_from_world.center(), np.float64)))
        behind = tensor(background).expand(self._at_once, 3).contiguous()
        parts, normal_parts = [], []
        for first in range(0, count, self._at_once):
            part = bearings[first : first + self._at_once]
            rays = self._rays(part, rotation, center, near / side, far / side)
            samples, density, rendered = self._render(rays, behind)
            parts.append(rendered)
            if normals:
                normal_parts.append(self._normals(samples, density, len(rays)) @ rotation.T)
        size = (camera.height, camera.width)
        joined = lambda name: torch.cat([getattr(p, name) for p in parts])  # noqa: E731
        along = side * torch.nan_to_num(bearings[:, 2])
        maps = [joined("alpha"), joined("range") * along, joined("median_range") * along]
        alpha, depth, median = (m.reshape(size).cpu().numpy() for m in maps)
        normal = torch.cat(normal_parts).reshape(*size, 3).cpu().numpy() if normals else None
        return FieldView(joined("color").reshape(*size, 3).cpu().numpy(), alpha, depth, median, normal)

    def _bearings(self, camera: Camera) -> Any:
        """(P, 3) of all pixels, NaN where there is none; of the last camera they are kept."""
        if self._lens[0] != camera:
            found = np.asarray(camera.unproject(pixel_centers(camera)), np.float32)
            self._lens = camera, require("torch").from_numpy(found).to(self.field.launch.device)
        return self._lens[1]

    @staticmethod
    def _rays(bearings: Any, rotation: Any, center: Any, near: float, far: float) -> Rays:
        """In the frame of the box; those that are none are empty."""
        torch = require("torch")
        seen = ~bearings[:, 0].isnan()
        directions = torch.nan_to_num(bearings) @ rotation
        nears = torch.full_like(bearings[:, 0], near)
        return Rays(
            center.expand(len(bearings), 3).contiguous(),
            directions,
            nears,
            torch.where(seen, far, nears),
            torch.zeros_like(nears),
            torch.full_like(nears, -1, dtype=torch.int32),
        )

    def _render(self, rays: Rays, background: Any) -> tuple[CudaSamples, Any, CudaRendering]:
        samples = self.grid.march(rays, self.march, None)
        density, color = self.field.forward(samples.positions, rays.directions, samples.rays, samples.count)
        rendered = composite(self.field.launch, samples, density, color, background[: len(rays)].contiguous())
        return samples, density, rendered

    def _normals(self, samples: CudaSamples, density: Any, rays: int) -> Any:
        """(R, 3) mean of the samples' normals, world frame, unit length or 0. Of the last samples of the field."""
        torch = require("torch")
        gradient = self.field.density_slopes()
        unit = torch.nn.functional.normalize(-in_box(self.box, samples.positions, gradient), dim=1)
        nothing = torch.zeros(rays, 3, dtype=torch.float32, device=unit.device)
        mean = composite(self.field.launch, samples, density, unit.contiguous(), nothing).color
        return torch.nn.functional.normalize(mean, dim=1)


def cuda_renderer_of(model: NerfModel, launch: Any = None) -> CudaRenderer:
    """What renders a model on the GPU.

    Parameters
    ----------
    model : NerfModel
    launch : geo3d.gpu.Launcher, optional
        By default the kernels on the current GPU.

    Raises
    ------
    ValueError
        If the kernels are not made for the field's networks.
    RuntimeError
        If there is no usable GPU; says why and what to do.
    """
    field = CudaField(model.shape, model.parameters, launch)
    resolution = round(len(model.occupancy) ** (1 / 3))
    frame = model.box.in_box_frame()
    grid = CudaOccupancy(field.launch, frame, resolution, model.march.smallest_step, model.thickness)
    grid.restore(model.occupancy)
    return CudaRenderer(field, grid, model.box, model.march)
