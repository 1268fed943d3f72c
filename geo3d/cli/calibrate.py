"""`geo3d calibrate PHOTOS`: the camera, from photos of a checkerboard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import arg

from geo3d.cli.common import (
    Common,
    OptionalGridSize,
    OptionalLength,
    Session,
    UsageError,
    existing_folder,
)

if TYPE_CHECKING:
    from geo3d.calibration import Calibration, FoundBoards, HeldOut


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """The camera that took a folder of photos of a checkerboard: OUT/camera.json, for `--calib` of other commands."""

    photos: Annotated[Path, tyro.conf.Positional, arg(metavar="PHOTOS")]
    """Folder of photos of one camera: ten or more, the board tilted to all sides, near and far, into the corners."""

    board: Annotated[OptionalGridSize, arg(help_behavior_hint="(default: what most photos show)")] = None
    """Inner corners of the checkerboard as 9x6, columns and rows: one less than squares."""

    square: Annotated[OptionalLength, arg(help_behavior_hint="")] = None
    """Edge of a square as 25mm; without it lengths are in squares, which makes no difference to the camera."""

    model: Annotated[str, arg(metavar="MODEL")] = "auto"
    """Lens model, as OPENCV or OPENCV_FISHEYE; auto: the simplest that is as good as any on photos held out."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")] = Path("calib")
    """Folder for camera.json; one that is there is replaced."""


def run(options: Options, session: Session) -> int:
    """Detect, choose the model, fit, write, and say how good it is."""
    existing_folder(options.photos, "the folder of photos")
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"-o {options.out} is a file; give a folder")
    from geo3d.calibration import CalibrateOptions, calibrate, choose_model, find_boards, observe
    from geo3d.cameras import MODELS
    from geo3d.io import write_camera_json

    if options.model != "auto" and options.model not in MODELS:
        raise UsageError(f"--model {options.model}: expected auto or one of {', '.join(MODELS)}")
    with session.progress.stage("detect", total=0) as stage:
        found = find_boards(options.photos, options.board, options.square or 1.0, progress=stage.update)
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
        board=f"{found.target.columns}x{found.target.rows}",
        photos=len(done.names),
        rms_px=done.rms_px,
        held_out_rms_px=None if chosen is None else chosen.rms_px,
        skipped=found.skipped,
        left_out=done.left_out,
    )
    return 0


def _say_board(found: FoundBoards, options: Options, session: Session) -> None:
    columns, rows = found.target.columns, found.target.rows
    guessed = "found in the photos; --board says otherwise" if found.guessed else "as given"
    length = (
        f", squares of {1000 * options.square:g} mm"
        if options.square
        else ", squares of 1 (no --square given)"
    )
    session.say(f"board: checkerboard, {columns}x{rows} inner corners ({guessed}){length}")
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
