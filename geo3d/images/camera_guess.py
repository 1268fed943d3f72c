"""A first camera from EXIF: the focal length in pixels, and a word on where it comes from.

With W the photo's longer side in pixels:

    sensor table            f = focal_mm / sensor_width_mm * W
    focal plane resolution  f = focal_mm * pixels_per_mm
    35 mm equivalent        f = focal_35mm / 43.27 mm * diagonal, the sensor's (CIPA DCG-001: equal diagonals)
    guess                   f = 1.2 W, a moderate wide-angle lens

The 35 mm equivalent is rounded to whole millimetres and makers cheat a little, so where the sensor is known
and both agree to 15 %, the sensor's figure is taken; where they do not agree, the 35 mm equivalent is (it
knows about digital zoom and about which of a phone's lenses took the photo).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Literal

from geo3d.cameras import Camera
from geo3d.images.exif import Exif, read_exif
from geo3d.images.sensors import sensor_width_mm

FocalSource = Literal["35 mm equivalent", "sensor table", "focal plane resolution", "guess"]
GUESSED_FOCAL = 1.2  # times the longer side
_DIAGONAL_35MM = math.hypot(36.0, 24.0)


@dataclass(frozen=True)
class CameraGuess:
    """A camera to begin with.

    Attributes
    ----------
    camera : Camera
        Principal point at the centre, no distortion; `prior_focal` is false for a mere guess.
    source : str
        "35 mm equivalent", "sensor table", "focal plane resolution" or "guess".
    key : str
        Photos with the same key were taken with the same camera, lens, focal length and size.
    """

    camera: Camera
    source: FocalSource
    key: str


def camera_from_exif(photo: str | os.PathLike | Exif, model: str = "SIMPLE_RADIAL") -> CameraGuess:
    """The camera of a photo as far as its EXIF tells.

    Parameters
    ----------
    photo : path or Exif
    model : str
        COLMAP's name of the camera model.

    Raises
    ------
    PhotoError, OSError
        As `read_exif`.
    ValueError
        If there is no such model.
    """
    exif = photo if isinstance(photo, Exif) else read_exif(photo)
    focal, source = focal_from_exif(exif)
    camera = Camera.from_focal(model, exif.width, exif.height, focal)
    return CameraGuess(replace(camera, prior_focal=source != "guess"), source, camera_key(exif))


def focal_from_exif(exif: Exif) -> tuple[float, FocalSource]:
    """Focal length in pixels and where it comes from."""
    longer = max(exif.width, exif.height)
    zoom = exif.digital_zoom or 1.0
    known: list[tuple[float, FocalSource]] = []
    if exif.focal_mm:
        sensor = sensor_width_mm(exif.make, exif.model)
        if sensor:
            known.append((exif.focal_mm * zoom / sensor * longer, "sensor table"))
        if exif.focal_plane_px_per_mm and exif.exif_size:
            reduced = longer / exif.exif_size
            known.append((exif.focal_mm * exif.focal_plane_px_per_mm * reduced, "focal plane resolution"))
    plausible = [found for found in known if 0.2 < found[0] / longer < 100]
    if exif.focal_35mm:
        f35 = exif.focal_35mm / _DIAGONAL_35MM * _sensor_diagonal(exif)
        for f, source in plausible:
            if abs(f / f35 - 1) < 0.15:
                return f, source
        if 0.2 < f35 / longer < 100:
            return f35, "35 mm equivalent"
    if plausible:
        return plausible[0]
    return GUESSED_FOCAL * longer, "guess"


def camera_key(exif: Exif) -> str:
    """What photos of one camera have in common: make, model, lens, focal length and size."""
    focal = f"{exif.focal_mm:g} mm" if exif.focal_mm else ""
    equivalent = f"{exif.focal_35mm:g} mm eq." if exif.focal_35mm else ""
    zoom = f"zoom {exif.digital_zoom:g}" if exif.digital_zoom and exif.digital_zoom != 1 else ""
    words = [exif.make, exif.model, exif.lens, focal, equivalent, zoom]
    name = " ".join(word for word in words if word) or "unknown camera"
    return f"{name} {exif.width}x{exif.height}"


def group_key(exif: Exif, name: str, per: Literal["exif", "folder", "photo"] = "exif") -> str:
    """Key under which photos share their intrinsics.

    Parameters
    ----------
    exif : Exif
        Of the photo.
    name : str
        Of the photo, relative to the photos' folder, with forward slashes.
    per : "exif", "folder" or "photo"
        "exif": same camera, lens, focal length and size; "folder": same folder and size; "photo": none shared.

    Returns
    -------
    str
        Equal for two photos that share one camera; readable, and of no further meaning.

    Raises
    ------
    ValueError
        If `per` is none of these.
    """
    if per == "exif":
        return camera_key(exif)
    if per == "folder":
        return f"{name.rpartition('/')[0]}/ {exif.width}x{exif.height}"
    if per == "photo":
        return name
    raise ValueError(f'per must be "exif", "folder" or "photo", got {per!r}')


def _sensor_diagonal(exif: Exif) -> float:
    """Diagonal in pixels of the whole sensor: a photo that is wider or narrower than it was cut from it.

    Sensors are 3:2 where the crop factor is that of full frame or APS-C, and 4:3 where it is larger.
    """
    longer, shorter = max(exif.width, exif.height), min(exif.width, exif.height)
    aspect = longer / shorter
    if 1.3 < aspect < 1.53:
        return math.hypot(longer, shorter)
    crop = exif.focal_35mm / exif.focal_mm if exif.focal_35mm and exif.focal_mm else 5.0
    sensor = 1.5 if crop < 1.8 else 4 / 3
    return longer * math.hypot(1, 1 / sensor) if aspect > sensor else shorter * math.hypot(1, sensor)
