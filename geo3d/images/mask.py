"""Masks of photos: white is kept, black is ignored.

The mask of `images/a/b.jpg` lies in the same place of the folder `masks`, and its name is the photo's with anything
after it: `masks/a/b.jpg.png` (COLMAP's rule), or else `b.png`, `b.mask.png`, `B.TIF`, ... (Brush's). It must have the
photo's proportions; another size is enlarged or reduced to the photo's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from geo3d.images.folder import CONVERTED_SUFFIXES, MASK_FOLDER, PHOTO_SUFFIXES
from geo3d.images.photo import PhotoError, read_photo
from geo3d.util.files import path_inside
from geo3d.util.require import require

_MASK_SUFFIXES = PHOTO_SUFFIXES | {".mask"}


def find_mask_folder(images_folder: str | os.PathLike) -> Path | None:
    """`masks/` inside of the photos' folder or beside it; None where there is none."""
    root = Path(images_folder)
    for folder in (root / MASK_FOLDER, root.resolve().parent / MASK_FOLDER):
        if folder.is_dir():
            return folder
    return None


def find_mask(masks_folder: str | os.PathLike, name: str) -> Path | None:
    """The mask file of a photo.

    Parameters
    ----------
    masks_folder : path
        As `find_mask_folder` finds it.
    name : str
        Of the photo, relative to the photos' folder, with forward slashes.

    Returns
    -------
    Path or None
        `NAME.png` (COLMAP's rule), or else the first picture whose name without its suffix is the photo's name, the
        photo's without its suffix, or that with `.mask`, in small or capital letters (Brush's); None where there is
        none.

    Raises
    ------
    ValueError
        If the name leads out of the folder.
    """
    exact = path_inside(masks_folder, name + ".png")
    if exact.is_file():
        return exact
    if not exact.parent.is_dir():
        return None
    photo = Path(name)
    stems = [photo.name, photo.stem, f"{photo.stem}.mask"]
    if Path(photo.stem).suffix.lower() in CONVERTED_SUFFIXES:  # a.heic is a.heic.jpg in a scene
        stems.append(Path(photo.stem).stem)
    files = _by_stem(str(exact.parent), exact.parent.stat().st_mtime_ns)
    for stem in stems:
        for file in files.get(stem.casefold(), ()):
            path = path_inside(masks_folder, str(photo.parent / file))
            if path.is_file():
                return path
    return None


@lru_cache(maxsize=64)
def _by_stem(folder: str, changed: int) -> dict[str, list[str]]:
    """Pictures of a folder, sorted, by their names without suffix in small letters; `changed` is the folder's time."""
    found: dict[str, list[str]] = {}
    for file in sorted(Path(folder).iterdir()):
        if file.suffix.lower() in _MASK_SUFFIXES:
            found.setdefault(file.stem.casefold(), []).append(file.name)
    return found


def unused_masks(masks_folder: str | os.PathLike, names: Iterable[str]) -> list[str]:
    """Pictures in a folder of masks that belong to no photo.

    Parameters
    ----------
    masks_folder : path
    names : iterable of str
        Of the photos.

    Returns
    -------
    list of str
        Names below the folder, with forward slashes, sorted.
    """
    root = Path(masks_folder).resolve()
    used = {find_mask(root, name) for name in names}
    files = (path for path in root.rglob("*") if path.suffix.lower() in _MASK_SUFFIXES and path.is_file())
    return sorted(path.relative_to(root).as_posix() for path in files if path.resolve() not in used)


def read_mask(
    path: str | os.PathLike,
    size: tuple[int, int] | None = None,
    *,
    full_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Read a mask, (H, W) bool, true where the photo is kept (grey value of at least 128).

    Parameters
    ----------
    path : path
    size : (width, height), optional
        Size of the photo it belongs to; a mask of other size is sampled to it by nearest pixel.
    full_size : (width, height), optional
        Size of that photo in its file, for the message, where `size` is that of a reduced one.

    Raises
    ------
    PhotoError
        If it cannot be read, its proportions differ from the photo's by more than 1 %, or it is grey or of other
        numbers than 0 and 255 (0 and 1, say) such that nothing would be kept.
    """
    gray = read_photo(path, "gray").pixels
    mask = gray >= 128
    if not mask.any() and gray.max() > 0:
        raise PhotoError(
            path,
            f"a mask that keeps nothing: its brightest pixel has the grey value {gray.max()}, and 128 to 255 are kept",
            "Write what is to be kept as white (255)",
        )
    if size is None or mask.shape == (size[1], size[0]):
        return mask
    (width, height), full = size, full_size or size
    if abs(mask.shape[1] * height / (mask.shape[0] * width) - 1) > 0.01:
        raise PhotoError(
            path,
            f"a mask of {mask.shape[1]}x{mask.shape[0]} for a photo of {full[0]}x{full[1]}",
            "Make it in the photo's own size and orientation as stored (EXIF rotation is not applied)",
        )
    cv2 = require("cv2")
    return cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
