"""`geo3d reconstruct PHOTOS -o SCENE`: the main job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import arg

from geo3d.cli.common import (
    Common,
    Numbers,
    OptionalNumber,
    OptionalPath,
    OptionalStage,
    OptionalWhole,
    OptionalWord,
    Session,
    UsageError,
    Whole,
    existing_file,
    existing_path,
    with_flags,
)
from geo3d.options import CameraPer, Matching, Quality, ReconstructOptions

if TYPE_CHECKING:
    from geo3d.pipeline import ReconstructReport

_CAMERAS_SHOWN = 4
_REASONS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Camera poses and 3D points from a folder of photos, or from a video.

    The scene folder is a COLMAP workspace (images/, database.db, sparse/0/) with points.ply,
    transforms.json and report.html beside it. Run the same command again to go on after a stop; stages
    whose photos and options have not changed are not repeated.
    """

    photos: Annotated[Path, tyro.conf.Positional, arg(metavar="PHOTOS")]
    """Folder of photos; folders below it are read too. Or a video, whose sharp, overlapping frames are taken."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="SCENE")]
    """Scene folder to make or to go on with."""

    calib: Annotated[OptionalPath, arg(help_behavior_hint="")] = None
    """File with the calibration of the camera."""

    camera_model: Annotated[OptionalWord, arg(metavar="MODEL", help_behavior_hint="")] = None
    """Lens model by COLMAP's name: PINHOLE, SIMPLE_RADIAL, OPENCV, OPENCV_FISHEYE, ..."""

    camera_params: Annotated[Numbers, arg(help_behavior_hint="")] = None
    """Known intrinsics in COLMAP's order, pixels, centre of the top-left pixel at (0.5, 0.5)."""

    fix_intrinsics: bool = False
    """Keep the given intrinsics; otherwise they are refined."""

    camera_per: CameraPer = "exif"
    """Photos that share a camera: same EXIF and size, same folder, or none."""

    max_size: Annotated[OptionalWhole, arg(help_behavior_hint="(default: that of --quality)")] = None
    """Longest side in pixels at which features are sought."""

    matching: Matching = "auto"
    """Pairs of photos to compare: all, neighbours in a sequence, by GPS, or by what they show."""

    gps_radius_m: Annotated[OptionalNumber, arg(help_behavior_hint="(default: the nearest)")] = None
    """Photos further apart are no neighbours by GPS."""

    pairs: Annotated[OptionalPath, arg(help_behavior_hint="")] = None
    """Compare only these pairs: a text file, two photo names a line."""

    frames: Whole = 250
    """Most frames to take of a video."""

    quality: Quality = "high"
    """Number of features and size of the photos; lower is faster."""

    seed: Whole = 0
    """Seed of every random choice."""

    threads: Annotated[OptionalWhole, arg(help_behavior_hint="(default: all cores)")] = None
    """Number of threads."""

    gcp: Annotated[OptionalPath, arg(help_behavior_hint="")] = None
    """Ground control points: a list in OpenDroneMap's format (gcp_list.txt)."""

    distance: Annotated[
        tyro.conf.UseAppendAction[tuple[tuple[str, str, str], ...]],
        arg(metavar="A B METRES", help_behavior_hint="(may be repeated)"),
    ] = ()
    """Known distance between the cameras of two photos, or between two points of --gcp."""

    marker_size_m: Annotated[
        OptionalNumber, arg(name="marker-size", metavar="METRES", help_behavior_hint="")
    ] = None
    """Edge of printed ArUco or AprilTag markers in the scene: the scale is taken from them."""

    from_stage: Annotated[OptionalStage, arg(name="from", help_behavior_hint="")] = None
    """Run this stage and those after it again."""

    until_stage: Annotated[OptionalStage, arg(name="until", help_behavior_hint="")] = None
    """Stop after this stage."""


def to_reconstruct_options(options: Options) -> ReconstructOptions:
    """The library's options; a UsageError when they contradict each other."""
    try:
        return ReconstructOptions(
            calib=options.calib,
            camera_model=options.camera_model,
            camera_params=options.camera_params,
            fix_intrinsics=options.fix_intrinsics,
            camera_per=options.camera_per,
            max_size=options.max_size,
            matching=options.matching,
            gps_radius_m=options.gps_radius_m,
            seed=options.seed,
            from_stage=options.from_stage,
            until_stage=options.until_stage,
            quality=options.quality,
            pairs=options.pairs,
            threads=options.threads,
            gcp=options.gcp,
            distance=options.distance,  # pyright: ignore[reportArgumentType]  (metres are read there)
            marker_size_m=options.marker_size_m,
            frames=options.frames,
        )
    except ValueError as error:
        raise UsageError(with_flags(str(error), ReconstructOptions)) from error


def kept_after_interrupt(options: Options) -> str:
    """What Ctrl-C leaves behind."""
    return f"What was finished is kept in {options.out}; run the same command again to go on from there."


def run(options: Options, session: Session) -> int:
    """Reconstruct, and say where the result is."""
    chosen = to_reconstruct_options(options)
    existing_path(options.photos, "the folder of photos")
    if options.photos.is_file():
        from geo3d.images import PHOTO_SUFFIXES

        if options.photos.suffix.lower() in PHOTO_SUFFIXES:
            raise UsageError(f"{options.photos} is a file; give the folder that holds the photos, or a video")
    if options.calib is not None:
        existing_file(options.calib, "--calib", "a file with the calibration (.json, .yml, .xml, .txt, .bin)")
    if options.pairs is not None:
        existing_file(options.pairs, "--pairs", "a text file with two photo names a line")
    if options.gcp is not None:
        existing_file(options.gcp, "--gcp", "a list of ground control points (gcp_list.txt)")
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"-o {options.out} is a file; give a folder")

    _check_fixed(options)
    from geo3d.pipeline import reconstruct

    report = reconstruct(options.photos, options.out, chosen, session.progress)
    show_outcome(report, session)
    if report.components:
        session.say(f"Open {options.out / 'report.html'} in a browser to see it.")
    return 0


def _check_fixed(options: Options) -> None:
    """--fix-intrinsics needs intrinsics: given, or in a database made elsewhere."""
    if not options.fix_intrinsics or options.calib is not None or options.camera_params is not None:
        return
    from geo3d.io import is_own

    database = options.out / "database.db"
    if not database.exists() or is_own(database):
        raise UsageError("--fix-intrinsics needs a calibration: give --calib FILE, or --camera-params")


def show_outcome(report: ReconstructReport, session: Session) -> None:
    """A few lines about what came out, and what did not."""
    from geo3d.viz.summary import summarize, two_digits

    models = [summarize(model) for model in report.components]
    placed = sum(model.registered for model in models)
    if models:
        points, seen = sum(m.points for m in models), sum(m.observations for m in models)
        error = sum(m.mean_error_px * m.observations for m in models if m.observations) / max(seen, 1)
        unused = len(set(report.unregistered) - set(report.photos))
        session.say(
            f"{placed} of {len(report.photos)} photos placed"
            + (f" ({unused} more file{'s' * (unused > 1)} not used)" if unused else "")
            + f", {points:,} points, reprojection error {error:.2f} px (mean), "
            f"{seen / max(points, 1):.1f} photos a point"
        )
        for camera_id, camera in sorted(report.components[0].cameras.items())[:_CAMERAS_SHOWN]:
            std = report.camera_std.get(camera_id)
            values = ", ".join(
                f"{name} {value:.6g}"
                + (f" +- {two_digits(std[k])}" if std is not None and std[k] > 0 else "")
                for k, (name, value) in enumerate(zip(camera.param_names, camera.params))
            )
            session.say(f"  camera {camera_id}: {camera.model} {values}")
    if "summary" in report.georeference:
        session.say(report.georeference["summary"])
    if len(models) > 1:
        session.say(
            f"The photos fall into {len(models)} models: {' + '.join(str(m.registered) for m in models)}."
        )
    for name, (reason, advice) in list(report.unregistered.items())[:_REASONS_SHOWN]:
        session.say(f"  not placed: {name}: {reason}" + (f" ({advice})" if advice else ""))
    if len(report.unregistered) > _REASONS_SHOWN:
        session.say(f"  ... and {len(report.unregistered) - _REASONS_SHOWN} more; report.html lists them all")
    for line in report.warnings:
        session.progress.warn(line)
    session.result(
        scene=str(report.scene),
        photos=len(report.photos),
        registered=placed,
        models=[
            {"registered": m.registered, "points": m.points, "mean_error_px": m.mean_error_px} for m in models
        ],
        unregistered={name: {"reason": r, "advice": a} for name, (r, a) in report.unregistered.items()},
        georeference=report.georeference,
        timings=report.timings,
        warnings=report.warnings,
    )
