"""Small pictures of the photos: for the report as data URIs, turned upright by their EXIF orientation; for the viewer
as stored, as the camera's axes have them.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geo3d.util.files import path_inside
from geo3d.util.threads import map_threads

if TYPE_CHECKING:
    from PIL import Image

_SIDE_PX = 240
_JPEG_QUALITY = 70


def thumbnails(folder: Path | None, names: list[str]) -> dict[str, str]:
    """Photo name to data URI; photos that cannot be read are left out."""
    if folder is None:
        return {}
    made = map_threads(lambda name: _data_uri(path_inside(folder, name)), names)
    return {name: uri for name, uri in zip(names, made, strict=True) if uri}


def _data_uri(path: Path) -> str | None:
    small = small_photo(path, _SIDE_PX)
    return None if small is None else jpeg_uri(small, _JPEG_QUALITY)


def small_photo(path: Path, side_px: int, upright: bool = True) -> Image.Image | None:
    """A photo in RGB with sides of at most `side_px`; None where it cannot be read.

    Parameters
    ----------
    path : Path
    side_px : int
    upright : bool
        Turn it by its EXIF orientation; else it stays as its pixels are stored.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as photo:
            photo.draft("RGB", (2 * side_px, 2 * side_px))
            if photo.mode.startswith(("I", "F")):
                values = np.asarray(photo, np.float64)
                values = (values - values.min()) * (255 / max(float(np.ptp(values)), 1e-9))
                small = Image.fromarray(values.astype(np.uint8)).convert("RGB")
            else:
                small = (ImageOps.exif_transpose(photo) if upright else photo).convert("RGB")
            small.thumbnail((side_px, side_px))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        # Pillow raises any of these on a damaged file, or one that claims to be huge; a blank is shown then.
        return None
    return small


def jpeg_uri(image: Image.Image, quality: int) -> str:
    """A picture as the data URI of a JPEG.

    Parameters
    ----------
    image : Image
        RGB or grey.
    quality : int
        Of the JPEG.
    """
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
