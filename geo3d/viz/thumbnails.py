"""Small pictures of the photos for the report, as data URIs, turned upright by their EXIF orientation."""

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
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as photo:
            photo.draft("RGB", (2 * _SIDE_PX, 2 * _SIDE_PX))
            if photo.mode.startswith(("I", "F")):
                values = np.asarray(photo, np.float64)
                values = (values - values.min()) * (255 / max(float(np.ptp(values)), 1e-9))
                small = Image.fromarray(values.astype(np.uint8)).convert("RGB")
            else:
                small = ImageOps.exif_transpose(photo).convert("RGB")
            small.thumbnail((_SIDE_PX, _SIDE_PX))
    except (OSError, ValueError, SyntaxError):
        # Pillow raises any of these on a damaged file; the report then shows a blank.
        return None
    return jpeg_uri(small, _JPEG_QUALITY)


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
