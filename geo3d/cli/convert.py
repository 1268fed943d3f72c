"""`geo3d convert SRC DST`: one format of a model to another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import arg

from geo3d.cli.common import Common, OptionalPath, Session, existing_folder, existing_path
from geo3d.cli.inspect import model_paths

Format = Literal["auto", "colmap", "colmap-txt", "transforms", "ply"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Convert a model between COLMAP (binary and text), transforms.json and PLY (points only)."""

    source: Annotated[Path, tyro.conf.Positional, arg(metavar="SRC")]
    """Scene folder, folder of a COLMAP model, transforms.json or .ply."""

    target: Annotated[Path, tyro.conf.Positional, arg(metavar="DST")]
    """Folder (COLMAP) or file to write."""

    format: Format = "auto"
    """What to write; auto goes by the name of DST: .json, .ply, else a COLMAP folder."""

    images: Annotated[OptionalPath, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Photos of a transforms.json that is read or written, if they are not with SRC."""


def run(options: Options, session: Session) -> int:
    """Read, write, and say what was written."""
    existing_path(options.source, "the source")
    if options.images is not None:
        existing_folder(options.images, "the folder of --images")
    from geo3d.io import read_scene, scene_images, write_scene

    model = read_scene(options.source, options.images)
    models = model_paths(options.source)
    if len(models) > 1:
        session.progress.warn(
            f"{options.source} has {len(models)} models, which do not hang together; only {models[0]} is converted. "
            f"Give another as SRC: {', '.join(map(str, models[1:]))}"
        )
    images = options.images or scene_images(options.source)
    write_scene(model, options.target, None if options.format == "auto" else options.format, images)
    photos, points = len(model.registered()), len(model.points)
    session.say(f"{options.target}: {photos} photos, {points:,} points in the source")
    if options.format == "transforms" or (
        options.format == "auto" and options.target.suffix.lower() == ".json"
    ):
        _say_where_photos_are(options.target, images, session)
    session.result(target=str(options.target), photos=photos, points=points)
    return 0


def _say_where_photos_are(target: Path, images: Path | None, session: Session) -> None:
    """A word on the photos of a transforms.json that do not lie with it."""
    if images is None:
        session.progress.warn(
            f"where the photos are is not known: {target} looks for them in {target.parent / 'images'}; "
            "--images FOLDER says where"
        )
    elif not images.resolve().is_relative_to(target.parent.resolve()):
        session.say(
            f"The photos stay in {images}. To read it again: geo3d convert {target} DST --images {images}"
        )
