"""`geo3d stereo LEFT RIGHT`: depth from two photos that were taken side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import arg

from geo3d.cli.common import (
    Common,
    OptionalNumber,
    OptionalPath,
    OptionalWhole,
    OptionalWord,
    Session,
    UsageError,
    existing_path,
)


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Depth from two photos that were taken side by side: disparity, depth with its deviation, points with colours.

    geo3d stereo left.png right.png --calib rig.json -o depth/

    geo3d stereo left.png right.png --rectified --focal 994.978 --baseline 0.193 --offset 31.086

    geo3d stereo left.jpg right.jpg --uncalibrated

    geo3d stereo scene/ --pairs auto

    `geo3d calibrate left/ right/ --rig` makes rig.json. Without focal length and baseline there is disparity only.
    """

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, arg(metavar="LEFT RIGHT|SCENE")] = field(
        default=()
    )
    """The left and the right photo; or with --pairs a scene of `geo3d reconstruct`, with images/ and sparse/."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")] = Path("depth")
    """Folder for what is made; files of these names that are there are replaced."""

    calib: Annotated[OptionalPath, arg(help_behavior_hint="")] = None
    """Calibration of the rig: rig.json of `geo3d calibrate --rig`, Kalibr's camchain.yaml, OpenCV's stereo YAML, or a
    folder of a COLMAP model, of mrcal's files or of a ROS pair."""

    cameras: Annotated[tuple[str, ...], arg(metavar="LEFT RIGHT", help_behavior_hint="")] = ()
    """Names of the two cameras, of a rig of more."""

    rectified: bool = False
    """The photos are rectified already: rows match. It is measured, and refused where they do not."""

    uncalibrated: bool = False
    """Rectify by matched points alone; gives disparity, no depth."""

    focal: Annotated[OptionalNumber, arg(metavar="PX", help_behavior_hint="")] = None
    """With --rectified: focal length, pixels."""

    baseline: Annotated[OptionalNumber, arg(metavar="M", help_behavior_hint="")] = None
    """With --rectified: distance of the cameras, metres."""

    offset: Annotated[OptionalNumber, arg(metavar="PX", help_behavior_hint="(default: 0)")] = None
    """With --rectified: right principal point minus left, pixels (Middlebury's doffs)."""

    min_disparity: Annotated[OptionalWhole, arg(help_behavior_hint="(default: what matched points span)")] = (
        None
    )
    """Lowest disparity, x left - x right, to look for, pixels."""

    max_disparity: Annotated[OptionalWhole, arg(help_behavior_hint="(default: what matched points span)")] = (
        None
    )
    """Highest disparity to look for, pixels: what is nearer is not found."""

    quality: Literal["fast", "balanced", "accurate"] = "balanced"
    """Time for accuracy."""

    method: Literal["sgm", "patchmatch", "opencv", "block"] = "sgm"
    """sgm: semi-global matching; patchmatch: refined by slanted windows after it, best with --quality accurate; opencv,
    block: OpenCV's semi-global and block matching, to compare with."""

    alpha: Annotated[OptionalNumber, arg(metavar="A", help_behavior_hint="(default: 0)")] = None
    """With --calib: 0: no blank pixels in the rectified photos; 1: all that either lens saw; or between."""

    fov: Annotated[OptionalNumber, arg(metavar="DEG", help_behavior_hint="(default: 120)")] = None
    """With --calib: widest field of view of the rectified photos, degrees: what is taken of a fisheye."""

    rectify: Literal["bouguet", "fusiello"] = "bouguet"
    """With --calib: whether the rectified photos look where both cameras do in the mean, or where the left one does."""

    pairs: Annotated[OptionalWord, arg(metavar="auto", help_behavior_hint="")] = None
    """auto: of a scene, match the pairs of photos that are worth it, and fuse their depths into one cloud."""

    max_size: Annotated[int, arg(metavar="PX")] = 1200
    """With --pairs: photos are reduced to at most this many pixels on the longer side."""

    filled: bool = False
    """Depth and points for the pixels that were guessed, too: holes are filled from what is behind."""


def run(options: Options, session: Session) -> int:
    """Rectify, match, and write what was found."""
    if options.pairs is not None:
        _check_scene(options)
        from geo3d.cli.stereo_scene import run_scene

        return run_scene(options, session)
    _check(options)
    from geo3d.cli.stereo_pair import run_pair

    return run_pair(options, session)


def _check_scene(options: Options) -> None:
    """Raise UsageError where the options do not fit a scene."""
    if options.pairs != "auto":
        raise UsageError(f"--pairs {options.pairs}: expected auto")
    if len(options.photos) != 1:
        raise UsageError(
            f"--pairs takes one scene, got {len(options.photos)}: geo3d stereo scene/ --pairs auto"
        )
    if options.calib is not None or options.rectified or options.uncalibrated:
        raise UsageError("a scene has its own cameras: leave out --calib, --rectified and --uncalibrated")
    for flag, given in (
        ("--cameras", options.cameras),
        ("--focal", options.focal is not None),
        ("--baseline", options.baseline is not None),
        ("--offset", options.offset is not None),
        ("--min-disparity", options.min_disparity is not None),
        ("--max-disparity", options.max_disparity is not None),
        ("--method", options.method != "sgm"),
        ("--alpha", options.alpha is not None),
        ("--fov", options.fov is not None),
        ("--rectify", options.rectify != "bouguet"),
        ("--filled", options.filled),
    ):
        if given:
            raise UsageError(f"{flag} is for two photos; with --pairs leave it out")
    if options.max_size < 64:
        raise UsageError(f"--max-size {options.max_size}: expected at least 64 pixels")
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"-o {options.out} is a file; give a folder")


def _check(options: Options) -> None:
    """Raise UsageError where the options do not fit each other or what is there."""
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"-o {options.out} is a file; give a folder")
    if len(options.photos) != 2:
        raise UsageError(
            f"expected two photos, the left and the right one, got {len(options.photos)}: geo3d stereo left.png "
            "right.png --calib rig.json"
        )
    for path, which in zip(options.photos, ("left", "right")):
        existing_path(path, f"the {which} photo")
        if path.is_dir():
            raise UsageError(f"the {which} photo {path} is a folder; give one photo")
    ways = [
        flag
        for flag, given in (
            ("--calib", options.calib is not None),
            ("--rectified", options.rectified),
            ("--uncalibrated", options.uncalibrated),
        )
        if given
    ]
    if len(ways) != 1:
        raise UsageError(
            (f"{' and '.join(ways)} exclude each other: " if ways else "")
            + "say how the photos are brought side by side: --calib rig.json (of `geo3d calibrate --rig`), --rectified "
            "if they are, or --uncalibrated"
        )
    if options.calib is not None:
        existing_path(options.calib, "the calibration of --calib")
    _check_numbers(options, ways[0])


def _check_numbers(options: Options, way: str) -> None:
    for flag, value, needs in (
        ("--focal", options.focal, "--rectified"),
        ("--baseline", options.baseline, "--rectified"),
        ("--offset", options.offset, "--rectified"),
        ("--alpha", options.alpha, "--calib"),
        ("--fov", options.fov, "--calib"),
        ("--cameras", options.cameras or None, "--calib"),
    ):
        if value is not None and way != needs:
            raise UsageError(f"{flag} is for {needs}; with {way} leave it out")
    for flag, value in (("--focal", options.focal), ("--baseline", options.baseline)):
        if value is not None and not value > 0.0:
            raise UsageError(f"{flag} {value:g}: expected a positive number")
    if (options.focal is None) != (options.baseline is None):
        raise UsageError(
            "--focal and --baseline go together: depth is focal length times baseline by disparity"
        )
    if options.cameras and len(options.cameras) != 2:
        raise UsageError(f"--cameras: expected two names, got {len(options.cameras)}")
    if options.alpha is not None and not 0.0 <= options.alpha <= 1.0:
        raise UsageError(f"--alpha {options.alpha:g}: expected a number from 0 to 1")
    low, high = options.min_disparity, options.max_disparity
    if low is not None and high is not None and high < low + 4:
        raise UsageError(
            f"--min-disparity {low} --max-disparity {high}: expected at least 4 pixels between them"
        )
