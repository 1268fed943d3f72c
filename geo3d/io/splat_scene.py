"""Which splats, or which radiance field, and which scene belong together: `splats/splats.ply` and `nerf/nerf.pt` in the
scene's folder, or what training says.

`geo3d train SCENE -o OUT` writes OUT/splats.ply or OUT/nerf.pt, and into OUT/metrics.json which scene it was.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from geo3d.io.scene_files import find_scene
from geo3d.util.files import read_json_object

SPLATS = Path("splats") / "splats.ply"
"""The splats of a scene, below its folder."""

FIELD = Path("nerf") / "nerf.pt"
"""The radiance field of a scene, below its folder."""


@dataclass(frozen=True)
class FoundSplats:
    """A file of splats, or of a radiance field, and where its photos and poses are.

    Attributes
    ----------
    file : Path
    scene : Path or None
        None where there is none, or it is not known.
    """

    file: Path
    scene: Path | None


def find_splats(source: str | os.PathLike) -> FoundSplats:
    """The splats, and their scene, of a scene with splats, a folder made by training, or a file of splats.

    Parameters
    ----------
    source : path-like

    Raises
    ------
    FileNotFoundError
        If there are no splats; the message tells what to do.
    """
    source = Path(source)
    if source.is_file() and source.suffix.lower() != ".json":
        return FoundSplats(source, _scene_of(source, SPLATS))
    if (found := _trained(source, SPLATS)) is not None:
        return found
    raise FileNotFoundError(
        f"{source} has no {SPLATS}: train it first, geo3d train {source}; if that was done with -o OUT, give OUT"
    )


def find_field(source: str | os.PathLike) -> FoundSplats | None:
    """The radiance field, and its scene, of a scene with nerf/nerf.pt, a folder made by training, or a file nerf.pt;
    None where there is none, or where there are splats in the same place.

    Parameters
    ----------
    source : path-like
    """
    source = Path(source)
    if source.is_file() and source.suffix.lower() != ".json":
        is_field = source.suffix.lower() == FIELD.suffix
        return FoundSplats(source, _scene_of(source, FIELD)) if is_field else None
    return None if _trained(source, SPLATS) is not None else _trained(source, FIELD)


def _trained(source: Path, below: Path) -> FoundSplats | None:
    """What is `below` the folder of the scene `source`, or in the folder `source` that training made."""
    folder = source if source.is_dir() else source.parent
    if (folder / below).is_file():
        return FoundSplats(folder / below, source)
    if source.is_dir() and (source / below.name).is_file():
        return FoundSplats(source / below.name, _scene_of(source / below.name, below))
    return None


def _scene_of(file: Path, below: Path) -> Path | None:
    folder = file.absolute().parent
    told = read_json_object(folder / "metrics.json").get("scene")
    above = folder.parent if file.absolute() == folder.parent / below else None
    for scene in (above, Path(told) if isinstance(told, str) else None):
        try:
            if scene is not None and find_scene(scene):
                return scene
        except (OSError, ValueError):  # it is not there any more, or never was
            continue
    return None
