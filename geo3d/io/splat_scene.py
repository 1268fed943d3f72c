"""Which splats and which scene belong together: `splats/splats.ply` in the scene's folder, or what training says.

`geo3d train SCENE -o OUT` writes OUT/splats.ply, and into OUT/metrics.json which scene it was.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from geo3d.io.scene_files import find_scene
from geo3d.util.files import read_json_object

SPLATS = Path("splats") / "splats.ply"
"""The splats of a scene, below its folder."""


@dataclass(frozen=True)
class FoundSplats:
    """A file of splats and where its photos and poses are.

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
        return FoundSplats(source, _scene_of(source))
    folder = source if source.is_dir() else source.parent
    if (folder / SPLATS).is_file():
        return FoundSplats(folder / SPLATS, source)
    if source.is_dir() and (source / SPLATS.name).is_file():
        return FoundSplats(source / SPLATS.name, _scene_of(source / SPLATS.name))
    raise FileNotFoundError(
        f"{source} has no {SPLATS}: train it first, geo3d train {source}; if that was done with -o OUT, give OUT"
    )


def _scene_of(file: Path) -> Path | None:
    folder = file.absolute().parent
    told = read_json_object(folder / "metrics.json").get("scene")
    above = folder.parent if file.absolute() == folder.parent / SPLATS else None
    for scene in (above, Path(told) if isinstance(told, str) else None):
        try:
            if scene is not None and find_scene(scene):
                return scene
        except (OSError, ValueError):  # it is not there any more, or never was
            continue
    return None
