"""One step of training on the GPU: what `geo3d.nerf.engine` does on the CPU, with all of a step's arrays on the GPU.

Pixels are drawn on the GPU, from photos that lie there. The CPU never waits for a step: how many samples it had, and
its loss, are read `_LAG` steps later. What differs from the CPU: samples that no light reaches are evaluated, and have
no gradient; a step has room for a quarter more samples than it shall have, and rays beyond that do not count; poses
move once in `_POSES_EVERY` steps, by the gradients of all of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.gpu import LateNumbers
from geo3d.nerf.cuda_adam import CudaAdam
from geo3d.nerf.cuda_exposure import CudaExposure
from geo3d.nerf.cuda_field import GRADIENT_SCALE, CudaField
from geo3d.nerf.cuda_marching import CudaOccupancy, CudaSamples
from geo3d.nerf.cuda_memory import ROOM
from geo3d.nerf.cuda_pixels import CudaPixelPool, CudaPixels, pose_rows
from geo3d.nerf.cuda_poses import CudaPoses, in_frame
from geo3d.nerf.cuda_render import CudaRenderer
from geo3d.nerf.cuda_volume import CudaLoss, composite_loss
from geo3d.nerf.engine import HUBER, CpuEngine, samples_of
from geo3d.nerf.field_parameters import FieldParameters, FieldShape, initial_parameters
from geo3d.nerf.model import FieldView, NerfModel
from geo3d.nerf.occupancy import MarchOptions
from geo3d.nerf.ray_pool import RayPool
from geo3d.nerf.rays import Rays
from geo3d.nerf.scene_bounds import SceneBounds
from geo3d.nerf.training_options import TrainingOptions
from geo3d.render.training_clock import decayed
from geo3d.util.require import require

_LAG = 4  # steps
_RAYS_A_BLOCK = 32
_POSES_EVERY = 16  # steps: the CPU moves them, and waits for the GPU to do so
_LEAST_SHARE = 1 / 32  # of the samples of a step: what does not fit then is something else
_SMOOTH = 0.9  # of the samples a ray
_SURVEY = 16  # updates of the occupancy grid, the first ones, that look at every cell
_SHARE = 4  # else of so many cells one


class CudaEngine(CpuEngine):
    """The field in training on a GPU.

    Parameters
    ----------
    options : TrainingOptions
    shape : FieldShape
    bounds : SceneBounds
    poses : sequence of SE3
        `cam_from_world` of the photos to train on.
    launch : geo3d.gpu.Launcher, optional
        By default the kernels on the current GPU.

    Raises
    ------
    ValueError
        If the options ask for what the kernels do not do.
    RuntimeError
        If there is no usable GPU; says why and what to do.
    """

    def __init__(
        self,
        options: TrainingOptions,
        shape: FieldShape,
        bounds: SceneBounds,
        poses: Sequence[SE3],
        launch: Any = None,
    ) -> None:
        torch = require("torch")
        options = options.for_backend("cuda")
        self.chosen = chosen = samples_of(options)
        self.options, self.shape, self.bounds, self.given = options, shape, bounds, list(poses)
        self.field = CudaField(shape, initial_parameters(shape, seed=options.seed), launch)
        self.launch = self.field.launch
        self.adam = CudaAdam(self.field)
        step, cone = 1.0 / chosen.steps_per_side, chosen.cone_angle if bounds.box.unbounded else 0.0
        self.march = MarchOptions(step, np.inf, cone, chosen.most_per_ray)
        frame = bounds.box.in_box_frame()
        self.grid = CudaOccupancy(self.launch, frame, chosen.grid, step, chosen.thickness)
        self.renderer = CudaRenderer(self.field, self.grid, bounds.box, self.march)
        device = self.launch.device
        self.exposure = self.poses = None  # these are on the CPU
        self._exposure = CudaExposure(len(poses), device) if options.exposure else None
        self._moving = CudaPoses(poses, bounds, device) if options.refine_poses else None
        self._poses = pose_rows([in_frame(pose, bounds) for pose in poses], device)
        self.per_ray, self.samples = float(chosen.steps_per_side), 0
        self._share = 1.0  # of the samples that a step shall have, as far as the memory goes
        self._near = torch.tensor(bounds.near / bounds.box.side, dtype=torch.float32, device=device)
        self._told = LateNumbers(_LAG)
        self._photos: tuple[Any, CudaPixelPool | None] = (None, None)

    @property
    def parameters(self) -> FieldParameters:
        """NumPy copies."""
        return {name: tensor.cpu().numpy().copy() for name, tensor in self.field.parameters().items()}

    def rays_wanted(self, f: float) -> int:
        """Rays of the next step, at progress `f`: as many as have the samples that a step shall have, whole blocks."""
        return max(int(self._share * super().rays_wanted(f)) // _RAYS_A_BLOCK, 1) * _RAYS_A_BLOCK

    @property
    def _capacity(self) -> int:
        """Samples that a step has room for."""
        return int(ROOM * self._share * max(self.chosen.first, self.chosen.last)) + 255 & ~255

    def with_less_memory(self, error: RuntimeError) -> float:
        """The share of the rays that steps have from now on, after `error` in one; raises it if that does not help.

        Parameters
        ----------
        error : RuntimeError
        """
        torch = require("torch")
        if not isinstance(error, torch.cuda.OutOfMemoryError) or self._share <= _LEAST_SHARE:
            raise error
        self._share /= 2
        self.field.forget()
        return self._share

    def advance(self, pool: RayPool, step: int, f: float) -> float:
        """One step at progress `f` on pixels of `pool`; returns the loss of a few steps before.

        Nothing moves in a step whose loss is not finite.

        Parameters
        ----------
        pool : RayPool
        step : int
        f : float
        """
        options, rates = self.options, self.options.rates
        if step % self.chosen.update_every == 0 and step:
            self._look_around(step)
        if self._moving is not None and step % _POSES_EVERY == 0 and step:
            self._moving.move(decayed(rates.poses, 0.1, f))
            self._poses = self._moving.rows()
        pixels = self._draw(pool, step, self.rays_wanted(f))
        count = len(pixels.jitter)
        rays = Rays(pixels.origins, pixels.directions, pixels.near, pixels.far, pixels.jitter, pixels.rows)
        samples = self.grid.march(rays, self.march, self._capacity, pixels.jitter)
        density, color = self.field.forward(samples.positions, rays.directions, samples.rays, samples.count)
        found = composite_loss(
            self.launch, samples, density, color, pixels.background, pixels.color, pixels.alpha,
            None if self._exposure is None else self._exposure.matrices, pixels.rows,
            huber=HUBER if options.loss == "huber" else 0.0, distortion=options.distortion_weight,
            least_light=self.chosen.least_light,
        )  # fmt: skip
        self._back(found, rays, samples, step, f)
        loss = found.losses.sum(0, keepdim=True) / count
        part = decayed(1.0, rates.final, f) * min(1.0, (step + 1) / max(rates.warm_up, 1))
        self.adam.step(self.field, loss, count, rates.grid * part, rates.networks * part)
        return self._read(loss, samples.count, count)

    def _back(self, found: CudaLoss, rays: Rays, samples: CudaSamples, step: int, f: float) -> None:
        """Gradients of the field, and what photos learn from them."""
        count, rates = len(rays), self.options.rates
        if self._exposure is not None:
            rate = decayed(rates.exposure, 0.1, f)
            self._exposure.step(rays.rows, found.color, found.d_changed, 1.0 / count, rate)
        if self._moving is None:
            self.field.backward(found.d_density, found.d_color)
            return
        d_positions = require("torch").zeros_like(samples.positions)
        self.field.backward(found.d_density, found.d_color, d_positions)
        scale = 1.0 / (GRADIENT_SCALE * count)
        self._moving.gather(rays.directions, rays.rows, samples, d_positions, scale)
        self.field.d_grid[self._first_held(f) :] = 0.0

    def _read(self, loss: Any, count: Any, rays: int) -> float:
        """Loss and number of samples of a step some steps before; remembers how many samples a ray has."""
        told = self._told.tell(require("torch").cat([loss, count.float()]), rays)
        if told is None:
            return self._told.last[0]
        (found, samples), of_rays = told
        self.samples += min(int(samples), self._capacity)
        self.per_ray = _SMOOTH * self.per_ray + (1 - _SMOOTH) * max(samples / of_rays, 1.0)
        return found

    def _draw(self, pool: RayPool, step: int, count: int) -> CudaPixels:
        """Pixels of a step, from photos that are uploaded when other ones are held."""
        held = pool.held(step)
        if self._photos[0] is not held:
            self._photos = (None, None)  # its memory goes before that of the next one is taken
            self._photos = (
                held,
                CudaPixelPool(
                    self.launch,
                    held.cameras,
                    held.pixels,
                    held.alpha,
                    held.valid,
                    held.rows,
                    self.options.seed,
                ),
            )
        background = None
        if self.options.background != "random" and held.alpha is None:
            level = 1.0 if self.options.background == "white" else 0.0
            background = require("torch").full((3,), level, device=self.launch.device)
        drawn = self._photos[1]
        assert drawn is not None
        far = min(self.bounds.far / self.bounds.box.side, 1e30)
        return drawn.draw(step, count, self._poses, self._near, far, background)

    def _look_around(self, step: int) -> None:
        """Update the occupancy grid."""
        chosen = self.chosen
        survey = step <= _SURVEY * chosen.update_every
        seed = int(np.random.default_rng([self.options.seed, 13, step]).integers(2**31))
        self.grid.update(self.field, seed, None if survey else chosen.grid**3 // _SHARE, chosen.decay)

    def render(
        self, camera: Camera, cam_from_world: SE3, background: np.ndarray, normals: bool = False
    ) -> FieldView:
        """A view of `camera` at `cam_from_world`, before `background` (3,), with `normals` where they are asked for."""
        near, far = self.bounds.nearest, self.bounds.far
        return self.renderer.view(camera, cam_from_world, background, near=near, far=far, normals=normals)

    def model(self) -> NerfModel:
        """What there is of the field now; NumPy copies."""
        return NerfModel(
            self.shape,
            self.parameters,
            self.bounds.box,
            self.bounds.nearest,
            self.bounds.far,
            self.march,
            self.grid.densities.cpu().numpy().copy(),
            self.chosen.thickness,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """All that is learnt or remembered, for a checkpoint."""
        found = {f"field.{name}": array for name, array in self.parameters.items()}
        found |= {f"adam.{name}": array for name, array in self.adam.arrays(self.field).items()}
        found["occupancy"] = self.grid.densities.cpu().numpy()
        for name, part in (("exposure", self._exposure), ("poses", self._moving)):
            if part is not None:
                found |= {f"{name}.{key}": array for key, array in part.arrays().items()}
        found["told"] = np.array([self.per_ray, self.samples], np.float64)
        return found

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays()` gave.

        Parameters
        ----------
        arrays : mapping
        """
        torch = require("torch")
        for name, tensor in self.field.parameters().items():
            tensor.copy_(torch.from_numpy(np.array(arrays[f"field.{name}"])))
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            group, _, own = name.partition(".")
            parts.setdefault(group, {})[own] = array
        self.adam.restore(self.field, parts["adam"])
        if self._exposure is not None:
            self._exposure.restore(parts["exposure"])
        if self._moving is not None:
            self._moving.restore(parts["poses"])
            self._poses = self._moving.rows()
        self.field.refresh()
        self.grid.restore(arrays["occupancy"])
        self.per_ray, self.samples = float(arrays["told"][0]), int(arrays["told"][1])
