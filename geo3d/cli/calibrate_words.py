"""What `geo3d calibrate` says: the board, the lenses tried, the camera, advice, and the files for other programs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geo3d.calibration import Advice, Calibration, FoundBoards, HeldOut, Target, depths, guess_board
from geo3d.cameras import MODELS, Camera
from geo3d.cli.common import Session, UsageError
from geo3d.cli.targets import kind_of, make_target, with_lengths, with_unit
from geo3d.io import CalibrationFormat, format_holds, write_calibration
from geo3d.scene import CameraRig

if TYPE_CHECKING:
    from geo3d.cli.calibrate import Options

_CAMERA_FILES: dict[CalibrationFormat, str] = {
    "opencv": "opencv.yaml",
    "colmap": "cameras.txt",
    "ros": "ros.yaml",
    "kalibr": "kalibr.yaml",
    "mrcal": "mrcal.cameramodel",
}
_RIG_FILES: dict[CalibrationFormat, str] = {
    "opencv": "opencv.yaml",
    "colmap": "colmap",
    "ros": "ros",
    "kalibr": "kalibr.yaml",
    "mrcal": "mrcal",
}
_WRITTEN = (".txt", ".yaml", ".cameramodel")


def given_target(options: Options, photos: str) -> Target | None:
    """The target that the flags tell; None where the photos are to tell it."""
    if options.board is not None:
        kind = "checkerboard" if options.kind == "auto" else options.kind
        return make_target(with_unit(options, kind), kind, options.board)
    if options.diameter is None:
        return None
    return as_told(guess_board(photos), options)  # what is found of discs depends on their size


def as_told(guessed: Target, options: Options) -> Target:
    """The target that the photos show, with the lengths given."""
    if options.kind not in ("auto", kind_of(guessed)):
        raise UsageError(
            f"the photos show a {guessed.label.split(',')[0]}, not {options.kind}; say --board with its columns and "
            "rows"
        )
    return with_lengths(guessed, options)


def metric(options: Options) -> bool:
    """Whether the board's lengths are given."""
    return any((options.square, options.tag, options.spacing))


def say_board(found: FoundBoards, options: Options, session: Session) -> None:
    """Which board it is, and the photos that do not show it."""
    how = "found in the photos; --board says otherwise" if options.board is None else "as given"
    label = found.target.label if metric(options) else found.target.label.split(",")[0]
    session.say(f"board: {label} ({how})" + ("" if metric(options) else "; its lengths are not given"))
    say_skipped(found, session)


def say_skipped(found: FoundBoards, session: Session) -> None:
    """Photos in which nothing was found."""
    for name, reason in found.skipped.items():
        session.say(f"  {name} is not used: {reason}")


def say_models(tried: list[HeldOut], chosen: HeldOut | None, session: Session) -> None:
    """The lens models that were tried, by the error on photos held out."""
    session.say("lens models on photos held out (terms of the board's shape):")
    for entry in sorted(tried, key=lambda entry: (entry.params, -entry.shape_terms)):
        mark = "  <- taken: the simplest that is as good as any" if entry is chosen else ""
        mark = f"  refused: {entry.refused}" if entry.refused else mark
        error = f"{entry.rms_px:.3f} px" if entry.rms_px < float("inf") else "-"
        session.say(
            f"  {entry.model:<18} {entry.params:>2} parameters, {entry.shape_terms:>2} terms  {error:>8}{mark}"
        )


def say_camera(done: Calibration, session: Session) -> None:
    """The parameters with their deviations, and the errors."""
    camera = done.camera
    session.say(f"camera: {camera.model}, {camera.width}x{camera.height} pixels")
    held = MODELS[camera.model].splined
    shown = slice(4 if held else None)
    for name, value, deviation in zip(camera.param_names[shown], camera.params, done.params_std):
        session.say(f"  {name:<4} {value:12.6g} {'held' if held else f'+- {deviation:.2g}'}")
    if held:
        session.say(f"  and {(len(camera.params) - 4) // 2} knots")
    session.say(f"{done.rms_px:.3f} px over all corners of {len(done.names)} photos")
    worst = sorted(done.names, key=lambda name: -float(done.errors_px[name].mean()))[:3]
    session.say("largest errors: " + ", ".join(f"{n} {done.errors_px[n].mean():.2f} px" for n in worst))
    if done.corners_left_out:
        session.say(f"{done.corners_left_out} corners were too far off and have no say")
    for name, reason in done.left_out.items():
        session.say(f"  {name} is not used: {reason}")


def say_shape(target: Target, shape: np.ndarray, metric: bool, session: Session) -> None:
    """How far the board is from flat."""
    if not len(shape):
        return
    deep = float(np.ptp(depths(target.points, shape)))
    length = f"{1000 * deep:.2f} mm" if metric else f"{deep:.3f} of its unit, which is not given,"
    session.say(
        f"the board is not flat: {length} between its nearest and its farthest point ({len(shape)} terms)"
    )


def say_advice(advice: Advice, session: Session, name: str = "") -> None:
    """What to know and what would help."""
    of = f" of {name}" if name else ""
    for title, sentences in ((f"problems{of}", advice.problems), (f"advice{of}", advice.hints)):
        if sentences:
            session.say(f"{title}:")
            for sentence in sentences:
                session.say(f"  - {sentence}")
    for verdict in advice.verdicts:
        session.say(verdict.text if not name else f"{name}: {verdict.text}")


def say_formats(formats: dict[str, str], camera: Camera, tried: list[HeldOut], session: Session) -> None:
    """Where the files for other programs are, and which lens those would take that have none."""
    files = ", ".join(Path(path).name for path in formats.values())
    session.say(f"for other programs: {files}" if files else f"other programs have no {camera.model}")
    missing = [format for format in _CAMERA_FILES if format not in formats]
    for entry in sorted(tried, key=lambda entry: entry.rms_px):
        able = [f for f in missing if not entry.refused and format_holds(f, entry.model)]
        if able:
            session.say(
                f"  {camera.model} is not known to {' and '.join(able)}: use --model {entry.model} for that, "
                f"{entry.rms_px:.3f} px on photos held out"
            )
            missing = [format for format in missing if format not in able]


def write_formats(folder: Path, calibration: Camera | CameraRig) -> dict[str, str]:
    """Write the calibration for other programs, as far as they have its lens; those of an earlier one are removed.

    Returns
    -------
    dict of str to str
        Format to file; a format that cannot hold the calibration is left out.

    Raises
    ------
    ValueError
        If a folder to write holds what no calibration has written there.
    """
    files = _RIG_FILES if isinstance(calibration, CameraRig) else _CAMERA_FILES
    written = {}
    for format, name in files.items():
        path = folder / name
        _remove_earlier(path)
        try:
            write_calibration(path, calibration, format)
        except ValueError:  # it has no such lens
            continue
        written[format] = str(path)
    return written


def _remove_earlier(path: Path) -> None:
    """What an earlier calibration wrote would be taken for a file of the new one."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    others = sorted(p.name for p in path.iterdir() if p.is_dir() or p.suffix not in _WRITTEN)
    if others:
        raise ValueError(
            f"{path} is there and holds other files, as {others[0]}: give another folder with -o"
        )
    shutil.rmtree(path)
