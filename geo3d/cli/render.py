"""`geo3d render SCENE --path orbit -o video.mp4`, `geo3d render splats.ply --pose POSE.json -o view.png`: videos and
images of splats, or of a radiance field, from new places.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import arg

from geo3d.cli.common import (
    Common,
    OptionalNumber,
    OptionalPath,
    OptionalSize,
    OptionalWord,
    Session,
    UsageError,
    existing_file,
    existing_path,
)

if TYPE_CHECKING:
    from geo3d.render import RenderView
    from geo3d.scene import Gaussians

PATHS = ("orbit", "spiral", "views", "dolly")
LONGEST_SIDE = 1280  # of frames whose size is not told, pixels
MOST_PIXELS = 50_000_000  # of one image
SECONDS, FPS = 8.0, 30.0

Background = Literal["black", "white"]
Backend = Literal["auto", "cpu", "cuda", "reference"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Views of trained splats, or of a radiance field, from new places: a video along a path, or an image at a pose.

    geo3d render scene/ --path orbit -o video.mp4

    geo3d render splats.ply --pose pose.json -o view.png
    """

    source: Annotated[Path, tyro.conf.Positional, arg(metavar="SCENE|SPLATS")]
    """Scene with splats/splats.ply or nerf/nerf.pt, as `geo3d train` leaves it (of both the splats), or its
    transforms.json; the folder that `geo3d train -o` made; or a file of splats (.ply, .spz, .splat, .glb, ...) or
    nerf.pt."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """Video (.mp4), image (.png, with --pose), or folder for the frames of a path as PNG."""

    path: Annotated[OptionalWord, arg(metavar="PATH", help_behavior_hint="(default: orbit)")] = None
    """orbit, spiral, views (through those of the photos), dolly (towards what they show), or a JSON with key frames or
    with a camera path of nerfstudio."""

    pose: Annotated[OptionalPath, arg(help_behavior_hint="")] = None
    """JSON with one pose: {"cam_from_world": 4 rows of 4 numbers}, and "camera" for splats without a scene."""

    size: Annotated[
        OptionalSize,
        arg(help_behavior_hint=f"(default: that of the photos, at most {LONGEST_SIDE} pixels a side)"),
    ] = None
    """Size of the frames; of a panorama twice as wide as high."""

    fps: Annotated[OptionalNumber, arg(help_behavior_hint=f"(default: {FPS:g}, or what the file says)")] = (
        None
    )
    """Frames a second."""

    seconds: Annotated[OptionalNumber, arg(help_behavior_hint=f"(default: {SECONDS:g})")] = None
    """Length of the video; a file with a path has its own."""

    depth: bool = False
    """Write depth in colours beside it (video.depth.mp4), of an image as PFM too."""

    normals: bool = False
    """Write normals beside it (video.normals.mp4)."""

    stereo: bool = False
    """Left and right eye side by side."""

    panorama: bool = False
    """All around, 360 degrees."""

    background: Background = "black"
    """Behind the splats."""

    backend: Backend = "auto"
    """What renders: the GPU where there is one that can, else the CPU."""


def run(options: Options, session: Session) -> int:
    """Render and write; files are there whole or not at all."""
    existing_path(options.source, "the scene or file of splats")
    _check(options)
    from geo3d.io import find_field, find_splats

    field = find_field(options.source)
    found = find_splats(options.source) if field is None else field
    scene = found.scene
    from geo3d.cli.render_paths import path_of, pose_of, read_poses
    from geo3d.render import OutputOptions, write_path, write_view

    gaussians = _read_splats(found.file) if field is None else None
    known = None if scene is None else read_poses(scene)
    render_view = _field_renderer(found.file, options) if gaussians is None else _renderer(gaussians, options)
    upright = options.panorama and options.pose is None and options.path in (None, *PATHS)
    up = known.shape().up.tolist() if upright and known is not None else None
    outputs = OutputOptions(options.depth, options.normals, options.stereo, options.panorama, up)
    if options.pose is not None:
        camera, pose = pose_of(options, known)
        written, frames = write_view(options.out, render_view, camera, pose, outputs), 1
    else:
        path = path_of(options, known)
        written, frames = write_path(options.out, render_view, path, outputs, session.progress), len(path)
    what = "a radiance field" if gaussians is None else f"{len(gaussians):,} Gaussians"
    session.say(f"{what}, {frames} frame{'s' if frames > 1 else ''}")
    for file in written:
        session.say(f"{file}")
    count = None if gaussians is None else len(gaussians)
    session.result(out=[str(file) for file in written], frames=frames, gaussians=count)
    return 0


def _check(options: Options) -> None:
    """Raise UsageError where the options do not fit each other."""
    suffix = options.out.suffix.lower()
    if options.pose is not None:
        existing_file(options.pose, "--pose", "a JSON file with a pose")
        for flag, value in (("--path", options.path), ("--seconds", options.seconds), ("--fps", options.fps)):
            if value is not None:
                raise UsageError(f"--pose renders one image: leave out {flag}, or --pose")
        if suffix != ".png":
            raise UsageError(f"-o {options.out}: an image at a pose is written as .png")
    elif suffix not in (".mp4", ""):
        raise UsageError(
            f"-o {options.out}: a path is written as .mp4, or into a folder (a name without ending)"
        )
    if options.path not in (None, *PATHS):
        if not Path(options.path).is_file():
            raise UsageError(
                f"--path {options.path}: expected {', '.join(PATHS)}, or a JSON file with key frames"
            )
        if options.seconds is not None:
            raise UsageError("--seconds: the file of --path tells the times; leave it out")
    for flag, value in (("--seconds", options.seconds), ("--fps", options.fps)):
        if value is not None and not 0 < value <= 36_000:
            raise UsageError(f"{flag} {value:g}: expected a number above 0")
    asked = [name for name in ("stereo", "panorama", "depth", "normals") if getattr(options, name)]
    if len(asked) > 1 and asked[0] in ("stereo", "panorama"):
        raise UsageError(f"--{asked[0]} and --{asked[1]} cannot be had together")
    if options.size is not None:
        width, height = options.size
        if not (min(width, height) > 0 and width * height <= MOST_PIXELS):
            raise UsageError(f"--size {width}x{height}: expected 1x1 to {MOST_PIXELS // 10**6} megapixels")
        if options.panorama and width != 2 * height:
            raise UsageError(f"--size {width}x{height}: a panorama is twice as wide as high")


def _read_splats(path: Path) -> Gaussians:
    from geo3d.io import read_splats

    found = read_splats(path).gaussians
    if not len(found):
        raise ValueError(f"{path} holds no Gaussians")
    return found


def _renderer(gaussians: Gaussians, options: Options) -> RenderView:
    _check_backend(options)
    from geo3d.splat import RenderOptions, render

    settings = RenderOptions(
        backend=options.backend,
        background=(1.0, 1.0, 1.0) if options.background == "white" else (0.0, 0.0, 0.0),
        depth=options.depth or options.stereo,
        normals=options.normals,
    )
    return lambda camera, pose: render(gaussians, camera, pose, settings)


def _field_renderer(file: Path, options: Options) -> RenderView:
    if options.backend == "reference":
        raise UsageError("--backend reference is of splats, and this is a radiance field: leave it out")
    _check_backend(options)
    from geo3d.nerf.model import model_renderer, read_model

    behind = (1.0, 1.0, 1.0) if options.background == "white" else (0.0, 0.0, 0.0)
    return model_renderer(read_model(file), behind, options.normals, options.backend)


def _check_backend(options: Options) -> None:
    from geo3d.gpu import why_not

    if options.backend == "cuda" and (trouble := why_not()) is not None:
        raise ValueError(f"--backend cuda cannot run here: {trouble}. Or leave it out: the CPU renders too")
