"""COLMAP models as folders: cameras, images, points3D, and the rigs and frames of COLMAP 4.

Binary (.bin) or text (.txt). Models without rigs and frames (COLMAP 3) are read as well. Pixel coordinates,
camera axes, camera models and quaternions are the same in COLMAP and in geo3d.
"""

import os
from pathlib import Path
from typing import Literal

from geo3d.io import colmap_binary, colmap_text
from geo3d.io.colmap_model import from_reconstruction, to_reconstruction
from geo3d.scene import Reconstruction
from geo3d.util.files import atomic_path

_NEEDED = ("cameras", "images", "points3D")
_ALL = (*_NEEDED, "rigs", "frames")
_MODEL_FILES = {f"{stem}{suffix}" for stem in _ALL for suffix in (".bin", ".txt")} | {"project.ini"}


def colmap_format(folder: str | os.PathLike) -> Literal["bin", "txt"] | None:
    """Which model lies in `folder`: "bin" where the binary files are all there, else "txt", else None."""
    if all((Path(folder) / f"{stem}.bin").is_file() for stem in _NEEDED):
        return "bin"
    if all((Path(folder) / f"{stem}.txt").is_file() for stem in _NEEDED):
        return "txt"
    return None


def read_colmap(folder: str | os.PathLike) -> Reconstruction:
    """Read a COLMAP model, binary where it is there, else text.

    Points come in ascending order of COLMAP's ids. Rigs and frames are left empty where each rig has one
    camera and each frame one image.

    Parameters
    ----------
    folder : path-like
        Folder of cameras.bin (or .txt), images.bin, points3D.bin, and rigs.bin, frames.bin if there are any.

    Returns
    -------
    Reconstruction
        Every view of it is registered.

    Raises
    ------
    FileNotFoundError
        If there is no model in the folder.
    ValueError
        If a file is truncated or corrupt; the message names the file, what was expected and what was found.
    """
    folder = Path(folder)
    kind = colmap_format(folder)
    if kind is None:
        looked = ", ".join(f"{stem}.bin" for stem in _NEEDED)
        if not folder.is_dir():
            there = "no such folder"
        else:
            there = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise FileNotFoundError(
            f"no COLMAP model in {folder}: looked for {looked} (or the same as .txt), found {there}"
        )
    for one, other in (("rigs", "frames"), ("frames", "rigs")):
        if (folder / f"{one}.{kind}").exists() and not (folder / f"{other}.{kind}").exists():
            raise FileNotFoundError(
                f"{folder} holds {one}.{kind} without {other}.{kind}; they belong together"
            )
    model = (colmap_binary if kind == "bin" else colmap_text).read_model(folder)
    return to_reconstruction(model, folder)


def write_colmap(
    reconstruction: Reconstruction, folder: str | os.PathLike, format: Literal["bin", "txt"] = "bin"
) -> None:
    """Write the registered views of `reconstruction`, their cameras and points as a COLMAP model.

    The whole folder is renamed into place: a model that is there already is replaced in one step, and stays
    as it was if anything fails. Point ids are the rows + 1.

    Parameters
    ----------
    reconstruction : Reconstruction
        Tracks may refer to registered views only.
    folder : path-like
        Made if missing. Must hold nothing but a COLMAP model.
    format : "bin" or "txt"
        COLMAP's own reader of text cuts the names of photos at the first space; ours does not.

    Raises
    ------
    ValueError
        If a camera's model is not one of COLMAP's, if the tracks do not fit the views, or if the folder holds
        other things than a model.
    """
    if format not in ("bin", "txt"):
        raise ValueError(f'format must be "bin" or "txt", got {format!r}')
    folder = Path(folder)
    model = from_reconstruction(reconstruction)
    others = sorted(p.name for p in folder.iterdir() if p.name not in _MODEL_FILES) if folder.is_dir() else []
    if others:
        raise ValueError(
            f"{folder} holds {', '.join(others[:5])}, not part of a COLMAP model; choose an "
            "empty or new folder"
        )
    with atomic_path(folder) as scratch:
        scratch.mkdir()
        (colmap_binary if format == "bin" else colmap_text).write_model(model, scratch)
        for path in scratch.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
