"""One step of training on a GPU: what `geo3d.splat.engine` does on the CPU, with all of a step's arrays on the GPU.

Changes of the set of Gaussians, once in a hundred steps, are those of the CPU: the Gaussians but their harmonics are
copied to NumPy, and back. Exposure is too, every step, where it is asked for. The depth of sparse points comes from the
same picture as the colours: its gradient counts in the statistics of densification and moves the pose too.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.gpu import LateNumbers
from geo3d.render.exposure import Exposure
from geo3d.render.pose_refinement import PoseRefinement
from geo3d.render.training_clock import decayed
from geo3d.scene import Gaussians
from geo3d.splat.cuda_adam import CudaAdam
from geo3d.splat.cuda_frame import GRADIENT_HEAD
from geo3d.splat.cuda_loss import photometric_loss
from geo3d.splat.cuda_rasterizer import CudaRasterizer
from geo3d.splat.densify_mcmc import GATE_OPACITY, GATE_SLOPE
from geo3d.splat.densify_multiview import LEAST_CONTRIBUTION_PX, ViewScores
from geo3d.splat.depth_prior import LEAST_ALPHA, point_pixels
from geo3d.splat.engine import DEPTH_EVERY, EXPOSURE_RATE, OPACITY, POSE_RATE, CpuEngine, StepInput
from geo3d.splat.options import RenderOptions
from geo3d.splat.reference import quaternion_matrices
from geo3d.splat.refinement import DensityStatistics, Refinement
from geo3d.splat.schedule import active_sh_degree
from geo3d.splat.smoothing import Smoothing
from geo3d.splat.training_options import TrainingOptions
from geo3d.util.require import require

_LAG = 1  # steps after which a loss is read
_ROWS = 1 << 20  # two float32 tell a row: float32 counts to 2^24
_PARAMETERS = ("means", "quaternions", "log_scales", "logit_opacities", "sh")


class CudaEngine(CpuEngine):
    """The Gaussians in training on a GPU.

    `gaussians` and `statistics` are NumPy copies, made when they are asked for.

    Parameters
    ----------
    gaussians : Gaussians
        NumPy float32, of the degree of spherical harmonics at the end.
    options : TrainingOptions
    extent : float
        Of the scene, world units.
    photos : int
        Number of photos to train on.
    smoothing : Smoothing, optional
        The 3D filter, if there is to be one.
    sky : int
        So many of the Gaussians, the first ones, are on the far sphere: they keep their places and their number.
    launch : geo3d.gpu.Launcher, optional
        By default the kernels on the current GPU.

    Raises
    ------
    RuntimeError
        If there is no usable GPU; says why and what to do.
    """

    def __init__(
        self,
        gaussians: Gaussians,
        options: TrainingOptions,
        extent: float,
        photos: int,
        smoothing: Smoothing | None = None,
        sky: int = 0,
        launch: Any = None,
    ) -> None:
        self.sky = sky
        self.options, self.extent, self.smoothing = options, extent, smoothing
        self._filter: tuple[Any, Any] = (None, None)
        self._late = LateNumbers(_LAG)
        self.rasterizer = CudaRasterizer(launch)
        self.launch = self.rasterizer.launch
        self.exposure = Exposure(photos) if options.exposure else None
        self.poses = PoseRefinement(photos, extent) if options.refine_poses else None
        self._upload(gaussians, self._tensor(gaussians.sh))
        self.adam = CudaAdam(self.on_gpu)

    @property
    def count(self) -> int:
        """Number of Gaussians."""
        return len(self.on_gpu)

    @property
    def gaussians(self) -> Gaussians:
        """NumPy copies."""
        g = self.on_gpu
        return Gaussians(*(_array(getattr(g, name)) for name in _PARAMETERS), antialiased=g.antialiased)

    @property
    def statistics(self) -> DensityStatistics:
        """NumPy copies; to be set from such."""
        return DensityStatistics(*(_array(part) for part in self._counted))

    @statistics.setter
    def statistics(self, value: DensityStatistics) -> None:
        self._counted = [self._tensor(getattr(value, field.name)) for field in fields(value)]

    def _upload(self, gaussians: Gaussians, sh: Any) -> None:
        parts = (self._tensor(getattr(gaussians, name)) for name in _PARAMETERS[:-1])
        self.on_gpu = Gaussians(*parts, sh=sh, antialiased=gaussians.antialiased)
        self.statistics = DensityStatistics.empty(len(gaussians))
        if self.smoothing is not None:
            self.smoothing.measure(np.ascontiguousarray(gaussians.means))

    def _variances(self) -> Any:
        """The filter's, on the GPU; None without one."""
        if self.smoothing is None:
            return None
        if self._filter[0] is not self.smoothing.variance:  # measured anew, or read from a checkpoint
            self._filter = self.smoothing.variance, self._tensor(self.smoothing.variance)
        return self._filter[1]

    def _tensor(self, array: Any, dtype: Any = np.float32) -> Any:
        """A copy on the GPU; of what lies there already, as float32, itself where it is that."""
        torch = require("torch")
        if not isinstance(array, np.ndarray):
            return array.float().contiguous()
        return torch.from_numpy(np.ascontiguousarray(array, dtype)).to(self.launch.device, copy=True)

    def render(self, camera: Camera, cam_from_world: SE3, background: np.ndarray, f: float) -> np.ndarray:
        """(H, W, 3) float32, a new picture at progress `f`, of `camera` at `cam_from_world`, before `background`."""
        return _array(self._picture(camera, cam_from_world, background, f))

    def _picture(self, camera: Camera, cam_from_world: SE3, background: np.ndarray, f: float) -> Any:
        """`render`, on the GPU."""
        chosen = self.render_options(background, active_sh_degree(f, self.options.sh_degree))
        found = self.rasterizer.forward(
            self.on_gpu, camera, cam_from_world, chosen, differentiable=False, variances=self._variances()
        )
        return found.color

    def step(self, seen: StepInput, step: int, f: float) -> float:
        """One step at progress `f`; returns the loss of a step or two before (the first one its own), so that nobody
        waits for the GPU. Gaussians and poses stay as they are where the loss is not finite.

        Parameters
        ----------
        seen : StepInput
        step : int
        f : float
        """
        options = self.options
        pose = seen.cam_from_world if self.poses is None else self.poses.apply(seen.row, seen.cam_from_world)
        with_depth = bool(options.depth_weight) and step % DEPTH_EVERY == 0 and len(seen.points) > 0
        red, green, blue = (float(c) for c in seen.background)
        degree = active_sh_degree(f, options.sh_degree)
        chosen = RenderOptions("cuda", (red, green, blue), sh_degree=degree, depth=with_depth)
        image = self.rasterizer.forward(
            self.on_gpu, seen.camera, pose, chosen, variances=self._variances()
        ).color
        loss, d_image = self._compare(seen, image, f)
        d_depth = self._depth_gradient(seen, pose) if with_depth else None
        gradients = self.rasterizer.image_gradients(d_image, d_depth=d_depth)
        assert self.rasterizer.frame is not None
        self._count_on_gpu(gradients, seen.camera)
        share, still = 1.0 / max(self.count, 1), self.on_gpu.means[: self.sky].clone()
        d_pose = self.adam.step(
            self.launch,
            self.on_gpu,
            self.rasterizer.frame,
            gradients,
            self.learning_rates(f),
            options.opacity_weight * share,
            options.scale_weight * share / 3 / self.extent,
            loss,
        )
        self.on_gpu.means[: self.sky] = still
        if self.poses is not None:
            self.poses.step(seen.row, pose, _array(d_pose), decayed(POSE_RATE, 0.01, f))
        if options.strategy == "mcmc":
            self._random_walk(self.mean_rate(f) * options.densify.noise, step)
        self._late.tell(loss.reshape(1))
        return self._late.last[0]

    def _compare(self, seen: StepInput, image: Any, f: float) -> tuple[Any, Any]:
        """The loss and its gradient by the image."""
        torch = require("torch")
        shown = image
        if self.exposure is not None:
            matrix = self._tensor(self.exposure.matrices[seen.row])
            shown = image @ matrix[:, :3].T + matrix[:, 3]
        color = self._tensor(seen.color)
        mask = None if seen.mask is None else self._tensor(seen.mask)
        compared = photometric_loss(self.launch, shown.contiguous(), color, mask, self.options.ssim_weight)
        loss = compared.loss.float()
        if self.exposure is None or not torch.isfinite(loss):
            return loss, compared.d_image
        rate = decayed(EXPOSURE_RATE, 0.1, f)
        d_image = self.exposure.step(seen.row, _array(image), _array(compared.d_image), rate)
        return loss, torch.from_numpy(d_image).to(self.launch.device)

    def _depth_gradient(self, seen: StepInput, pose: SE3) -> Any:
        """Of the loss of `geo3d.splat.depth_prior`, by the expected depth."""
        torch = require("torch")
        frame = self.rasterizer.frame
        assert frame is not None
        x, y, d = point_pixels(seen.camera, pose, seen.points)
        x, y, d = (self._tensor(x, np.int64), self._tensor(y, np.int64), self._tensor(d))
        covered = frame.alpha[y, x] > LEAST_ALPHA
        share = self.options.depth_weight / covered.sum().clamp(min=1)
        slope = torch.where(covered, share * torch.sign(frame.depth[y, x] - d) / d, 0.0)
        return torch.zeros_like(frame.depth).index_put_((y, x), slope, accumulate=True)

    def _count_on_gpu(self, gradients: Any, camera: Camera) -> None:
        """Add what this photo tells to the statistics."""
        torch = require("torch")
        frame = self.rasterizer.frame
        assert frame is not None
        longer = max(camera.width, camera.height)
        by_center = gradients[:, 2:4] if self.options.strategy == "absgrad" else gradients[:, :2]
        gradient, views, screen = self._counted
        gradient += 0.5 * longer * by_center.square().sum(1).sqrt()
        views += frame.tile_counts > 0
        torch.maximum(screen, frame.radii / longer, out=screen)

    def _random_walk(self, strength: float, step: int) -> None:
        """`geo3d.splat.densify_mcmc.random_walk`, on the GPU."""
        torch = require("torch")
        g = self.on_gpu
        seed = int(np.random.default_rng([self.options.seed, 2, step]).integers(2**62))
        source = torch.Generator(device=self.launch.device).manual_seed(seed)
        gate = torch.sigmoid(GATE_SLOPE * (GATE_OPACITY - torch.sigmoid(g.logit_opacities)))
        xi = torch.randn(g.means.shape, generator=source, device=self.launch.device)
        axes = quaternion_matrices(g.quaternions) * torch.exp(g.log_scales)[:, None, :]
        walk = axes @ (axes.mT @ (strength * gate[:, None] * xi)[..., None])
        g.means[self.sky :] += walk[self.sky :, :, 0]

    def scores(self, seen: list[StepInput], f: float) -> ViewScores:
        """The part of each Gaussian in the error of the photos of `seen`, at progress `f`."""
        torch = require("torch")
        error_sum, most, photos = (self._tensor(part) for part in vars(ViewScores.empty(self.count)).values())
        for photo in seen:
            chosen = self.render_options(photo.background, active_sh_degree(f, self.options.sh_degree))
            image = self.rasterizer.forward(
                self.on_gpu, photo.camera, photo.cam_from_world, chosen, variances=self._variances()
            ).color
            error = (image - self._tensor(photo.color)).abs().mean(2)
            if photo.mask is not None:
                error = error * self._tensor(photo.mask)
            channels = [error, torch.ones_like(error), torch.zeros_like(error)]
            # By a Gaussian's colour the picture has its blending weight as derivative, whatever the colour is.
            sums = self.rasterizer.image_gradients(torch.stack(channels, 2))[:, GRADIENT_HEAD:]
            error_sum += sums[:, 0]
            torch.maximum(most, sums[:, 1], out=most)
            photos += sums[:, 1] > LEAST_CONTRIBUTION_PX
        return ViewScores(_array(error_sum), _array(most), _array(photos).astype(np.int32))

    def changeable(self) -> Gaussians:
        """What a change is made of. The harmonics, most of the numbers, follow their Gaussians and are never changed:
        they stay on the GPU, and in their place is the row where they lie.
        """
        g = self.on_gpu
        rows = np.divmod(np.arange(self.count), _ROWS)
        places = np.stack([*rows, np.zeros(self.count)], 1).astype(np.float32)[:, None]
        parts = (_array(getattr(g, name)) for name in _PARAMETERS[:-1])
        return Gaussians(*parts, sh=places, antialiased=g.antialiased)

    def replace(self, change: Refinement) -> None:
        """Go on with the Gaussians of `change`, made of those of `changeable`; the optimiser's state follows, the
        statistics begin anew.
        """
        places = change.gaussians.sh[:, 0].astype(np.int64)
        rows = self._tensor(places[:, 0] * _ROWS + places[:, 1], np.int64)
        self._upload(change.gaussians, self.on_gpu.sh[rows])
        self.adam.rearrange(self._tensor(change.source, np.int64))

    def reset_opacities(self) -> None:
        """Hold all opacities to twice the least: what is needed grows back, what floats does not (Kerbl et al.)."""
        most = 2 * self.options.densify.min_opacity
        self.on_gpu.logit_opacities.clamp_(max=float(np.log(most / (1 - most))))
        for moments in (self.adam.m, self.adam.v):
            moments[:, OPACITY] = 0.0


def _array(tensor: Any) -> np.ndarray:
    """A NumPy copy."""
    return np.array(tensor.detach().cpu().numpy())
