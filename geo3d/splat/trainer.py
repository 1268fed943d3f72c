"""Train Gaussian splats on a scene: photos with poses in, splats.ply and its quality on views held out.

One loop: a photo, a step of the optimiser, and every so often a change of the set of Gaussians. What changes on the
way is a function of the progress f (`geo3d.splat.training_options`).

Kerbl, Kopanas, Leimkuehler, Drettakis: 3D Gaussian Splatting for Real-Time Radiance Field Rendering, SIGGRAPH 2023.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from geo3d.cameras import Camera
from geo3d.gpu.backend import chosen_backend, gpu_trouble
from geo3d.render.evaluation import EvaluationOptions, ViewQuality, evaluate, mean_psnr
from geo3d.render.photo_size import chosen_downscale
from geo3d.render.training_clock import TrainingClock
from geo3d.render.views import PosedView, ViewSet, load_views, scene_frame
from geo3d.render.visual_hull import scene_extent
from geo3d.scene import Gaussians
from geo3d.splat import cuda_rasterizer
from geo3d.splat.cuda_memory import check_gpu_memory, free_gpu_bytes
from geo3d.splat.cuda_photos import CudaPhotos, photos_bytes
from geo3d.splat.engine import CpuEngine, StepInput
from geo3d.splat.refinement import take
from geo3d.splat.schedule import coarse_factor, target_count
from geo3d.splat.training_memory import check_memory
from geo3d.splat.training_options import TrainingOptions
from geo3d.splat.training_photos import TrainingPhotos, behind, target
from geo3d.splat.training_report import TrainingReport, finished_before, write_report
from geo3d.splat.training_start import smoothing_of, start
from geo3d.splat.training_state import find_state, gaussians_of, restore, save_state, training_key
from geo3d.util.files import folder_lock, remove_partial
from geo3d.util.progress import Progress, StageProgress

_SMOOTH = 0.98  # of the loss that is shown
_TARGET_EVERY = 0.05  # progress between looks at the views held out, with a target


def train(
    scene: str | Path,
    out: str | Path | None = None,
    options: TrainingOptions | None = None,
    progress: Progress | None = None,
    initial: Gaussians | None = None,
) -> TrainingReport:
    """Train Gaussian splats on a scene.

    A training of the same options that was stopped goes on, also when it shall end sooner or later now. One that was
    finished is not done again.

    Parameters
    ----------
    scene : path-like
        What `geo3d.render.load_views` takes: a folder made by `geo3d reconstruct` or COLMAP, or transforms.json.
    out : path-like, optional
        Folder for splats.ply, metrics.json, samples/ and the checkpoint; by default `splats` in the scene's folder.
    options : TrainingOptions, optional
    progress : Progress, optional
    initial : Gaussians, optional
        To start from, in the place of a checkpoint too; stays as it is. By default those at the scene's points, or
        at random where it has none.

    Returns
    -------
    TrainingReport

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_views`; or if the photos show nothing to start from, or `initial` holds nothing.
    MemoryError
        If the budget does not fit in the memory, or in the GPU's; the message says which would.
    RuntimeError
        If the backend "cuda" was asked for and cannot run here; says why and what to do.
    BlockingIOError
        If another process trains into the same folder.
    """
    options = (options or TrainingOptions()).with_strategy_defaults()
    backend = "cpu" if options.lens == "unscented" else chosen_backend(options.backend)
    asked, options = options.backend, replace(options, backend=backend)
    progress = progress or Progress()
    scene = Path(scene)
    folder = scene if scene.is_dir() else scene.parent
    out = folder / "splats" if out is None else Path(out)
    views = load_views(scene, options.hold_out_every)
    downscale = chosen_downscale([*views.views, *views.held_out], options.downscale)
    cache_bytes, gpu_bytes = check_memory(views, downscale, options), 0
    if options.backend == "cuda":
        largest = max(view.camera.width * view.camera.height for view in views.views)
        gpu_bytes = check_gpu_memory(options.budget, round(largest / downscale**2), free_gpu_bytes())
    with folder_lock(out):
        remove_partial(out)
        key = training_key(views, options)
        if initial is None:
            report, other = finished_before(out, options, key)
            if report is not None:
                progress.note(
                    f"{out} holds this training already, finished after {report.steps:,} steps: nothing to do. A "
                    "longer one, other options or another folder begin anew"
                )
                return report
            if other:
                progress.note(
                    f"{out} holds a finished training of other options or photos, which this one replaces"
                )
        if asked == "auto":
            progress.note(_where(options))
        room = (cache_bytes, gpu_bytes)
        training = _Training(scene, views, downscale, options, key, out, progress, room, initial)
        try:
            training.run()
        finally:
            training.photos.close()
        return training.finish()


class _Training:
    """What `train` holds while it is at work."""

    def __init__(
        self,
        scene: Path,
        views: ViewSet,
        downscale: float,
        options: TrainingOptions,
        key: str,
        out: Path,
        progress: Progress,
        room: tuple[int, int],
        initial: Gaussians | None,
    ) -> None:
        self.scene, self.views, self.downscale, self.options = scene, views, downscale, options
        self.key, self.out, self.progress = key, out, progress
        self.left_out: dict[str, str] = {}
        self.photos = self._photos(*room)
        self.clock = TrainingClock(options.iterations, options.seconds, options.passes * len(views.views))
        self.loss = float("nan")
        self.psnr = ""
        self.stopped = ""
        self.next_look = _TARGET_EVERY
        extent = scene_extent([view.cam_from_world for view in views.views])
        found = find_state(self.checkpoint, self.key) if initial is None else None
        if found is None and self.checkpoint.is_file():
            progress.note(f"{self.checkpoint} is of another training; this one begins anew")
        if found is not None:
            gaussians, sky = gaussians_of(found), int(found.header["sky"])
        else:
            gaussians, sky = start(views, options, progress, initial, self.leave_out)
        self.initial_count = len(gaussians)
        smoothing = smoothing_of(views, downscale, options.lens) if options.antialiased else None
        self.engine = engine_of(options)(gaussians, options, extent, len(views.views), smoothing, sky)
        if found is not None:
            restore(self.engine, found)
            told = found.header
            self.clock.step, self.clock.before = int(told["step"]), float(told["seconds"])
            self.initial_count, self.loss = int(told["initial_count"]), float(told["loss"])
            self.next_look, self.photos.place = float(told["next_look"]), int(told["place"])
            progress.note(f"goes on at step {self.clock.step:,}")

    def _photos(self, memory: int, gpu_memory: int) -> TrainingPhotos:
        """On the GPU where it trains and has room for all of them; bytes for photos here, and there."""
        views, downscale, options = self.views.views, self.downscale, self.options
        if photos_bytes(views, downscale) > gpu_memory:
            return TrainingPhotos(views, downscale, options, memory, self.leave_out)
        device = cuda_rasterizer.launcher().device
        with self.progress.stage("photos", len(views)) as stage:
            return CudaPhotos(views, downscale, options, device, stage, self.leave_out)

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.npz"

    def leave_out(self, view: PosedView, error: Exception) -> None:
        """Say once that the photo of `view` cannot be read."""
        if view.name not in self.left_out:
            self.left_out[view.name] = str(error)
            self.progress.warn(f"{view.name} is left out: {error}")

    def run(self) -> None:
        """Steps until the progress is 1, the target is reached, or the loss is no number."""
        options, clock = self.options, self.clock
        with self.progress.stage("compile") as stage:
            self._warm_up()
            stage.update(1, 1)
        clock.started = time.monotonic()
        saved = clock.seconds
        done = clock.step if options.iterations else clock.seconds
        with self.progress.stage("train", clock.length, done) as stage:
            while (f := clock.progress()) < 1 and not self.stopped:
                self._step(f)
                self._show(stage)
                if clock.seconds - saved > options.checkpoint_seconds:
                    self.save()
                    saved = clock.seconds
            stage.summary = f"{clock.step:,} steps, {self.engine.count:,} Gaussians"
        clock.before, clock.started = clock.seconds, time.monotonic()

    def _warm_up(self) -> None:
        """Compile or load the kernels before the time is taken."""
        camera = Camera("PINHOLE", 64, 64, [64.0, 64.0, 32.0, 32.0])
        if self.options.lens == "unscented":
            camera = Camera("SIMPLE_RADIAL", 64, 64, [64.0, 32.0, 32.0, 0.1])
        black = np.zeros((64, 64, 3), np.float32)
        start = take(self.engine.gaussians, np.arange(min(256, self.initial_count)))
        few = engine_of(self.options)(start, self.options, 1.0, 1)
        few.step(StepInput(0, black, None, black[0, 0], camera, self.views.views[0].cam_from_world), 0, 0.0)

    def _step(self, f: float) -> None:
        options, clock, engine = self.options, self.clock, self.engine
        seen = self._seen(clock.step, f)
        loss = engine.step(seen, clock.step, f)
        if not np.isfinite(loss):
            engine.remove_useless()
            self.stopped = f"the loss is no number at step {clock.step:,}; what was good is kept"
            self.progress.warn(self.stopped)
            return
        self.loss = loss if not np.isfinite(self.loss) else _SMOOTH * self.loss + (1 - _SMOOTH) * loss
        clock.step += 1
        if clock.step % options.densify.interval == 0:
            self._change(f)
        if options.target_psnr is not None and f >= self.next_look:
            self.next_look = f + _TARGET_EVERY
            reached = mean_psnr(self._quality(self.views.held_out))
            if reached >= options.target_psnr:
                self.stopped = f"the target is reached: {reached:.2f} dB"
                self.progress.note(self.stopped)

    def _seen(self, step: int, f: float) -> StepInput:
        row, photo = self.photos.next(coarse_factor(f, self.options.coarse))
        color, mask, background = target(photo, self.options, step)
        view = self.views.views[row]
        points = self.views.points[view.seen] if self.options.depth_weight else np.zeros((0, 3))
        return StepInput(row, color, mask, background, photo.camera, view.cam_from_world, points)

    def _change(self, f: float) -> None:
        """Add, move and remove Gaussians, as far as it is time for it."""
        options, densify, step = self.options, self.options.densify, self.clock.step
        if f < densify.start:
            return
        if f < densify.stop or (options.strategy == "mcmc" and f < 1 - (1 - densify.stop) / 2):
            wanted = target_count(f, self.initial_count, options)
            room = max(0, wanted - self.engine.count) if f < densify.stop else 0
            scored = None
            if options.strategy == "multiview":
                scored = self.engine.scores(self._score_photos(step), f)
            self.engine.densify(room, step, scored)
        elif f < 1 - (1 - densify.stop) / 2:
            self.engine.remove_useless()
        every = densify.reset_opacity_every
        if every and f < densify.stop:
            share = densify.interval / step * f  # progress of the steps since the last change
            if int(f / every) > int((f - share) / every):
                self.engine.reset_opacities()

    def _score_photos(self, step: int) -> list[StepInput]:
        """Photos of the size in use, chosen by seed and step."""
        rng = np.random.default_rng([self.options.seed, 4, step])
        found = []
        for row, photo in self.photos.some(self.options.densify.score_views, rng):
            color, mask, background = target(photo, self.options, step)
            pose = self.views.views[row].cam_from_world
            found.append(StepInput(row, color, mask, background, photo.camera, pose))
        return found

    def _quality(
        self, views: list[PosedView], perceptual: bool = False, samples: Path | None = None
    ) -> list[ViewQuality]:
        background = np.array(behind(self.options), np.float32)
        f = self.clock.progress()
        return evaluate(
            lambda camera, pose: self.engine.render(camera, pose, background, f),
            views,
            EvaluationOptions(
                self.downscale,
                behind(self.options),
                undistorted=self.options.lens == "undistort",
                masked=self.options.masks == "ignore",
                perceptual=perceptual,
                samples=samples,
            ),
            self.leave_out,
        )

    def _show(self, stage: StageProgress) -> None:
        self.clock.show(stage, f"loss {self.loss:.4f}{self.psnr}, {self.engine.count:,} Gaussians")

    def save(self) -> None:
        """Write the checkpoint, and what there is of the result, which `geo3d view` shows meanwhile."""
        seconds = self.clock.seconds
        told = {
            "step": self.clock.step,
            "seconds": seconds,
            "initial_count": self.initial_count,
            "loss": self.loss,
            "next_look": self.next_look,
            "place": self.photos.place,
            "sky": self.engine.sky,
        }
        save_state(self.checkpoint, self.engine, self.key, told)
        held_out = self._quality(self.views.held_out[:1], samples=self.out / "samples")
        if held_out:
            self.psnr = f", PSNR of {held_out[0].name} {held_out[0].psnr_db:.1f} dB"
        self._write(held_out, seconds, finished=False)

    def finish(self) -> TrainingReport:
        """Measure, write the result, and remove the checkpoint."""
        held_out: list[ViewQuality] = []
        if self.views.held_out:
            with self.progress.stage("measure") as stage:
                held_out = self._quality(self.views.held_out, True, self.out / "samples")
                if held_out:
                    stage.summary = f"PSNR {mean_psnr(held_out):.2f} dB on {len(held_out)} views held out"
        report = self._write(held_out, self.clock.before, finished=True)
        self.checkpoint.unlink(missing_ok=True)
        return report

    def _write(self, held_out: list[ViewQuality], seconds: float, finished: bool) -> TrainingReport:
        """Write splats.ply and metrics.json as they are now."""
        report = TrainingReport(
            self.out,
            self.engine.shown(),
            held_out,
            self.clock.step,
            seconds,
            self.downscale,
            len(self.views.views),
            self.views.missing,
            (*self.views.damaged, *self.left_out),
            self.stopped,
        )
        write_report(report, self.scene, scene_frame(self.scene), self.options, self.key, finished)
        return report


def _where(options: TrainingOptions) -> str:
    """What `auto` chose, in words."""
    if options.backend == "cuda":
        return "trains on the GPU"
    cause = (
        "lenses by the unscented transform are rendered there"
        if options.lens == "unscented"
        else gpu_trouble()
    )
    return f"trains on the CPU: {cause}"


def engine_of(options: TrainingOptions) -> type[CpuEngine]:
    """What trains where `options.backend` says.

    Raises
    ------
    RuntimeError
        If the backend "cuda" was asked for and cannot run here; says why and what to do.
    """
    if chosen_backend(options.backend) == "cpu":
        return CpuEngine
    from geo3d.splat.cuda_engine import CudaEngine

    return CudaEngine
