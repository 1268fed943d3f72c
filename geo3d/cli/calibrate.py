"""`geo3d calibrate PHOTOS`: a camera, or a rig of cameras, from photos of a board; or two calibrations compared."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import arg

from geo3d.cli.common import Common, OptionalGridSize, OptionalPair, Session, UsageError
from geo3d.cli.targets import Kind, TargetFlags


@dataclass(frozen=True, kw_only=True)
class Options(TargetFlags, Common):
    """The camera that took photos of a board, or a rig of cameras: OUT/camera.json or OUT/rig.json, for `--calib` of
    other commands, a report, and files for other programs.

    geo3d calibrate photos/ -o calib/

    geo3d calibrate photos/ --board 9x6 --square 25mm

    geo3d calibrate photos/ --kind charuco --board 8x5 --square 30mm

    geo3d calibrate clip.mp4 --square 25mm

    geo3d calibrate left/ right/ --rig --square 25mm

    geo3d calibrate 'photos/left*' 'photos/right*' --rig --square 25mm

    geo3d calibrate --compare a/camera.json b/camera.json
    """

    photos: Annotated[tuple[str, ...], tyro.conf.Positional, arg(metavar="PHOTOS")] = field(default=())
    """Of one camera: a folder, a pattern in quotes, or a video; with --rig one for each camera. Ten photos or more, the
    board tilted to all sides, near and far, into the corners of the image."""

    rig: bool = False
    """Cameras that are fixed to each other; photos of one moment have the same name or number, or it is found out."""

    compare: Annotated[OptionalPair, arg(help_behavior_hint="(default: calibrate)")] = None
    """Two calibrations: by how many pixels they differ over the image, as numbers and as OUT/difference.png."""

    kind: Annotated[Literal["auto", Kind], arg(metavar="KIND")] = "auto"
    """checkerboard, charuco, aprilgrid, circles or asymmetric-circles; auto: what the photos show."""

    board: Annotated[OptionalGridSize, arg(help_behavior_hint="(default: what the photos show)")] = None
    """Columns and rows as 9x6: inner corners of a checkerboard (one less than squares), squares of a charuco board,
    tags, or discs."""

    model: Annotated[str, arg(metavar="MODEL")] = "auto"
    """Lens model, as OPENCV or OPENCV_FISHEYE, or SPLINED_STEREOGRAPHIC of hundreds of parameters for many photos;
    auto: the simplest that is as good as any on photos held out."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")] = Path("calib")
    """Folder for what is made; files of these names that are there are replaced."""


def run(options: Options, session: Session) -> int:
    """Calibrate one camera or a rig, or compare two calibrations."""
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"-o {options.out} is a file; give a folder")
    if options.compare is not None:
        if options.photos:
            raise UsageError("--compare takes two calibrations and no photos; leave one of both out")
        from geo3d.cli.calibrate_compare import compare_files

        return compare_files(options, session)
    if not options.photos:
        raise UsageError(
            "give the photos: geo3d calibrate photos/ (a folder, a pattern in quotes, or a video)"
        )
    if options.model != "auto":
        from geo3d.cameras import MODELS
        from geo3d.cameras.splined import FAMILY

        known = [*(name for name, model in MODELS.items() if model.focal_params), FAMILY]
        if options.model not in known:
            close = get_close_matches(options.model.upper(), known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"--model {options.model}: expected auto or one of {', '.join(known)}{hint}")
    _make_writable(options.out)
    if options.rig:
        if len(options.photos) < 2:
            raise UsageError(
                "--rig takes the photos of each camera: geo3d calibrate left/ right/ --rig, or patterns in quotes, "
                "'photos/left*' 'photos/right*'"
            )
        from geo3d.cli.calibrate_rig import calibrate_rig_of

        return calibrate_rig_of(options, session)
    from geo3d.cli.calibrate_camera import calibrate_camera

    return calibrate_camera(options, session)


def _make_writable(folder: Path) -> None:
    """Make the folder, and say before the work where nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"-o {folder}: nothing can be written there ({error.strerror}); give another folder"
        ) from None
