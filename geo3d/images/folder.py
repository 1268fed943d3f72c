"""Which photos and videos a folder holds: by suffix, recursive, sorted; hidden files and mask folders are left out."""

from __future__ import annotations

import os
from pathlib import Path

_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_PHONE = {".heic", ".heif", ".avif"}
_OTHERS = {".png", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm", ".jp2", ".gif"}
PHOTO_SUFFIXES = frozenset(_JPEG | _PHONE | _OTHERS)
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv"}
)
CONVERTED_SUFFIXES = frozenset(_PHONE)
"""Of photos that other programs cannot open: in a scene they are JPEG, `a.heic.jpg`."""
MASK_FOLDER = "masks"


def list_photos(folder: str | os.PathLike, *, recursive: bool = True) -> list[str]:
    """Names of the photos below a folder, with forward slashes, sorted.

    Files are judged by their suffix only (a damaged photo is listed, so that its reader can name it). Hidden
    files and folders, `__MACOSX` and folders named `masks` are skipped. A folder that was reached by a
    symbolic link is entered once.

    Parameters
    ----------
    folder : path
    recursive : bool
        Look into the folders inside too.

    Returns
    -------
    list of str
        Paths relative to `folder`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    NotADirectoryError
        If it is a file.
    """
    root = Path(folder)
    if not root.exists():
        raise FileNotFoundError(f"no folder {os.fspath(folder)!r}: give the folder that holds the photos")
    if not root.is_dir():
        raise NotADirectoryError(f"{os.fspath(folder)!r} is a file: give the folder that holds the photos")
    names: list[str] = []
    seen: set[str] = set()
    for parent, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if recursive and not _skipped(f))
        for file in files:
            if not file.startswith(".") and Path(file).suffix.lower() in PHOTO_SUFFIXES:
                names.append((Path(parent) / file).relative_to(root).as_posix())
    return sorted(names)


def list_videos(folder: str | os.PathLike) -> list[str]:
    """Names of the videos below a folder, by their suffix, with forward slashes, sorted; hidden ones are skipped."""
    root = Path(folder)
    found = (path for path in root.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    names = (path.relative_to(root).as_posix() for path in found)
    return sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))


def _skipped(folder: str) -> bool:
    return folder.startswith(".") or folder == "__MACOSX" or folder.lower() == MASK_FOLDER
