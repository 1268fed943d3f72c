"""`geo3d flow FRAME1 FRAME2`: optical flow between two images; `geo3d flow CLIP`: what flow does for a video."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import arg

from geo3d.cli.common import (
    Common,
    OptionalNumber,
    OptionalPath,
    OptionalWhole,
    Session,
    UsageError,
    existing_file,
    existing_path,
)

METHODS = Literal["fast", "accurate", "tv-l1", "lucas-kanade", "raft", "patchmatch", "farneback", "dis"]
_ENDINGS = (".flo", ".png", ".pfm")
_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".heic", ".webp", ".bmp")


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Optical flow: where each pixel of an image is in another one, in colours too; and what it does for a video.

    geo3d flow frame1.png frame2.png -o flow.flo

    geo3d flow frame1.png frame2.png -o flow.flo --method fast --maps

    geo3d flow frame1.png frame2.png -o flow.png --truth truth.flo

    geo3d flow frame1.png frame2.png --moving

    geo3d flow clip.mp4 --stabilise -o steady.mp4

    geo3d flow clip.mp4 --tracks -o tracks.npz

    geo3d flow clip.mp4 --interpolate 4 -o smooth.mp4

    geo3d flow clip.mp4 -o flows/

    The flow is x and y in pixels from the first image to the second.
    """

    images: Annotated[
        tuple[Path, ...], tyro.conf.Positional, arg(metavar="FRAME1 FRAME2|CLIP", help_behavior_hint="")
    ] = ()
    """The first and the second image, of one size (transparent pixels are left out); or a video, or a folder of its
    frames."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")] = Path("flow.flo")
    """File of the flow: .flo (Middlebury), .png (KITTI's of 16 bits) or .pfm. Beside it, flow_colors.png shows it. Of a
    video: the folder of all its flows, the new video (.mp4, or a folder for PNG), or the tracks (.npz, .json)."""

    method: Literal["auto", METHODS] = "auto"
    """auto: accurate for two images, fast for a video; fast: in real-time range; accurate: variational, with large
    displacements; raft: a network, with --weights; tv-l1, lucas-kanade: the classics; patchmatch: two views of a place,
    turned and scaled too; farneback, dis: OpenCV's, to compare with."""

    weights: Annotated[OptionalPath, arg(help_behavior_hint="")] = None
    """With --method raft: file of the network's weights."""

    truth: Annotated[OptionalPath, arg(help_behavior_hint="")] = None
    """True flow, .flo, .png or .pfm: the errors are told and shown in flow_error.png."""

    moving: bool = False
    """Write flow_moving.png too: white what moved by itself, black what the camera's own motion moves."""

    maps: bool = False
    """Write flow_arrows.png, flow_confidence.png and flow_occlusion.png too."""

    stabilise: bool = False
    """Of a video: hold it steady. What moves before the camera does not drag the picture along."""

    window: Annotated[OptionalNumber, arg(metavar="SHARE", help_behavior_hint="(default: 0.8)")] = None
    """With --stabilise: share of the width and height that stays at least. With less, more shake is taken out."""

    tracks: bool = False
    """Of a video: follow points through it; OUT_trails.mp4 shows them."""

    interpolate: Annotated[OptionalWhole, arg(help_behavior_hint="")] = None
    """Of a video: N frames for each, by those between."""


def run(options: Options, session: Session) -> int:
    """Find the flow, and write it."""
    is_video = len(options.images) == 1
    if options.method == "auto":
        options = replace(options, method="fast" if is_video else "accurate")
    if is_video:
        _check_source(options.images[0])
        from geo3d.cli.flow_video import check_video, run_video

        check_video(options)
        return run_video(options, session)
    _check(options)
    from geo3d.cli.flow_pair import run_pair

    return run_pair(options, session)


def _check_source(source: Path) -> None:
    if existing_path(source, "the video").suffix.lower() in _IMAGE_ENDINGS:
        raise UsageError(
            f"{source} is one image: expected two images, geo3d flow frame1.png frame2.png -o flow.flo, or a video"
        )


def _check(options: Options) -> None:
    """Raise UsageError where the options do not fit each other or what is there."""
    if len(options.images) != 2:
        raise UsageError(
            f"expected two images, the first and the second frame, got {len(options.images)}: geo3d flow frame1.png "
            "frame2.png -o flow.flo"
        )
    for flag, given in (
        ("--stabilise", options.stabilise),
        ("--tracks", options.tracks),
        ("--interpolate", options.interpolate is not None),
        ("--window", options.window is not None),
    ):
        if given:
            raise UsageError(f"{flag} is for a video; leave it out, or give a video")
    for path, which in zip(options.images, ("first", "second")):
        existing_path(path, f"the {which} image")
        if path.is_dir():
            raise UsageError(f"the {which} image {path} is a folder; give one image")
    if options.out.is_dir():
        raise UsageError(f"-o {options.out} is a folder; give a file, {options.out / 'flow.flo'}")
    if options.out.suffix.lower() not in _ENDINGS:
        raise UsageError(f"-o {options.out}: expected a name that ends with {', '.join(_ENDINGS)}")
    if options.truth is not None:
        existing_file(options.truth, "--truth", "a file of a flow (.flo, .png, .pfm)")
    if options.weights is not None:
        existing_file(options.weights, "--weights", "a file of RAFT's weights")
        if options.method != "raft":
            raise UsageError("--weights is for --method raft; leave it out")
