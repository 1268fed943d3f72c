"""Masks of photos: white is kept, black is ignored.

The mask of `images/a/b.jpg` is `masks/a/b.jpg.png` (COLMAP's rule), or else `masks/a/b.png` or any other
photo file of the same stem. It must have the photo's proportions; another size is enlarged or reduced to the
photo's.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from geo3d.images.folder import MASK_FOLDER
from geo3d.images.photo import PhotoError, read_photo
from geo3d.util.files import path_inside
from geo3d.util.require import require

_OTHER_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


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
        `NAME.png` (COLMAP's rule), or else a picture of the same stem; None where there is none.

    Raises
    ------
    ValueError
        If the name leads out of the folder.
    """
    exact = path_inside(masks_folder, name + ".png")
    if exact.is_file():
        return exact
    plain = path_inside(masks_folder, name)
    for suffix in (*_OTHER_SUFFIXES, plain.suffix):
        path = plain.with_suffix(suffix)
        if path.is_file():
            return path
    return None


def read_mask(path: str | os.PathLike, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a mask, (H, W) bool, true where the photo is kept (grey value of at least 128).

    Parameters
    ----------
    path : path
    size : (width, height), optional
        Size of the photo it belongs to; a mask of other size is sampled to it by nearest pixel.

    Raises
    ------
    PhotoError
        If it cannot be read, or if its proportions differ from the photo's by more than 1 %.
    """
    mask = read_photo(path, "gray").pixels >= 128
    if size is None or mask.shape == (size[1], size[0]):
        return mask
    width, height = size
    if abs(mask.shape[1] * height / (mask.shape[0] * width) - 1) > 0.01:
        raise PhotoError(
            path,
            f"a mask of {mask.shape[1]}x{mask.shape[0]} for a photo of {width}x{height}",
            "Make it in the photo's own size and orientation as stored (EXIF rotation is not applied)",
        )
    cv2 = require("cv2")
    return cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
