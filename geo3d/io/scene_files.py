"""Reading and writing a scene whatever its format: what `geo3d convert` and `geo3d inspect` do."""

import logging
import os
from pathlib import Path
from typing import Literal

import numpy as np

from geo3d.io.colmap import colmap_format, read_colmap, write_colmap
from geo3d.io.ply import read_ply, write_ply
from geo3d.io.transforms import quoted, read_transforms, write_transforms
from geo3d.scene import Points, Reconstruction

SceneFormat = Literal["colmap", "colmap-txt", "transforms", "ply"]
SCENE_FORMATS: tuple[SceneFormat, ...] = ("colmap", "colmap-txt", "transforms", "ply")
_NAMES = 50  # of missing photos that a message tells

_log = logging.getLogger(__name__)


def read_scene(path: str | os.PathLike, images: str | os.PathLike | None = None) -> Reconstruction:
    """Read a scene: a folder with a COLMAP model (itself, `sparse/0` or `sparse`) or a transforms.json, or a file.

    Files are transforms.json (any `.json`) and `.ply` (points without tracks). Frames of a transforms.json that have
    no file are left out, and a warning is logged that counts and names them.

    Parameters
    ----------
    path : path-like
    images : path-like, optional
        Folder of the photos of a transforms.json, where they are not below its own.

    Raises
    ------
    FileNotFoundError
        If there is nothing that can be read; the message tells what was looked for.
    ValueError
        If a file is corrupt or of another kind.
    """
    found = find_scene(path)
    if found.is_dir():
        return read_colmap(found)
    return _points(found) if found.suffix.lower() == ".ply" else _transforms(found, images)


def scene_images(path: str | os.PathLike) -> Path | None:
    """The folder of the photos of a scene that `read_scene` reads; None where it is not known.

    Parameters
    ----------
    path : path-like
        The folder `images` beside a model or beside its `sparse`; for a transforms.json what its frames name.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_scene`.
    """
    found = find_scene(path)
    if not found.is_dir():
        return read_transforms(found).images if found.suffix.lower() == ".json" else None
    folder = found.absolute()
    root = next((f.parent for f in (folder, folder.parent) if f.name == "sparse"), folder)
    return root / "images" if (root / "images").is_dir() else None


def find_scene(path: str | os.PathLike) -> Path:
    """The folder of a COLMAP model, or the file, that `read_scene` reads when it is given `path`.

    Raises
    ------
    FileNotFoundError
        If there is none; the message tells what was looked for.
    ValueError
        If it is a file of another kind.
    """
    path = Path(path)
    if path.is_dir():
        for folder in (path, path / "sparse" / "0", path / "sparse"):
            if colmap_format(folder) is not None:
                return folder
        for name in ("transforms.json", "transforms_train.json"):
            if (path / name).is_file():
                return path / name
        raise FileNotFoundError(
            f"no scene in {path}: looked for a COLMAP model in it, in sparse/0 and in sparse, and for transforms.json"
        )
    if not path.is_file():
        raise FileNotFoundError(f"no file or folder {path}")
    if path.suffix.lower() not in (".json", ".ply"):
        raise ValueError(
            f"{path}: expected a scene folder, a .json or a .ply file, found {path.suffix or 'no suffix'!r}"
        )
    return path


def write_scene(
    reconstruction: Reconstruction,
    path: str | os.PathLike,
    format: SceneFormat | None = None,
    images: str | os.PathLike | None = None,
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
    images : path-like, optional
        Folder of the photos, for "transforms", which names them relative to the file; `images` beside the file if
        not given.

    Raises
    ------
    ValueError
        If the format is none of these, cannot hold the scene, or would hold nothing of it.
    """
    path = Path(path)
    suffixes: dict[str, SceneFormat] = {".json": "transforms", ".ply": "ply"}
    kind = format or suffixes.get(path.suffix.lower(), "colmap")
    if kind not in SCENE_FORMATS:
        raise ValueError(f"format must be one of {', '.join(SCENE_FORMATS)}, got {kind!r}")
    if kind == "transforms":
        if not reconstruction.registered():
            raise ValueError(
                "a transforms.json holds photos with their poses only, and here are none (a .ply has no cameras)"
            )
        write_transforms(reconstruction, path, "images" if images is None else _relative(images, path.parent))
    elif kind == "ply":
        if not len(reconstruction.points):
            raise ValueError("a .ply holds points only, and here are none (a transforms.json has none)")
        write_points_ply(path, reconstruction.points)
    else:
        write_colmap(reconstruction, path, "bin" if kind == "colmap" else "txt")


def _relative(images: str | os.PathLike, folder: Path) -> str:
    """The path that leads from `folder` to `images`; not through symbolic links where it has to go up."""
    plain = os.path.relpath(images, folder)
    if Path(plain).parts[:1] == ("..",):
        plain = os.path.relpath(Path(images).resolve(), folder.resolve())
    return Path(plain).as_posix()


def write_points_ply(path: str | os.PathLike, points: Points) -> None:
    """Write the `points` of a reconstruction with their colours as a binary PLY at `path`."""
    write_ply(path, points.xyz, points.color)


def _transforms(path: Path, images: str | os.PathLike | None) -> Reconstruction:
    scene = read_transforms(path, images)
    if scene.missing:
        names = ", ".join(map(quoted, scene.missing[:_NAMES])) + (
            ", ..." if len(scene.missing) > _NAMES else ""
        )
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
