"""`geo3d flow FRAME1 FRAME2`: optical flow between two images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import arg

from geo3d.cli.common import Common, OptionalPath, Session, UsageError, existing_file, existing_path

METHODS = Literal["fast", "accurate", "tv-l1", "lucas-kanade", "raft", "farneback", "dis"]
_ENDINGS = (".flo", ".png", ".pfm")


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Optical flow: where each pixel of an image is in another one, in colours too.

    geo3d flow frame1.png frame2.png -o flow.flo

    geo3d flow frame1.png frame2.png -o flow.flo --method fast --maps

    geo3d flow frame1.png frame2.png -o flow.png --truth truth.flo

    The flow is x and y in pixels from the first image to the second.
    """

    images: Annotated[
        tuple[Path, ...], tyro.conf.Positional, arg(metavar="FRAME1 FRAME2", help_behavior_hint="")
    ] = ()
    """The first and the second image, of one size. Transparent pixels are left out."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE")] = Path("flow.flo")
    """File of the flow: .flo (Middlebury), .png (KITTI's of 16 bits) or .pfm. Beside it, flow_colors.png shows it."""

    method: METHODS = "accurate"
    """fast: in real-time range; accurate: variational, with large displacements; raft: a network, with --weights;
    tv-l1, lucas-kanade: the classics; farneback, dis: OpenCV's, to compare with."""

    weights: Annotated[OptionalPath, arg(help_behavior_hint="")] = None
    """With --method raft: file of the network's weights."""

    truth: Annotated[OptionalPath, arg(help_behavior_hint="")] = None
    """True flow, .flo, .png or .pfm: the errors are told and shown in flow_error.png."""

    maps: bool = False
    """Write flow_arrows.png, flow_confidence.png and flow_occlusion.png too."""


def run(options: Options, session: Session) -> int:
    """Find the flow, and write it."""
    _check(options)
    from geo3d.cli.flow_pair import run_pair

    return run_pair(options, session)


def _check(options: Options) -> None:
    """Raise UsageError where the options do not fit each other or what is there."""
    if len(options.images) != 2:
        raise UsageError(
            f"expected two images, the first and the second frame, got {len(options.images)}: geo3d flow frame1.png "
            "frame2.png -o flow.flo"
        )
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
