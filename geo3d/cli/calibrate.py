"""`geo3d calibrate PHOTOS`: the camera, from photos of a board."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import arg

from geo3d.cli.common import (
    Common,
    OptionalGridSize,
    Session,
    UsageError,
    existing_path,
)
from geo3d.cli.targets import Kind, TargetFlags, kind_of, make_target, with_lengths, with_unit

if TYPE_CHECKING:
    from geo3d.calibration import Calibration, FoundBoards, HeldOut, Target


@dataclass(frozen=True, kw_only=True)
class Options(TargetFlags, Common):
    """The camera that took a folder of photos of a board: OUT/camera.json, for `--calib` of other commands.

    geo3d calibrate photos/ -o calib/

    geo3d calibrate photos/ --board 9x6 --square 25mm

    geo3d calibrate clip.mp4 --square 25mm

    geo3d calibrate photos/ --kind charuco --board 8x5 --square 30mm
    """

    photos: Annotated[Path, tyro.conf.Positional, arg(metavar="PHOTOS")]
    """Folder of photos of one camera, a pattern as 'photos/left*', or a video: ten or more views of the board, tilted
    to all sides, near and far, into the corners."""

    kind: Annotated[Literal["auto", Kind], arg(metavar="KIND")] = "auto"
    """checkerboard, charuco, aprilgrid, circles or asymmetric-circles; auto: what the photos show."""

    board: Annotated[OptionalGridSize, arg(help_behavior_hint="(default: what the photos show)")] = None
    """Columns and rows as 9x6: inner corners of a checkerboard (one less than squares), squares of a charuco board,
    tags, or discs."""

    model: Annotated[str, arg(metavar="MODEL")] = "auto"
    """Lens model, as OPENCV or OPENCV_FISHEYE; auto: the simplest that is as good as any on photos held out."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")] = Path("calib")
    """Folder for camera.json; one that is there is replaced."""


def run(options: Options, session: Session) -> int:
    """Detect, choose the model, fit, write, and say how good it is."""
    if not glob.has_magic(str(options.photos)):
        existing_path(options.photos, "the folder, pattern or video")
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"-o {options.out} is a file; give a folder")
    from geo3d.calibration import CalibrateOptions, calibrate, choose_model, find_boards, observe
    from geo3d.cameras import MODELS
    from geo3d.io import write_camera_json

    if options.model != "auto" and options.model not in MODELS:
        raise UsageError(f"--model {options.model}: expected auto or one of {', '.join(MODELS)}")
    with session.progress.stage("detect", total=0) as stage:
        found = find_boards(options.photos, _target(options), progress=stage.update)
        stage.summary = f"{len(found.detections)} photos show the board"
    _say_board(found, options, session)
    model, chosen, tried = options.model, None, []
    if model == "auto":
        _, observations = observe(found.detections, found.target)
        with session.progress.stage("choose", total=0) as stage:
            chosen, tried = choose_model(observations, found.width, found.height)
            stage.summary = f"{chosen.model}, {chosen.rms_px:.3f} px on photos held out"
        model = chosen.model
    with session.progress.stage("fit", total=0) as stage:
        done = calibrate(
            found.detections, found.target, found.width, found.height, CalibrateOptions(model=model)
        )
        stage.summary = f"{done.rms_px:.3f} px over {len(done.names)} photos"
    options.out.mkdir(parents=True, exist_ok=True)
    write_camera_json(options.out / "camera.json", done.camera)
    _say_result(done, chosen, tried, options, session)
    session.result(
        out=str(options.out / "camera.json"),
        model=done.camera.model,
        params=dict(zip(done.camera.param_names, done.camera.params.tolist())),
        params_std=dict(zip(done.camera.param_names, done.params_std.tolist())),
        width=found.width,
        height=found.height,
        board=found.target.label,
        photos=len(done.names),
        rms_px=done.rms_px,
        held_out_rms_px=None if chosen is None else chosen.rms_px,
        skipped=found.skipped,
        left_out=done.left_out,
    )
    return 0


def _target(options: Options) -> Target:
    """The target given, or the one that the photos show with the lengths given."""
    from geo3d.calibration import guess_board

    kind = options.kind
    if options.board is not None:
        kind = "checkerboard" if kind == "auto" else kind
        return make_target(with_unit(options, kind), kind, options.board)
    guessed = guess_board(options.photos)
    if kind not in ("auto", kind_of(guessed)):
        raise UsageError(
            f"the photos show a {guessed.label.split(',')[0]}, not {kind}; say --board with its columns and rows"
        )
    return with_lengths(guessed, options)


def _say_board(found: FoundBoards, options: Options, session: Session) -> None:
    how = "found in the photos; --board says otherwise" if options.board is None else "as given"
    known = any((options.square, options.tag, options.spacing))
    label = found.target.label if known else found.target.label.split(",")[0]
    session.say(f"board: {label} ({how})" + ("" if known else "; its lengths are not given"))
    for name, reason in found.skipped.items():
        session.say(f"  {name} is not used: {reason}")


def _say_result(
    done: Calibration, chosen: HeldOut | None, tried: list[HeldOut], options: Options, session: Session
) -> None:
    if chosen is not None:
        session.say("lens models on photos held out:")
        for entry in sorted(tried, key=lambda entry: entry.params):
            mark = "  <- taken: the simplest that is as good as any" if entry is chosen else ""
            mark = f"  refused: {entry.refused}" if entry.refused else mark
            error = f"{entry.rms_px:.3f} px" if entry.rms_px < float("inf") else "-"
            session.say(f"  {entry.model:<18} {entry.params:>2} parameters  {error:>8}{mark}")
    camera = done.camera
    session.say(f"camera: {camera.model}, {camera.width}x{camera.height} pixels")
    for name, value, deviation in zip(camera.param_names, camera.params, done.params_std):
        session.say(f"  {name:<4} {value:12.6g} +- {deviation:.2g}")
    session.say(f"{done.rms_px:.3f} px over all corners of {len(done.names)} photos")
    worst = sorted(done.names, key=lambda name: -float(done.errors_px[name].mean()))[:3]
    session.say("largest errors: " + ", ".join(f"{n} {done.errors_px[n].mean():.2f} px" for n in worst))
    if done.corners_left_out:
        session.say(f"{done.corners_left_out} corners were too far off and have no say")
    for name, reason in done.left_out.items():
        session.say(f"  {name} is not used: {reason}")
    session.say(f"written: {options.out / 'camera.json'}; use it as --calib {options.out / 'camera.json'}")
