"""`geo3d train SCENE --method nerf`: a neural radiance field from photos with poses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geo3d.cli.common import Session, UsageError, with_flags
from geo3d.cli.train import SPLAT_ONLY, Options, check_place, refuse_given, show_photos
from geo3d.nerf.training_options import TrainingOptions

if TYPE_CHECKING:
    from geo3d.nerf.training_report import TrainingReport

_APPEARANCE = 8  # numbers a photo


def to_training_options(options: Options) -> TrainingOptions:
    """The library's options; a UsageError when they contradict each other."""
    refuse_given(options, SPLAT_ONLY, "splat")
    try:
        return TrainingOptions(
            minutes=options.minutes,
            iterations=options.iterations,
            target_psnr=options.target_psnr,
            downscale=options.downscale,
            hold_out_every=options.hold_out,
            background=options.background,
            masks=options.masks,
            distortion_weight=options.distortion_weight or 0.0,
            log2_entries=options.log2_entries,
            appearance=_APPEARANCE if options.appearance else 0,
            exposure=options.exposure,
            refine_poses=options.refine_poses,
            backend=options.backend,
            seed=options.seed,
        )
    except ValueError as error:
        raise UsageError(with_flags(str(error), Options)) from error


def run_nerf(options: Options, session: Session) -> int:
    """Train, and say how good it is and where it is."""
    chosen = to_training_options(options)
    check_place(options, chosen.backend)
    from geo3d.nerf.trainer import train

    report = train(options.scene, options.out, chosen, session.progress)
    show_outcome(report, session)
    return 0


def show_outcome(report: TrainingReport, session: Session) -> None:
    """A few lines about what came out."""
    from geo3d.render.evaluation import mean_psnr

    session.say(
        f"{report.samples / 1e6:,.0f} million samples in {report.steps:,} steps, of photos at 1/{report.downscale:g} "
        "of their size"
    )
    show_photos(report.held_out, report.damaged, session)
    session.say(f"{report.out / 'nerf.pt'}; photos beside renderings in {report.out / 'samples'}")
    session.result(
        out=str(report.out),
        steps=report.steps,
        samples=report.samples,
        seconds=round(report.seconds, 2),
        psnr_db=mean_psnr(report.held_out) if report.held_out else None,
        stopped=report.stopped,
        photos_missing=list(report.missing),
        photos_damaged=list(report.damaged),
    )
