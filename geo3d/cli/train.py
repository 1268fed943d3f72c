"""`geo3d train SCENE`: Gaussian splats, or a radiance field, from photos with poses."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import arg

from geo3d.cli.common import (
    Common,
    Count,
    OptionalNumber,
    OptionalPath,
    OptionalWhole,
    Session,
    UsageError,
    Whole,
    existing_path,
    with_flags,
)
from geo3d.splat.training_options import (
    DEFAULT_MINUTES,
    Background,
    Lens,
    Masks,
    Strategy,
    TrainingBackend,
    TrainingOptions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geo3d.render.evaluation import ViewQuality
    from geo3d.splat.training_report import TrainingReport

Method = Literal["splat", "nerf"]
_DEFAULT = TrainingOptions()
_NAMES = 20  # of damaged photos that are told

SPLAT_ONLY = "budget", "strategy", "sh_degree", "antialiased", "lens", "initial_points", "sky", "depth_weight"
NERF_ONLY = "appearance", "distortion_weight", "log2_entries"


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Gaussian splats from the photos of a scene: what `geo3d render` and viewers of splats show from anywhere. Or a
    radiance field (NeRF), of which a mesh can be had.

    geo3d train scene/ --minutes 10

    geo3d train scene/ --method nerf

    Writes splats.ply (or nerf.pt), metrics.json (quality on photos that are kept out of the training) and samples/
    (such a photo beside its rendering). Run the same command again to go on after a stop; one that is finished is not
    done again.
    """

    scene: Annotated[Path, tyro.conf.Positional, arg(metavar="SCENE")]
    """Scene made by `geo3d reconstruct` or COLMAP (images/ and sparse/), or a transforms.json or its folder."""

    out: Annotated[OptionalPath, arg(aliases=["-o"], metavar="OUT", help_behavior_hint="")] = None
    """Folder to make or to go on with; splats/ or nerf/ in the scene if not given."""

    method: Method = "splat"
    """Gaussian splats, or a neural radiance field."""

    minutes: Annotated[OptionalNumber, arg(help_behavior_hint=f"(default: {DEFAULT_MINUTES:g})")] = None
    """Time to train; the schedule is fitted to what the machine does in it."""

    iterations: Annotated[OptionalWhole, arg(help_behavior_hint="")] = None
    """Steps to train, in place of --minutes; the same seed then gives the same result."""

    target_psnr: Annotated[OptionalNumber, arg(metavar="DB", help_behavior_hint="")] = None
    """Stop as soon as the photos held out are rendered this well."""

    budget: Count = _DEFAULT.budget
    """Most Gaussians: 300k, 1.5M. Of splats only, as --strategy, --sh-degree, --antialiased, --lens, --initial-points,
    --sky and --depth-weight."""

    strategy: Strategy = _DEFAULT.strategy
    """How Gaussians are added and removed."""

    downscale: Annotated[OptionalNumber, arg(help_behavior_hint="(default: to 800 pixels or less)")] = None
    """Reduce the photos by this factor."""

    hold_out: Whole = _DEFAULT.hold_out_every
    """Keep every so manieth photo out of the training, to measure with; 0 for none."""

    sh_degree: Whole = _DEFAULT.sh_degree
    """Detail of how colours change with the direction, 0 (not at all) to 3."""

    antialiased: bool = False
    """Fade what is smaller than a pixel (Mip-Splatting), for views from nearer and farther than the photos."""

    background: Background = _DEFAULT.background
    """Colour behind everything in training; random, another one at every step, leaves no holes in what photos show."""

    lens: Lens = _DEFAULT.lens
    """Photos of a distorted or fisheye lens: resample them, or render through the lens itself (slower)."""

    masks: Masks = _DEFAULT.masks
    """What the masked part of a photo says: nothing, or that nothing is there."""

    initial_points: Count = _DEFAULT.initial_points
    """Random points to start from where the scene has none."""

    sky: bool = False
    """Start with a far background too, where no point is: for sky and what lies on the horizon."""

    depth_weight: Annotated[OptionalNumber, arg(metavar="W", help_behavior_hint="(default: 0)")] = None
    """Hold what is seen to the depth of the scene's points, by this weight; 0.1 is much."""

    exposure: bool = False
    """Fit brightness and colour of each photo."""

    appearance: bool = False
    """Let colours differ from photo to photo, as with the time of the day. Of a radiance field only, as
    --distortion-weight and --log2-entries."""

    distortion_weight: Annotated[OptionalNumber, arg(metavar="W", help_behavior_hint="(default: 0)")] = None
    """Draw what a ray sees together, against mist, by this weight; 0.01 is much."""

    log2_entries: Annotated[OptionalWhole, arg(help_behavior_hint="(default: 17, on a GPU 19)")] = None
    """Detail of the field: each level of its grid has at most 2^N entries."""

    refine_poses: bool = False
    """Move the cameras too."""

    backend: TrainingBackend = "auto"
    """Train on the cpu or on the GPU (cuda); auto takes the GPU where there is one that can be used."""

    seed: Whole = 0
    """Seed of every random choice."""


def to_training_options(options: Options) -> TrainingOptions:
    """The library's options; a UsageError when they contradict each other."""
    try:
        return TrainingOptions(
            minutes=options.minutes,
            iterations=options.iterations,
            target_psnr=options.target_psnr,
            budget=options.budget,
            strategy=options.strategy,
            downscale=options.downscale,
            hold_out_every=options.hold_out,
            sh_degree=options.sh_degree,
            antialiased=options.antialiased,
            background=options.background,
            lens=options.lens,
            masks=options.masks,
            initial_points=options.initial_points,
            sky=options.sky,
            depth_weight=options.depth_weight or 0.0,
            exposure=options.exposure,
            refine_poses=options.refine_poses,
            backend=options.backend,
            seed=options.seed,
        )
    except ValueError as error:
        raise UsageError(with_flags(str(error), TrainingOptions)) from error


def kept_after_interrupt(options: Options) -> str:
    """What Ctrl-C leaves behind."""
    return "Run the same command again to go on from the last checkpoint, at most a minute back."


def run(options: Options, session: Session) -> int:
    """Train, and say how good it is and where it is."""
    if options.method == "nerf":
        from geo3d.cli.train_nerf import run_nerf

        return run_nerf(options, session)
    refuse_given(options, NERF_ONLY, "nerf")
    chosen = to_training_options(options)
    check_place(options, chosen.backend)
    from geo3d.splat.trainer import train

    report = train(options.scene, options.out, chosen, session.progress)
    show_outcome(report, session)
    return 0


def refuse_given(options: Options, names: tuple[str, ...], method: Method) -> None:
    """UsageError if one of the options `names`, which only `method` has, was given."""
    defaults = {field.name: field.default for field in fields(Options)}
    for name in names:
        if getattr(options, name) != defaults[name]:
            raise UsageError(f"--{name.replace('_', '-')} is of --method {method}: leave it out")


def check_place(options: Options, backend: str) -> None:
    """UsageError where there is no scene, no folder to write into, or no GPU that was asked for."""
    existing_path(options.scene, "the scene")
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise UsageError(f"-o {options.out} is a file; give a folder")
    if backend == "cuda":
        from geo3d.gpu import why_not

        if (reason := why_not()) is not None:
            raise UsageError(f"--backend cuda cannot run here: {reason}. Leave it out to train on the CPU.")


def show_outcome(report: TrainingReport, session: Session) -> None:
    """A few lines about what came out."""
    from geo3d.render.evaluation import mean_psnr

    session.say(
        f"{len(report.gaussians):,} Gaussians after {report.steps:,} steps of photos at 1/{report.downscale:g} of "
        "their size"
    )
    show_photos(report.held_out, report.damaged, session)
    session.say(f"{report.out / 'splats.ply'}; photos beside renderings in {report.out / 'samples'}")
    session.result(
        out=str(report.out),
        gaussians=len(report.gaussians),
        steps=report.steps,
        seconds=round(report.seconds, 2),
        psnr_db=mean_psnr(report.held_out) if report.held_out else None,
        stopped=report.stopped,
        photos_missing=list(report.missing),
        photos_damaged=list(report.damaged),
    )


def show_photos(held_out: Sequence[ViewQuality], damaged: Sequence[str], session: Session) -> None:
    """How well the photos held out are met, and which photos cannot be read."""
    from geo3d.render.evaluation import mean_psnr

    if held_out:
        worst = min(held_out, key=lambda view: view.psnr_db)
        session.say(
            f"PSNR {mean_psnr(held_out):.2f} dB on {len(held_out)} photos held out "
            f"(lowest: {worst.name}, {worst.psnr_db:.2f} dB)"
        )
    if damaged:
        some = ", ".join(damaged[:_NAMES]) + (", ..." if len(damaged) > _NAMES else "")
        session.say(f"{len(damaged)} of the photos cannot be read: {some}")
