"""Reading and writing a scene whatever its format: what `geo3d convert` and `geo3d inspect` do."""

import logging
import os
from pathlib import Path
from typing import Literal

import numpy as np

from geo3d.io.colmap import colmap_format, read_colmap, write_colmap
from geo3d.io.ply import read_ply, write_ply
from geo3d.io.transforms import read_transforms, write_transforms
from geo3d.scene import Points, Reconstruction

SceneFormat = Literal["colmap", "colmap-txt", "transforms", "ply"]
SCENE_FORMATS: tuple[SceneFormat, ...] = ("colmap", "colmap-txt", "transforms", "ply")
_NAMES = 5  # of missing photos that a message tells

_log = logging.getLogger(__name__)


def read_scene(path: str | os.PathLike) -> Reconstruction:
    """Read a scene: a folder with a COLMAP model (itself, `sparse/0` or `sparse`) or a transforms.json, or a file.

    Files are transforms.json (any `.json`) and `.ply` (points without tracks). Frames of a transforms.json that have
    no file are left out, and a warning is logged that counts and names them.

    Raises
    ------
    FileNotFoundError
        If there is nothing that can be read; the message tells what was looked for.
    ValueError
        If a file is corrupt or of another kind.
    """
    path = Path(path)
    if path.is_dir():
        for folder in (path, path / "sparse" / "0", path / "sparse"):
            if colmap_format(folder) is not None:
                return read_colmap(folder)
        for name in ("transforms.json", "transforms_train.json"):
            if (path / name).is_file():
                return _transforms(path / name)
        raise FileNotFoundError(
            f"no scene in {path}: looked for a COLMAP model in it, in sparse/0 and in sparse, and for transforms.json"
        )
    if not path.is_file():
        raise FileNotFoundError(f"no file or folder {path}")
    if path.suffix.lower() == ".json":
        return _transforms(path)
    if path.suffix.lower() == ".ply":
        return _points(path)
    raise ValueError(
        f"{path}: expected a scene folder, a .json or a .ply file, found {path.suffix or 'no suffix'!r}"
    )


def write_scene(
    reconstruction: Reconstruction, path: str | os.PathLike, format: SceneFormat | None = None
) -> None:
    """Write a scene.

    Parameters
    ----------
    reconstruction : Reconstruction
    path : path-like
        Folder for COLMAP's formats, else a file.
    format : "colmap", "colmap-txt", "transforms" or "ply"
        "ply" keeps the points only, "transforms" the cameras and views only. Where none is given, the suffix of
        `path` tells: .json, .ply, else COLMAP.

    Raises
    ------
    ValueError
        If the format is none of these or cannot hold the scene.
    """
    path = Path(path)
    suffixes: dict[str, SceneFormat] = {".json": "transforms", ".ply": "ply"}
    kind = format or suffixes.get(path.suffix.lower(), "colmap")
    if kind not in SCENE_FORMATS:
        raise ValueError(f"format must be one of {', '.join(SCENE_FORMATS)}, got {kind!r}")
    if kind == "transforms":
        write_transforms(reconstruction, path)
    elif kind == "ply":
        write_points_ply(path, reconstruction.points)
    else:
        write_colmap(reconstruction, path, "bin" if kind == "colmap" else "txt")


def write_points_ply(path: str | os.PathLike, points: Points) -> None:
    """Write the points of a reconstruction with their colours as a binary PLY."""
    write_ply(path, points.xyz, points.color)


def _transforms(path: Path) -> Reconstruction:
    scene = read_transforms(path)
    if scene.missing:
        names = ", ".join(scene.missing[:_NAMES]) + (", ..." if len(scene.missing) > _NAMES else "")
        total = len(scene.missing) + len(scene.reconstruction.views)
        _log.warning(
            "%s: %d of %d frames have no file and are left out: %s", path, len(scene.missing), total, names
        )
    return scene.reconstruction


def _points(path: Path) -> Reconstruction:
    mesh = read_ply(path)
    count = len(mesh.points)
    nothing = np.zeros(0, np.int64)
    color = np.full((count, 3), 255, np.uint8) if mesh.colors is None else mesh.colors
    points = Points(
        mesh.points.astype(np.float64),
        color,
        np.full(count, np.nan),
        np.zeros(count + 1, np.int64),
        nothing,
        nothing,
    )
    return Reconstruction(points=points)
