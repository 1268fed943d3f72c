"""Train a radiance field on a scene: photos with poses in, nerf.pt and its quality on views held out.

One loop: random pixels of all photos, and a step of the optimiser; every so often a look at where there is something.
What changes on the way is a function of the progress f (`geo3d.nerf.training_options`).

Mildenhall et al., NeRF, ECCV 2020; Müller et al., Instant Neural Graphics Primitives, SIGGRAPH 2022.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np

from geo3d.gpu.backend import chosen_backend, gpu_trouble
from geo3d.nerf.cuda_memory import check_gpu_memory, free_gpu_bytes
from geo3d.nerf.engine import CpuEngine, field_shape
from geo3d.nerf.model_file import read_tensors, write_tensors
from geo3d.nerf.ray_pool import RayPool
from geo3d.nerf.scene_bounds import scene_bounds
from geo3d.nerf.training_memory import check_memory
from geo3d.nerf.training_options import GPU_STEPS, TrainingOptions
from geo3d.nerf.training_report import LENGTH, TrainingReport, finished_before, write_report
from geo3d.render.checkpoint import Checkpoint
from geo3d.render.evaluation import EvaluationOptions, ViewQuality, evaluate, mean_psnr
from geo3d.render.photo_size import chosen_downscale
from geo3d.render.scene_shape import scene_shape
from geo3d.render.training_clock import TrainingClock
from geo3d.render.training_key import views_key
from geo3d.render.views import PosedView, ViewSet, load_views
from geo3d.util.files import folder_lock, remove_partial
from geo3d.util.progress import Progress, StageProgress
from geo3d.util.require import require

_KIND = "nerf training"
_SMOOTH = 0.98  # of the loss that is shown
_ONE_SIDE_DEG = 90.0
_TARGET_EVERY = 0.05  # progress between looks at the views held out, with a target
_WHITE, _BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


def train(
    scene: str | Path,
    out: str | Path | None = None,
    options: TrainingOptions | None = None,
    progress: Progress | None = None,
) -> TrainingReport:
    """Train a radiance field on a scene.

    A training of the same options that was stopped goes on, also when it shall end sooner or later now. One that was
    finished is not done again.

    Parameters
    ----------
    scene : path-like
        What `geo3d.render.load_views` takes: a folder made by `geo3d reconstruct` or COLMAP, or transforms.json.
    out : path-like, optional
        Folder for nerf.pt, metrics.json, samples/ and the checkpoint; by default `nerf` in the scene's folder.
    options : TrainingOptions, optional
    progress : Progress, optional

    Returns
    -------
    TrainingReport

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_views`; or if the photos show nothing, or the field is no number before the first checkpoint.
    MemoryError
        If the field does not fit into the memory, or into the GPU's; the message says what would.
    RuntimeError
        If the backend "cuda" was asked for and cannot run here; says why and what to do.
    ImportError
        If PyTorch is missing, which writes the files.
    BlockingIOError
        If another process trains into the same folder.
    """
    require("torch")  # it writes the files: better missed now than when the training is done
    options = options or TrainingOptions()
    asked, options = options.backend, options.for_backend(backend_of(options))
    progress = progress or Progress()
    scene = Path(scene)
    folder = scene if scene.is_dir() else scene.parent
    out = folder / "nerf" if out is None else Path(out)
    views = load_views(scene, options.hold_out_every)
    downscale = chosen_downscale([*views.views, *views.held_out], options.downscale)
    cache_bytes = check_memory(views, downscale, options)
    if options.backend == "cuda":
        cache_bytes = min(cache_bytes, check_gpu_memory(views, downscale, options, free_gpu_bytes()))
    with folder_lock(out):
        remove_partial(out)
        key = training_key(views, options)
        report, other = finished_before(out, options, key)
        if report is not None:
            progress.note(
                f"{out} holds this training already, finished after {report.steps:,} steps: nothing to do"
                + (f" ({report.stopped})" if report.stopped else "")
                + ". A longer one, other options or another folder begin anew"
            )
            return report
        if other:
            progress.note(
                f"{out} holds a finished training of other options or photos, which this one replaces"
            )
        if asked == "auto":
            progress.note(_where(options))
        training = _Training(scene, views, downscale, options, key, out, progress, cache_bytes)
        try:
            training.run()
        finally:
            training.pool.close()
        return training.finish()


def training_key(views: ViewSet, options: TrainingOptions) -> str:
    """Hash of all that a training depends on but its length; a checkpoint of another key is of no use.

    Parameters
    ----------
    views : ViewSet
    options : TrainingOptions
    """
    left_out = (*LENGTH, "checkpoint_seconds")
    return views_key(
        views, {"method": "nerf"} | {k: v for k, v in asdict(options).items() if k not in left_out}
    )


def behind(options: TrainingOptions) -> tuple[float, float, float]:
    """The colour that measured views are before.

    Parameters
    ----------
    options : TrainingOptions
    """
    return _WHITE if options.background == "white" else _BLACK


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
        cache_bytes: int,
    ) -> None:
        self.scene, self.views, self.downscale, self.options = scene, views, downscale, options
        self.key, self.out, self.progress = key, out, progress
        self.left_out: dict[str, str] = {}
        self.pool = RayPool(
            views.views, downscale, options.masks == "transparent", cache_bytes, options.seed, self.leave_out
        )
        self.clock = TrainingClock(
            options.iterations, options.seconds, GPU_STEPS if options.backend == "cuda" else None
        )
        self.loss = float("nan")
        self.psnr = ""
        self.stopped = ""
        self.smaller = False  # steps than were asked for, as the memory was full
        self.next_look = _TARGET_EVERY
        self.curve: list[tuple[float, float]] = []
        self.bounds = scene_bounds(views, options, self.leave_out)
        if (arc := _seen_arc(views)) is not None:
            progress.note(
                f"all photos are from one side, an arc of at most {arc:.0f} degrees: what it hides is guesswork, and "
                "how far away things are is less certain"
            )
        poses = [view.cam_from_world for view in views.views]
        self.engine = engine_of(options)(options, field_shape(options), self.bounds, poses)
        found = self._found()
        if found is None and self.checkpoint.is_file():
            progress.note(f"{self.checkpoint} is damaged or of another training; this one begins anew")
        if found is not None:
            self._go_on_from(found)
            progress.note(f"goes on at step {self.clock.step:,}")

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def _found(self) -> Checkpoint | None:
        """The checkpoint, if it is one of this training."""
        try:
            found = read_tensors(self.checkpoint, _KIND)
        except (FileNotFoundError, ValueError):
            return None
        return found if found.header.get("key") == self.key else None

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
                if clock.seconds - saved > options.checkpoint_seconds and not self.stopped:
                    self.save()
                    saved = clock.seconds
            if not self.stopped and not self._sound():
                self._break_off("the field")
            stage.summary = f"{clock.step:,} steps, {self.engine.samples / 1e6:,.1f} million samples"
        clock.before, clock.started = clock.seconds, time.monotonic()

    def _warm_up(self) -> None:
        """Compile or load the kernels before the time is taken."""
        few = engine_of(self.options)(self.options, self.engine.shape, self.bounds, self.engine.given)
        few.advance(self.pool, 0, 0.0)
        camera = self.pool.camera(0)
        scale = 16 / max(camera.width, camera.height)
        small = camera.rescaled(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))
        few.render(small, self.views.views[0].cam_from_world, np.zeros(3, np.float32))

    def _step(self, f: float) -> None:
        options, clock = self.options, self.clock
        loss = self._advance(f)
        if not np.isfinite(loss):
            self._break_off("the loss or its gradient")
            return
        self.loss = loss if not np.isfinite(self.loss) else _SMOOTH * self.loss + (1 - _SMOOTH) * loss
        clock.step += 1
        if options.target_psnr is not None and f >= self.next_look:
            self.next_look = f + _TARGET_EVERY
            reached = mean_psnr(self._quality(self.views.held_out))
            if reached >= options.target_psnr:
                self.stopped = f"the target is reached: {reached:.2f} dB"
                self.progress.note(self.stopped)

    def _sound(self) -> bool:
        """Whether all numbers of the field are some: ReLU can hide it from the loss when they are not."""
        return all(np.isfinite(part).all() for part in self.engine.model().parameters.values())

    def _break_off(self, what: str) -> None:
        """End the training as `what` is no number: with the field as it is or, if that is it, of the checkpoint."""
        at = f"{what} is no number at step {self.clock.step:,}"
        advice = (
            "Lower rates (in Python: rates=FieldRates(grid=5e-3, networks=5e-3)), or look for photos with broken "
            "pixels"
        )
        if not self._sound():
            found = self._found()
            if found is None:
                raise ValueError(f"{at}, and there is no checkpoint yet to go back to. {advice}")
            self._go_on_from(found)
        self.stopped = f"{at}; what was good is kept, of {self.clock.step:,} steps. {advice}"
        self.progress.warn(self.stopped)

    def _go_on_from(self, found: Checkpoint) -> None:
        """Take the state of a checkpoint."""
        self.engine.restore(found.arrays)
        told = found.header
        self.clock.step, self.clock.before = int(told["step"]), float(told["seconds"])
        self.clock.started = time.monotonic()
        self.loss, self.next_look = float(told["loss"]), float(told["next_look"])
        self.curve = [(float(s), float(p)) for s, p in told["curve"]]

    def _advance(self, f: float) -> float:
        """A step of the engine, with fewer rays where the memory of the GPU was not enough."""
        while True:
            try:
                return self.engine.advance(self.pool, self.clock.step, f)
            except RuntimeError as error:
                share = self.engine.with_less_memory(error)
                if not self.smaller:
                    self.smaller = True
                    self.progress.warn(
                        f"the GPU's memory is full: steps go on with {share:.0%} of the rays, or fewer where that is "
                        "not enough; a lower log2_entries or a higher downscale leave more room"
                    )

    def _quality(
        self, views: Sequence[PosedView], perceptual: bool = False, samples: Path | None = None
    ) -> list[ViewQuality]:
        background = np.array(behind(self.options), np.float32)
        return evaluate(
            lambda camera, pose: self.engine.render(camera, pose, background).color,
            views,
            EvaluationOptions(
                self.downscale,
                behind(self.options),
                undistorted=False,
                masked=self.options.masks == "ignore",
                perceptual=perceptual,
                samples=samples,
            ),
            self.leave_out,
        )

    def _show(self, stage: StageProgress) -> None:
        rate = self.engine.samples / max(self.clock.seconds, 1e-9) / 1e6
        self.clock.show(stage, f"loss {self.loss:.4f}{self.psnr}, {rate:.2f} million samples/s")

    def save(self) -> None:
        """Write the checkpoint, and what there is of the result; end the training if that is no number."""
        if not self._sound():
            self._break_off("the field")
            return
        seconds = self.clock.seconds
        held_out = self._quality(self.views.held_out[:1], samples=self.out / "samples")
        if held_out:
            self.psnr = f", PSNR of {held_out[0].name} {held_out[0].psnr_db:.1f} dB"
            self.curve.append((round(seconds, 2), held_out[0].psnr_db))
        told = {
            "key": self.key,
            "step": self.clock.step,
            "seconds": seconds,
            "loss": self.loss,
            "next_look": self.next_look,
            "curve": self.curve,
        }
        write_tensors(self.checkpoint, _KIND, self.engine.arrays(), told)
        self._write(held_out, seconds, finished=False)

    def finish(self) -> TrainingReport:
        """Measure, write the result, and remove the checkpoint."""
        held_out: list[ViewQuality] = []
        if self.views.held_out:
            with self.progress.stage("measure") as stage:
                held_out = self._quality(self.views.held_out, True, self.out / "samples")
                if held_out:
                    stage.summary = f"PSNR {mean_psnr(held_out):.2f} dB on {len(held_out)} views held out"
                    self.curve.append((round(self.clock.before, 2), held_out[0].psnr_db))
        report = self._write(held_out, self.clock.before, finished=True)
        self.checkpoint.unlink(missing_ok=True)
        return report

    def _write(self, held_out: list[ViewQuality], seconds: float, finished: bool) -> TrainingReport:
        """Write nerf.pt and metrics.json as they are now."""
        report = TrainingReport(
            self.out,
            self.engine.model(),
            held_out,
            self.clock.step,
            self.engine.samples,
            seconds,
            self.downscale,
            len(self.views.views),
            self.views.missing,
            (*self.views.damaged, *self.left_out),
            self.stopped,
            tuple(self.curve),
        )
        write_report(report, self.scene, self.options, self.key, finished)
        return report


def _seen_arc(views: ViewSet) -> float | None:
    """Degrees of the arc about what they look at from which all photos are, if it is narrow."""
    points = views.points[np.isfinite(views.points).all(axis=1)]
    try:
        arc = scene_shape([view.cam_from_world for view in views.views], views.up, points).arc()
    except ValueError:  # they look away from each other
        return None
    degrees = None if arc is None else float(np.degrees(arc[1] - arc[0]))
    return degrees if degrees is not None and degrees < _ONE_SIDE_DEG else None


def backend_of(options: TrainingOptions) -> Literal["cpu", "cuda"]:
    """Where `options` are trained: "auto" takes a GPU that can do what is asked for.

    Parameters
    ----------
    options : TrainingOptions

    Raises
    ------
    RuntimeError
        If the backend "cuda" was asked for and cannot run here; says why and what to do.
    """
    if options.backend == "auto" and options.appearance:
        return "cpu"
    return "cuda" if chosen_backend(options.backend) == "cuda" else "cpu"


def _where(options: TrainingOptions) -> str:
    """What "auto" chose, in words."""
    if options.backend == "cuda":
        return "trains on the GPU"
    return f"trains on the CPU: {gpu_trouble() or 'appearance is learnt there'}"


def engine_of(options: TrainingOptions) -> type[CpuEngine]:
    """What trains on the backend of `options`, "cpu" or "cuda".

    Parameters
    ----------
    options : TrainingOptions
    """
    if options.backend != "cuda":
        return CpuEngine
    from geo3d.nerf.cuda_engine import CudaEngine

    return CudaEngine
