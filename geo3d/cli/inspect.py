"""`geo3d inspect SCENE`: what a scene or a model holds, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import arg

from geo3d.cli.common import Common, OptionalPath, Session, existing_folder, existing_path

if TYPE_CHECKING:
    from geo3d.scene import Reconstruction
    from geo3d.viz.summary import ModelSummary

# More photos than this, and only the worst are listed.
_PHOTOS_LISTED = 30
_WORST_LISTED = 10


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """What a scene, a COLMAP model or a transforms.json holds: photos, points, errors, cameras."""

    scene: Annotated[Path, tyro.conf.Positional, arg(metavar="SCENE")]
    """Scene folder, folder of a COLMAP model, or a file that `geo3d convert` reads."""

    images: Annotated[OptionalPath, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Photos of a transforms.json, if they are not with it."""


def model_paths(scene: Path) -> list[Path]:
    """The models of a scene folder (`sparse/0`, `sparse/1`, ...), else the path itself."""
    sparse = scene / "sparse"
    numbered = [p for p in sparse.iterdir() if p.is_dir() and p.name.isdecimal()] if sparse.is_dir() else []
    return sorted(numbered, key=lambda p: int(p.name)) or [sparse if sparse.is_dir() else scene]


def run(options: Options, session: Session) -> int:
    """Print a table for each model."""
    existing_path(options.scene, "the scene")
    if options.images is not None:
        existing_folder(options.images, "the folder of --images")
    from geo3d.io import read_scene
    from geo3d.viz.summary import summarize

    models = [(path, read_scene(path, options.images)) for path in model_paths(options.scene)]
    for path, model in models:
        summary = summarize(model)
        if session.json:
            session.result(model=str(path), **_as_fields(model, summary))
        else:
            print_model(path, model, summary, _photo_count(options.scene), session)
    return 0


def _photo_count(scene: Path) -> int | None:
    if not (scene / "images").is_dir():
        return None
    from geo3d.images import list_photos

    return len(list_photos(scene / "images"))


def _as_fields(model: Reconstruction, summary: ModelSummary) -> dict:
    return {
        "registered": summary.registered,
        "points": summary.points,
        "observations": summary.observations,
        "mean_track_length": summary.mean_track_length,
        "mean_error_px": summary.mean_error_px,
        "median_error_px": summary.median_error_px,
        "cameras": {
            i: {"model": c.model, "width": c.width, "height": c.height, "params": list(c.params)}
            for i, c in sorted(model.cameras.items())
        },
        "photos": [vars(view) for view in summary.views],
    }


def print_model(
    path: Path, model: Reconstruction, summary: ModelSummary, photos: int | None, session: Session
) -> None:
    """The figures of one model, its cameras and its photos."""
    of = f" of {photos}" if photos else ""
    session.say(f"{path}")
    session.say(f"  photos        {summary.registered}{of} registered")
    session.say(
        f"  points        {summary.points:,}, each seen in {summary.mean_track_length:.1f} photos (mean)"
    )
    session.say(f"  observations  {summary.observations:,}")
    session.say(
        f"  reprojection  {summary.mean_error_px:.2f} px mean, {summary.median_error_px:.2f} px median"
    )
    if summary.behind_camera:
        session.say(f"  behind        {summary.behind_camera} observations of points behind their camera")
    session.say("  cameras")
    for camera_id, camera in sorted(model.cameras.items()):
        used = sum(view.camera_id == camera_id for view in summary.views)
        values = "  ".join(f"{n} {v:.6g}" for n, v in zip(camera.param_names, camera.params))
        size = f"{camera.width}x{camera.height}"
        session.say(f"    {camera_id:<4} {camera.model} {size}  {values}  ({used} photos)")
    views = list(summary.views)
    title = "  photos"
    if len(views) > _PHOTOS_LISTED:
        views = sorted(views, key=lambda v: -v.mean_error_px)[:_WORST_LISTED]
        title = f"  photos with the largest error ({_WORST_LISTED} of {summary.registered})"
    width = max([len(v.name) for v in views], default=0)
    session.say(f"{title:<{width + 4}}  points  error px")
    for view in views:
        session.say(f"    {view.name:<{width}}  {view.observations:>6}  {view.mean_error_px:>8.2f}")
