"""A trained field: what it takes to render it, its file, and views of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.gpu.backend import chosen_backend
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.cpu_field import CpuField
from geo3d.nerf.field_parameters import FieldParameters, FieldShape, check_parameters
from geo3d.nerf.light_kernels import keep_lit, lit_counts
from geo3d.nerf.model_file import read_tensors, write_tensors
from geo3d.nerf.occupancy import MarchedRays, MarchOptions, OccupancyGrid
from geo3d.nerf.rays import camera_rays, depth_factors
from geo3d.nerf.samples import RaySamples
from geo3d.nerf.training_options import TrainingBackend
from geo3d.nerf.volume_kernels import composite_forward, ranges
from geo3d.util.buffers import Buffers

KIND = "nerf"
_RAYS_AT_ONCE = 1 << 13
_LEAST_LIGHT = 1e-3  # of a picture: a quarter of what a byte can show


@dataclass(frozen=True, eq=False)
class NerfModel:
    """A field and where it is.

    Attributes
    ----------
    shape : FieldShape
    parameters : dict of str to array
        As of `geo3d.nerf.field_parameters.parameter_shapes`.
    box : SceneBox
        In the world.
    near, far : float
        Range at which rays of a new view begin and end, world units.
    march : MarchOptions
    occupancy : (N^3,) float32
        Densities that the occupancy grid remembers, per side of the box.
    thickness : float
        As of the occupancy grid: a cell that a smallest step goes through with less opacity is empty.
    """

    shape: FieldShape
    parameters: FieldParameters
    box: SceneBox
    near: float
    far: float
    march: MarchOptions
    occupancy: np.ndarray
    thickness: float

    def grid(self) -> OccupancyGrid:
        """The occupancy grid, in the frame of the box."""
        resolution = round(len(self.occupancy) ** (1 / 3))
        grid = OccupancyGrid(self.box.in_box_frame(), resolution, self.march.smallest_step, self.thickness)
        grid.restore(self.occupancy)
        return grid


@dataclass(frozen=True, eq=False)
class FieldView:
    """A rendered view of H rows and W columns, NumPy float32; `geo3d.render.RenderedView`.

    Attributes
    ----------
    color : (H, W, 3)
        RGB over the background.
    alpha : (H, W)
        How much of the background is covered.
    depth, median_depth : (H, W)
        z, mean and where half of the light is gone; 0 where nothing is seen.
    normals : (H, W, 3) or None
        Against the gradient of the density, unit vectors in the frame of the camera.
    """

    color: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray
    median_depth: np.ndarray
    normals: np.ndarray | None = None


class FieldRenderer:
    """Renders a field on the CPU.

    Parameters
    ----------
    field : CpuField
    grid : OccupancyGrid
        In the frame of the box.
    box : SceneBox
        In the world.
    march : MarchOptions
    """

    def __init__(self, field: CpuField, grid: OccupancyGrid, box: SceneBox, march: MarchOptions) -> None:
        self.field, self.grid, self.box, self.march = field, grid, box, march
        self._buffers = Buffers()

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
            They take about as long as all the rest.
        """
        rays = camera_rays(camera, cam_from_world, near=near, far=far)
        local = self.box.local_rays(rays)
        count = len(rays)
        image, alpha = np.empty((count, 3), np.float32), np.empty(count, np.float32)
        mean, median = np.empty(count, np.float32), np.empty(count, np.float32)
        normal = np.zeros((count, 3), np.float32) if normals else None
        behind = np.broadcast_to(np.asarray(background, np.float32), (count, 3))
        for first in range(0, count, _RAYS_AT_ONCE):
            part = slice(first, min(first + _RAYS_AT_ONCE, count))
            marched = self.lit(self.grid.march(local[part], self.march), _LEAST_LIGHT)
            density, color = self.field.forward(marched.positions, marched.directions, keep=normals)
            s = marched.samples
            weights = self._buffers.array("weights", (len(s),))
            composite_forward(
                s.starts, s.ends, s.offsets, density, color, behind[part], image[part], alpha[part], weights
            )
            ranges(s.starts, s.ends, s.offsets, density, weights, mean[part], median[part])
            if normal is not None:
                normal[part] = self._normals(marched, weights)
        factors = depth_factors(rays, cam_from_world) * np.float32(self.box.side)
        size = (camera.height, camera.width)
        if normal is not None:
            normal = (normal @ cam_from_world.rotation.T.astype(np.float32)).reshape(*size, 3)
        return FieldView(
            image.reshape(*size, 3),
            alpha.reshape(size),
            (mean * factors).reshape(size),
            (median * factors).reshape(size),
            normal,
        )

    def lit(self, marched: MarchedRays, least: float) -> MarchedRays:
        """`marched` without the samples that less than `least` of the light reaches.

        Parameters
        ----------
        marched : MarchedRays
        least : float

        Returns
        -------
        MarchedRays
            In memory that the next call uses again.
        """
        s = marched.samples
        counts = self._buffers.array("counts", (len(s.offsets) - 1,), np.int64)
        lit_counts(s.starts, s.ends, s.offsets, self.field.density(marched.positions), least, counts)
        offsets = self._buffers.array("offsets", (len(s.offsets),), np.int64)
        offsets[0] = 0
        np.cumsum(counts, out=offsets[1:])
        starts, ends, positions, directions, of_rays = self._buffers.rows(
            int(offsets[-1]), ("starts",), ("ends",), ("positions", 3), ("directions", 3), ("rays", np.int32)
        )
        given = s.starts, s.ends, marched.positions, marched.directions, marched.rays
        keep_lit(s.offsets, offsets, given, (starts, ends, positions, directions, of_rays))
        return MarchedRays(RaySamples(starts, ends, offsets), positions, directions, of_rays, marched.stopped)

    def _normals(self, marched: MarchedRays, weights: np.ndarray) -> np.ndarray:
        """(R, 3) mean of the samples' normals, world frame, unit length or 0. Of the samples that `field` kept."""
        count = len(marched.samples)
        gradient = self.field.backward(
            np.ones(count, np.float32), np.zeros((count, 3), np.float32), positions=True
        )["positions"]
        box = self.box.in_box_frame()
        if box.unbounded:
            gradient = box.world_gradients(box.world_points(marched.positions), gradient)
        length = np.linalg.norm(gradient, axis=1, keepdims=True)
        unit = -gradient / np.maximum(length, 1e-12) * weights[:, None]
        rays = len(marched.samples.offsets) - 1
        summed = np.stack([np.bincount(marched.rays, unit[:, k], rays) for k in range(3)], axis=1)
        return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)


def model_renderer(
    model: NerfModel,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
    normals: bool = False,
    backend: TrainingBackend = "auto",
) -> Callable[[Camera, SE3], FieldView]:
    """A function of camera (any lens) and `cam_from_world` that renders a model; `geo3d.render.RenderView`.

    Parameters
    ----------
    model : NerfModel
    background : (float, float, float)
        RGB in [0, 1].
    normals : bool
        They take about as long as all the rest.
    backend : {"auto", "cpu", "cuda"}
        "auto" takes a GPU where there is one and its kernels are made for the field.

    Raises
    ------
    RuntimeError
        If the backend "cuda" was asked for and cannot run here; says why and what to do.
    ValueError
        If it was asked for and the kernels are not made for the model's networks.

    Examples
    --------
    Views of a trained scene::

        render_view = model_renderer(read_model("scene/nerf/nerf.pt"))
        depth = render_view(camera, cam_from_world).median_depth
    """
    beyond_kernels = backend == "auto" and model.shape.appearance > 0
    if beyond_kernels or chosen_backend(backend) == "cpu":
        field = CpuField(model.shape, model.parameters)
        renderer = FieldRenderer(field, model.grid(), model.box, model.march)
    else:
        from geo3d.nerf.cuda_render import cuda_renderer_of

        renderer = cuda_renderer_of(model)
    behind = np.array(background, np.float32)
    return lambda camera, pose: renderer.view(
        camera, pose, behind, near=model.near, far=model.far, normals=normals
    )


def write_model(path: str | os.PathLike, model: NerfModel) -> None:
    """Write nerf.pt, atomically.

    Parameters
    ----------
    path : path-like
    model : NerfModel
    """
    header = {
        "shape": asdict(model.shape),
        "box": asdict(model.box),
        "near": model.near,
        "far": model.far,
        "march": asdict(model.march),
        "thickness": model.thickness,
    }
    write_tensors(path, KIND, {**model.parameters, "occupancy": model.occupancy}, header)


def read_model(path: str | os.PathLike) -> NerfModel:
    """Read nerf.pt.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, or no field of geo3d.
    """
    found = read_tensors(path, KIND)
    try:
        return _model(found.header, dict(found.arrays))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a field of geo3d, or damaged ({error}); train it again") from error


def _model(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> NerfModel:
    occupancy = arrays.pop("occupancy")
    shape = FieldShape(**header["shape"])
    check_parameters(shape, arrays)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("its numbers are not finite")
    side = round(len(occupancy) ** (1 / 3))
    if occupancy.dtype != np.float32 or occupancy.shape != (side**3,):
        raise ValueError("its occupancy is no cube")
    box = SceneBox(**{**header["box"], "center": tuple(header["box"]["center"])})
    near, far, thickness = (float(header[name]) for name in ("near", "far", "thickness"))
    if not 0 <= near < far or not 0 <= thickness <= 1:
        raise ValueError("near, far or thickness is none that can be")
    model = NerfModel(shape, arrays, box, near, far, MarchOptions(**header["march"]), occupancy, thickness)
    model.grid()  # refuses what no occupancy grid can be
    return model
