"""`geo3d convert SRC DST`: one format of a model to another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import arg

from geo3d.cli.common import Common, Session, existing_path

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


def run(options: Options, session: Session) -> int:
    """Read, write, and say what was written."""
    existing_path(options.source, "the source")
    from geo3d.io import read_scene, write_scene

    model = read_scene(options.source)
    write_scene(model, options.target, None if options.format == "auto" else options.format)
    photos, points = len(model.registered()), len(model.points)
    session.say(f"{options.target}: {photos} photos, {points:,} points in the source")
    session.result(target=str(options.target), photos=photos, points=points)
    return 0
