"""One step of training on the CPU: march, evaluate, composite, compare, gradients, optimiser; and the occupancy grid.

The loss of R rays is the mean over rays and channels of Huber's function of the difference (linear from `HUBER` on) or
of its square, to which comes `distortion_weight` times the mean distortion loss, in the distance t / (1 + t), t in
sides of the box.

A march passes what the occupancy grid calls empty. Of what is left the density alone is evaluated first, and samples
that no light reaches are dropped, so that colours and gradients are of those that are seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.nerf.adam import Adam
from geo3d.nerf.cpu_field import CpuField
from geo3d.nerf.field_parameters import FieldShape, initial_parameters
from geo3d.nerf.model import FieldRenderer, FieldView, NerfModel
from geo3d.nerf.occupancy import MarchedRays, MarchOptions, OccupancyGrid
from geo3d.nerf.ray_pool import PixelBatch, RayPool
from geo3d.nerf.rays import Rays
from geo3d.nerf.scene_bounds import SceneBounds
from geo3d.nerf.training_options import SampleOptions, TrainingOptions
from geo3d.nerf.volume_kernels import composite_backward, composite_forward, distortion
from geo3d.render.exposure import Exposure
from geo3d.render.pose_refinement import PoseRefinement
from geo3d.render.training_clock import decayed
from geo3d.util.buffers import Buffers

HUBER = 0.1
_LEAST_RAYS = 64
_SMOOTH = 0.9  # of the samples a ray
_SURVEY = 4  # updates of the occupancy grid, the first ones, that look at every cell
_SHARE = 8  # else of so many cells one
_COARSE_LEVELS = 0.4  # share of the levels that learn from the first step on, while poses move
_FINE_AT = 0.5  # progress at which all do


def field_shape(options: TrainingOptions) -> FieldShape:
    """The field that the options ask for.

    Parameters
    ----------
    options : TrainingOptions
    """
    chosen = _chosen(options)
    assert chosen.levels and chosen.log2_entries and chosen.finest
    return FieldShape(
        levels=chosen.levels,
        log2_entries=chosen.log2_entries,
        finest=chosen.finest,
        appearance=chosen.appearance,
    )


def samples_of(options: TrainingOptions) -> SampleOptions:
    """The samples that the options ask for.

    Parameters
    ----------
    options : TrainingOptions
    """
    chosen = _chosen(options).samples
    assert chosen is not None
    return chosen


def _chosen(options: TrainingOptions) -> TrainingOptions:
    return options.for_backend("cuda" if options.backend == "cuda" else "cpu")


class CpuEngine:
    """The field in training, with its optimiser, its occupancy grid, and what is learnt about the photos.

    Parameters
    ----------
    options : TrainingOptions
    shape : FieldShape
    bounds : SceneBounds
    poses : sequence of SE3
        `cam_from_world` of the photos to train on, as they are given.
    """

    def __init__(
        self, options: TrainingOptions, shape: FieldShape, bounds: SceneBounds, poses: Sequence[SE3]
    ) -> None:
        chosen, photos = samples_of(options), len(poses)
        self.options, self.shape, self.bounds = options, shape, bounds
        self.chosen = chosen
        self.given = list(poses)
        self.parameters = initial_parameters(shape, photos=photos, seed=options.seed)
        self.field = CpuField(shape, self.parameters)
        self.adam = Adam(self.parameters)
        step = 1.0 / chosen.steps_per_side
        cone = chosen.cone_angle if bounds.box.unbounded else 0.0
        self.march = MarchOptions(step, np.inf, cone, chosen.most_per_ray)
        self.grid = OccupancyGrid(bounds.box.in_box_frame(), chosen.grid, step, chosen.thickness)
        self.renderer = FieldRenderer(self.field, self.grid, bounds.box, self.march)
        self.exposure = Exposure(photos) if options.exposure else None
        self.poses = PoseRefinement(photos, bounds.box.side) if options.refine_poses else None
        self.per_ray = float(chosen.steps_per_side)  # marched samples a ray, smoothed
        self.samples = 0  # of all steps
        self._buffers = Buffers()

    def rays_wanted(self, f: float) -> int:
        """Rays of the next step, at progress `f`: as many as have the samples that a step shall have."""
        chosen = self.chosen
        share = min(f / chosen.grown, 1.0) if chosen.grown else 1.0
        wanted = chosen.first * (chosen.last / chosen.first) ** share / self.per_ray
        return int(min(max(wanted, _LEAST_RAYS), chosen.most_rays))

    def advance(self, pool: RayPool, step: int, f: float) -> float:
        """One step at progress `f` on pixels of `pool`; returns the loss before it, as `step`.

        Parameters
        ----------
        pool : RayPool
        step : int
        f : float
        """
        pixels = pool.draw(step, self.rays_wanted(f))
        rays = len(pixels.rows)
        # Only a colour that changes teaches what is transparent: before white, white mist would be as good.
        if self.options.background == "random" or pixels.alpha is not None:
            behind = np.random.default_rng([self.options.seed, 1, step]).random((rays, 3), np.float32)
        else:
            behind = np.full((rays, 3), 1.0 if self.options.background == "white" else 0.0, np.float32)
        return self.step(pixels, behind, step, f)

    def with_less_memory(self, error: RuntimeError) -> float:
        """The share of the rays that steps have from now on, after `error` in one; raises it if that does not help.

        Parameters
        ----------
        error : RuntimeError
        """
        raise error

    def step(self, pixels: PixelBatch, background: np.ndarray, step: int, f: float) -> float:
        """One step at progress `f`; returns the loss before it. Nothing is changed if that is not finite.

        Parameters
        ----------
        pixels : PixelBatch
            What R rays are to show.
        background : (R, 3) float32
        step : int
        f : float
        """
        rays = self.rays(pixels)
        if step % self.chosen.update_every == 0 and step:
            self._look_around(step)
        marched = self._marched(rays, step)
        self._count(marched, len(rays))
        marched = self.renderer.lit(marched, self.chosen.least_light)
        self.samples += len(marched.samples)
        rows = pixels.rows[marched.rays] if self.shape.appearance else None
        density, color = self.field.forward(marched.positions, marched.directions, rows)
        s, count = marched.samples, len(rays)
        image, alpha = self._buffers.array("image", (count, 3)), self._buffers.array("alpha", (count,))
        weights = self._buffers.array("weights", (len(s),))
        composite_forward(s.starts, s.ends, s.offsets, density, color, background, image, alpha, weights)
        wanted = pixels.color
        if pixels.alpha is not None:
            wanted = wanted + (1.0 - pixels.alpha)[:, None] * background
        loss, d_image = self._compare(image, wanted, pixels.rows, f)
        d_weights = np.empty(0, np.float32)
        if self.options.distortion_weight:
            more, d_weights = self._distortion(marched, weights, count)
            loss += more
        if not np.isfinite(loss):
            return float(loss)
        d_density, d_color = self._buffers.rows(len(s), ("d_density",), ("d_color", 3))
        nothing = self._buffers.array("nothing", (count,))
        nothing[:] = 0.0
        composite_backward(
            s.starts, s.ends, s.offsets, density, color, background, weights, d_image, nothing, d_weights,
            d_density, d_color,
        )  # fmt: skip
        gradients = self.field.backward(d_density, d_color, positions=self.poses is not None)
        if self.poses is not None:
            self._move_poses(rays, pixels, marched, gradients.pop("positions"), f)
        self._learn(gradients, step, f)
        return float(loss)

    def rays(self, pixels: PixelBatch) -> Rays:
        """The rays of `pixels`, world frame, from the poses in use; one beyond the circle of a fisheye is empty."""
        poses = self.given
        if self.poses is not None:
            poses = [self.poses.apply(row, pose) for row, pose in enumerate(poses)]
        rotations = np.array([pose.rotation for pose in poses], np.float32)
        centers = np.array([pose.center() for pose in poses], np.float32)
        directions = np.einsum("rij,ri->rj", rotations[pixels.rows], pixels.bearings)
        seen = np.isfinite(directions[:, 0])
        directions[~seen] = (0.0, 0.0, 1.0)
        near = self.bounds.near[pixels.rows]
        return Rays(
            centers[pixels.rows],
            directions,
            near,
            np.where(seen, np.float32(self.bounds.far), near),
            np.zeros(len(near), np.float32),
            pixels.rows,
        )

    def render(
        self, camera: Camera, cam_from_world: SE3, background: np.ndarray, normals: bool = False
    ) -> FieldView:
        """A view of `camera` at `cam_from_world` before `background` (3,), with `normals` if they are wanted."""
        return self.renderer.view(
            camera,
            cam_from_world,
            background,
            near=self.bounds.nearest,
            far=self.bounds.far,
            normals=normals,
        )

    def model(self) -> NerfModel:
        """What there is of the field now; its arrays are those in training."""
        return NerfModel(
            self.shape,
            self.parameters,
            self.bounds.box,
            self.bounds.nearest,
            self.bounds.far,
            self.march,
            self.grid.densities,
            self.chosen.thickness,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """All that is learnt or remembered, for a checkpoint."""
        found = {f"field.{name}": array for name, array in self.parameters.items()}
        found |= {f"adam.{name}": array for name, array in self.adam.arrays().items()}
        found["occupancy"] = self.grid.densities
        found["told"] = np.array([self.per_ray, self.samples], np.float64)
        for name, part in (("exposure", self.exposure), ("poses", self.poses)):
            if part is not None:
                found |= {f"{name}.{key}": np.asarray(value) for key, value in vars(part).items()}
        return found

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays()` gave.

        Parameters
        ----------
        arrays : mapping
        """
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            group, _, own = name.partition(".")
            parts.setdefault(group, {})[own] = array
        for name, array in parts["field"].items():
            self.parameters[name][...] = array
        self.adam.restore(parts["adam"])
        self.grid.restore(arrays["occupancy"])
        self.per_ray, self.samples = float(arrays["told"][0]), int(arrays["told"][1])
        for name, owner in (("exposure", self.exposure), ("poses", self.poses)):
            for key, value in parts.get(name, {}).items():
                setattr(owner, key, value)

    def _look_around(self, step: int) -> None:
        """Update the occupancy grid."""
        chosen = self.chosen
        rng = np.random.default_rng([self.options.seed, 13, step])
        survey = step <= _SURVEY * chosen.update_every
        self.grid.update(self.field.density, rng, None if survey else chosen.grid**3 // _SHARE, chosen.decay)

    def _marched(self, rays: Rays, step: int) -> MarchedRays:
        jitter = np.random.default_rng([self.options.seed, 12, step]).random(len(rays), np.float32)
        return self.grid.march(self.bounds.box.local_rays(rays), self.march, jitter)

    def _count(self, marched: MarchedRays, rays: int) -> None:
        """Remember how many samples a ray has."""
        now = max(len(marched.samples) / max(rays, 1), 1.0)
        self.per_ray = _SMOOTH * self.per_ray + (1 - _SMOOTH) * now

    def _compare(
        self, image: np.ndarray, wanted: np.ndarray, rows: np.ndarray, f: float
    ) -> tuple[float, np.ndarray]:
        """Loss of the colours, and its gradient by `image`; the exposure moves with it."""
        shown = image if self.exposure is None else self.exposure.apply_rays(rows, image)
        off = shown - wanted
        if self.options.loss == "mse":
            loss, slope = np.mean(off**2, dtype=np.float64), 2.0 * off
        else:
            size = np.abs(off)
            near = size <= HUBER
            loss = np.mean(np.where(near, off**2 / (2 * HUBER), size - HUBER / 2), dtype=np.float64)
            slope = np.where(near, off / HUBER, np.sign(off))
        d_shown = (slope / np.float32(off.size)).astype(np.float32)
        if self.exposure is None or not np.isfinite(loss):
            return float(loss), d_shown
        rate = decayed(self.options.rates.exposure, 0.1, f)
        return float(loss), self.exposure.step_rays(rows, image, d_shown, rate)

    def _distortion(self, marched: MarchedRays, weights: np.ndarray, rays: int) -> tuple[float, np.ndarray]:
        s, share = marched.samples, self.options.distortion_weight / rays
        losses, d_weights = (
            self._buffers.array("losses", (rays,)),
            self._buffers.array("d_weights", (len(s),)),
        )
        scale = np.full(rays, share, np.float32)
        distortion(_disparity(s.starts), _disparity(s.ends), s.offsets, weights, scale, losses, d_weights)
        return share * float(losses.sum(dtype=np.float64)), d_weights

    def _learn(self, gradients: dict[str, np.ndarray], step: int, f: float) -> None:
        rates = self.options.rates
        part = decayed(1.0, rates.final, f) * min(1.0, (step + 1) / max(rates.warm_up, 1))
        learning = dict.fromkeys(gradients, rates.networks * part)
        learning["grid"] = rates.grid * part
        if "appearance" in gradients:
            learning["appearance"] = rates.appearance * part
        if self.poses is not None:
            gradients["grid"].reshape(-1, 2)[self._first_held(f) :] = 0.0
        self.adam.step(self.parameters, gradients, learning)

    def _first_held(self, f: float) -> int:
        """First entry of the levels that do not learn yet, while coarse ones move the poses (as BARF's frequencies)."""
        levels = self.shape.levels
        active = levels * (_COARSE_LEVELS + (1 - _COARSE_LEVELS) * min(f / _FINE_AT, 1.0))
        starts = (*self.shape.level_starts, sum(self.shape.level_entries))
        return starts[min(max(int(np.ceil(active)), 1), levels)]

    def _move_poses(
        self, rays: Rays, pixels: PixelBatch, marched: MarchedRays, d_unit: np.ndarray, f: float
    ) -> None:
        """x = o + t d with o = -R^T t_c and d = R^T b for a bearing b: gradients by [R | t_c] of each photo."""
        assert self.poses is not None
        s, d_local = marched.samples, d_unit
        if self.bounds.box.unbounded:
            points = s.positions(self.bounds.box.local_rays(rays))
            d_local = self.bounds.box.in_box_frame().world_gradients(points, d_unit)
        count = len(rays)
        weight = [np.ones(len(s), np.float32), s.middles]
        d_origin, d_direction = (
            np.stack([np.bincount(marched.rays, w * d_local[:, k], count) for k in range(3)], axis=1)
            for w in weight
        )
        d_origin /= self.bounds.box.side
        rate = decayed(self.options.rates.poses, 0.1, f)
        for row in np.unique(pixels.rows).tolist():
            own = np.flatnonzero(pixels.rows == row)
            pose = self.poses.apply(row, self.given[row])
            turned = pixels.bearings[own].T.astype(np.float64) @ d_direction[own]
            turned -= np.outer(pose.translation, d_origin[own].sum(axis=0))
            moved = -pose.rotation @ d_origin[own].sum(axis=0)
            self.poses.step(row, pose, np.column_stack([turned, moved]), rate)


def _disparity(t: np.ndarray) -> np.ndarray:
    return t / (1.0 + t)
