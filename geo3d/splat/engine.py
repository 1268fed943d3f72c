"""One step of training on the CPU: render, compare, gradients, optimiser; and changes of the set of Gaussians.

The loss of a photo is `(1 - w) mean |image - photo| + w (1 - SSIM)`, to which come the regularisers
`opacity_weight mean o + scale_weight mean s / extent` of the Gaussians in view.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SH_C0
from geo3d.render.exposure import Exposure
from geo3d.render.pose_refinement import PoseRefinement
from geo3d.render.training_clock import decayed
from geo3d.scene import Gaussians
from geo3d.splat.adam import LearningRates, SparseAdam
from geo3d.splat.densify_adc import densify_adc
from geo3d.splat.densify_mcmc import densify_mcmc, random_walk
from geo3d.splat.densify_multiview import ViewScores, densify_multiview
from geo3d.splat.depth_prior import DepthPrior
from geo3d.splat.loss import photometric_loss
from geo3d.splat.options import GaussianGradients, RenderOptions
from geo3d.splat.rasterizer import CpuRasterizer
from geo3d.splat.refinement import (
    DensityStatistics,
    Refinement,
    opacities,
    prune,
    take,
    unchanged,
    useless,
    with_unchanged,
)
from geo3d.splat.schedule import active_sh_degree
from geo3d.splat.smoothing import Smoothing
from geo3d.splat.training_options import TrainingOptions

DEPTH_EVERY = 4  # steps: the depth costs as much as the colours
OPACITY = 10  # column of the optimiser's moments
EXPOSURE_RATE, POSE_RATE = 2e-3, 2e-4  # of Adam; the second in radians and fractions of the extent


@dataclass(frozen=True)
class StepInput:
    """One photo as a step sees it.

    Attributes
    ----------
    row : int
        Of the photo among those to train on.
    color : (H, W, 3) float32
        What is to be rendered.
    mask : (H, W) bool or None
        Pixels that count.
    background : (3,) float32
    camera : Camera
        PINHOLE; on the CPU any lens.
    cam_from_world : SE3
    points : (K, 3) float64
        Sparse points that the photo observed, world; for the depth.
    """

    row: int
    color: np.ndarray
    mask: np.ndarray | None
    background: np.ndarray
    camera: Camera
    cam_from_world: SE3
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))


class CpuEngine:
    """The Gaussians in training, with their optimiser and what densification counts.

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
    """

    def __init__(
        self,
        gaussians: Gaussians,
        options: TrainingOptions,
        extent: float,
        photos: int,
        smoothing: Smoothing | None = None,
        sky: int = 0,
    ) -> None:
        self.gaussians = gaussians
        self.sky = sky
        self.options = options
        self.extent = extent
        self.adam = SparseAdam(gaussians)
        self.statistics = DensityStatistics.empty(len(gaussians))
        self.exposure = Exposure(photos) if options.exposure else None
        self.poses = PoseRefinement(photos, extent) if options.refine_poses else None
        self.smoothing = smoothing
        if smoothing is not None:
            smoothing.measure(gaussians.means)
        self.depth = DepthPrior(options.depth_weight) if options.depth_weight else None
        self.rasterizer = CpuRasterizer(absolute_gradients=options.strategy == "absgrad")

    def shown(self) -> Gaussians:
        """The Gaussians as they are rendered and written: with the filter, if there is one."""
        return self.gaussians if self.smoothing is None else self.smoothing.apply(self.gaussians)

    @property
    def count(self) -> int:
        """Number of Gaussians."""
        return len(self.gaussians)

    def render_options(self, background: np.ndarray, sh_degree: int) -> RenderOptions:
        """How this training renders: before `background` (3,), with the colours up to `sh_degree`."""
        red, green, blue = (float(c) for c in background)
        return RenderOptions("cpu", (red, green, blue), sh_degree=sh_degree)

    def render(self, camera: Camera, cam_from_world: SE3, background: np.ndarray, f: float) -> np.ndarray:
        """(H, W, 3) float32, a new picture at progress `f`, of `camera` at `cam_from_world`, before `background`."""
        chosen = self.render_options(background, active_sh_degree(f, self.options.sh_degree))
        return self.rasterizer.forward(self.shown(), camera, cam_from_world, chosen).color.copy()

    def step(self, seen: StepInput, step: int, f: float) -> float:
        """One step at progress `f`; returns the loss before it. Nothing is changed if that is not finite.

        Parameters
        ----------
        seen : StepInput
        step : int
        f : float
        """
        options = self.options
        pose = seen.cam_from_world if self.poses is None else self.poses.apply(seen.row, seen.cam_from_world)
        chosen = self.render_options(seen.background, active_sh_degree(f, options.sh_degree))
        gaussians = self.shown()
        image = self.rasterizer.forward(gaussians, seen.camera, pose, chosen).color
        exposed = image if self.exposure is None else self.exposure.apply(seen.row, image)
        compared = photometric_loss(exposed, seen.color, seen.mask, options.ssim_weight)
        loss, d_image = compared.loss, compared.d_image
        if not np.isfinite(loss):
            return loss
        if self.exposure is not None:
            d_image = self.exposure.step(seen.row, image, d_image, decayed(EXPOSURE_RATE, 0.1, f))
        gradients = self.rasterizer.backward(d_image)
        if self.poses is not None:
            self.poses.step(seen.row, pose, gradients.pose, decayed(POSE_RATE, 0.01, f))
        self._count(gradients, seen.camera)
        if self.depth is not None and step % DEPTH_EVERY == 0 and len(seen.points):
            self.depth.add(gradients, gaussians, seen.camera, pose, seen.points)
        if self.smoothing is not None:
            self.smoothing.back(self.gaussians, gradients)
        self._regularise(gradients)
        gradients.means[: self.sky] = 0.0
        self.adam.step(self.gaussians, gradients, self.learning_rates(f))
        if options.strategy == "mcmc":
            walk = self.mean_rate(f) * options.densify.noise
            near = take(self.gaussians, slice(self.sky, None))  # views: moved in place
            random_walk(near, walk, np.random.default_rng([options.seed, 2, step]))
        return loss

    def mean_rate(self, f: float) -> float:
        """Learning rate of the centres at progress `f`, world units."""
        rates = self.options.rates
        return self.extent * decayed(rates.means, rates.means_final, f)

    def learning_rates(self, f: float) -> LearningRates:
        """Of all parameters at progress `f`."""
        rates = self.options.rates
        final = rates.others_final
        return LearningRates(
            means=self.mean_rate(f),
            quaternions=decayed(rates.quaternions, final, f),
            log_scales=decayed(rates.log_scales, final, f),
            logit_opacities=decayed(rates.logit_opacities, final, f),
            sh_0=decayed(rates.sh_0, final, f),
            sh_rest=decayed(rates.sh_rest, final, f),
        )

    def _count(self, gradients: GaussianGradients, camera: Camera) -> None:
        """Add what this photo tells to the statistics."""
        longer = max(camera.width, camera.height)
        absolute = self.options.strategy == "absgrad"
        by_center = gradients.mean2d_abs if absolute else gradients.mean2d
        self.statistics.gradient += 0.5 * longer * np.sqrt(by_center[:, 0] ** 2 + by_center[:, 1] ** 2)
        self.statistics.views += gradients.visible
        np.maximum(self.statistics.screen, gradients.radius_px / longer, out=self.statistics.screen)

    def _regularise(self, gradients: GaussianGradients) -> None:
        """Add the gradients of the regularisers, of the Gaussians in view that are not sky."""
        options = self.options
        if not options.opacity_weight and not options.scale_weight:
            return
        seen = self.sky + np.flatnonzero(gradients.visible[self.sky :])
        share = 1.0 / len(self.gaussians)
        if options.opacity_weight:
            o = 1.0 / (1.0 + np.exp(-self.gaussians.logit_opacities[seen]))
            gradients.logit_opacities[seen] += np.float32(options.opacity_weight * share) * o * (1 - o)
        if options.scale_weight:
            weight = np.float32(options.scale_weight * share / 3 / self.extent)
            gradients.log_scales[seen] += weight * np.exp(self.gaussians.log_scales[seen])

    def scores(self, seen: list[StepInput], f: float) -> ViewScores:
        """The part of each Gaussian in the error of the photos of `seen`, at progress `f`.

        The weights w of a picture `sum w c` are its derivative by the colours c: with a colour of the Gaussians alone,
        one backward pass sums `w e` in one channel and `w` in another.
        """
        found = ViewScores.empty(len(self.gaussians))
        g = self.shown()
        plain = Gaussians(
            g.means, g.quaternions, g.log_scales, g.logit_opacities, np.zeros((len(g), 1, 3), np.float32),
            g.antialiased,
        )  # fmt: skip
        for photo in seen:
            image = self.render(photo.camera, photo.cam_from_world, photo.background, f)
            error = np.abs(image - photo.color).mean(axis=2)
            if photo.mask is not None:
                error *= photo.mask
            chosen = self.render_options(photo.background, 0)
            self.rasterizer.forward(plain, photo.camera, photo.cam_from_world, chosen)
            d_color = np.stack([error, np.ones_like(error), np.zeros_like(error)], axis=2)
            sums = self.rasterizer.backward(d_color).sh[:, 0] / np.float32(SH_C0)
            found.add(sums[:, 0], sums[:, 1])
        return found

    def densify(self, room: int, step: int, scored: ViewScores | None) -> Refinement:
        """Change the set of Gaussians but the sky by the strategy of the options, adding at most `room`.

        Parameters
        ----------
        room : int
        step : int
        scored : ViewScores or None
            For "multiview".
        """
        options, densify = self.options, self.options.densify
        rng = np.random.default_rng([options.seed, 3, step])
        whole, changing = self.changeable(), slice(self.sky, None)
        near, statistics = take(whole, changing), self.statistics.taken(changing)
        if options.strategy == "mcmc":
            change = densify_mcmc(near, densify, extent=self.extent, room=room, rng=rng)
        elif options.strategy == "multiview":
            assert scored is not None
            change = densify_multiview(
                near, statistics, scored.taken(changing), densify, extent=self.extent, room=room, rng=rng
            )
        else:
            absolute = options.strategy == "absgrad"
            change = densify_adc(
                near,
                statistics,
                densify,
                threshold=densify.gradient_absolute if absolute else densify.gradient,
                extent=self.extent,
                room=room,
                rng=rng,
            )
        self.replace(with_unchanged(take(whole, slice(self.sky)), change))
        return change

    def remove_useless(self) -> int:
        """Remove what is transparent, huge or not finite, and of the sky what is not finite; returns how many."""
        densify, whole = self.options.densify, self.changeable()
        gone = useless(whole, densify.min_opacity, densify.max_extent * self.extent)
        gone[: self.sky] = ~np.isfinite(whole.log_scales[: self.sky]).all(axis=1)
        if gone.any():
            self.sky -= int(np.count_nonzero(gone[: self.sky]))
            self.replace(prune(unchanged(whole), ~gone))
        return int(gone.sum())

    def changeable(self) -> Gaussians:
        """What a change is made of, NumPy."""
        return self.gaussians

    def replace(self, change: Refinement) -> None:
        """Go on with the Gaussians of `change`, made of those of `changeable`; the optimiser's state follows, the
        statistics begin anew.
        """
        self.gaussians = change.gaussians
        self.adam.rearrange(change.source)
        self.statistics = DensityStatistics.empty(len(self.gaussians))
        if self.smoothing is not None:
            self.smoothing.measure(self.gaussians.means)

    def reset_opacities(self) -> None:
        """Hold all opacities to twice the least: what is needed grows back, what floats does not (Kerbl et al.)."""
        most = 2 * self.options.densify.min_opacity
        np.minimum(self.gaussians.logit_opacities, np.float32(np.log(most / (1 - most))),
                   out=self.gaussians.logit_opacities)  # fmt: skip
        for moments in (self.adam.m, self.adam.v):
            moments[:, OPACITY] = 0.0

    def mean_opacity(self) -> float:
        """Of all Gaussians."""
        return float(opacities(self.gaussians).mean())
