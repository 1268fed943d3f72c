"""What the camera wrote beside the pixels: maker, lens, focal length, time, place. EXIF 2.32 / 3.0, and drones' XMP."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo3d.images.photo import open_header
from geo3d.images.xmp import LARGEST, DroneXmp, Rtk, read_drone_xmp


@dataclass(frozen=True)
class Gps:
    """Where a photo was taken. Degrees (WGS 84) and metres, as receivers write them.

    Attributes
    ----------
    latitude_deg, longitude_deg : float
        North and east positive.
    altitude_m : float or None
        As written: above sea level or above the ellipsoid, cameras differ and most do not say. Negative
        below.
    horizontal_std_m, vertical_std_m : float or None
        Stated accuracy: RTK's standard deviation, or EXIF's GPSHPositioningError.
    relative_altitude_m : float or None
        Above the take-off point (DJI).
    rtk : str
        How an RTK receiver came to the position: "none", "single", "float", "fixed"; "" where the photo does not say.
    dop : float or None
        Dilution of precision: how much the constellation of satellites magnifies the errors of the ranges.
    above_ellipsoid : bool
        The photo says that its altitude is above the ellipsoid. Most do not say, or say "sea level" of either.
    """

    latitude_deg: float
    longitude_deg: float
    altitude_m: float | None = None
    horizontal_std_m: float | None = None
    vertical_std_m: float | None = None
    relative_altitude_m: float | None = None
    rtk: Rtk = ""
    dop: float | None = None
    above_ellipsoid: bool = False


@dataclass(frozen=True)
class Exif:
    """The fields of a photo's EXIF that matter to geometry; None or "" where the photo does not say.

    `width` and `height` are those of the pixels as stored. `orientation` is EXIF's 1 to 8, not applied
    anywhere. `gps_refused` says why a position that is written is none. `focal_plane_px_per_mm` is the
    sensor's pixel density for a photo whose longer side has `exif_size` pixels. `gimbal_deg` is DJI's yaw
    (from north, clockwise), pitch (-90 looks down) and roll of the camera, `flight_deg` that of the aircraft.
    """

    width: int
    height: int
    make: str = ""
    model: str = ""
    lens: str = ""
    serial: str = ""  # of the body
    focal_mm: float | None = None
    focal_35mm: float | None = None
    digital_zoom: float | None = None
    focal_plane_px_per_mm: float | None = None
    exif_size: int | None = None
    orientation: int = 1
    time: str = ""  # "YYYY:MM:DD HH:MM:SS", with a fraction where written; the camera's local time
    gps: Gps | None = None
    gps_refused: str = ""
    gimbal_deg: tuple[float, float, float] | None = None
    flight_deg: tuple[float, float, float] | None = None


_MAKE, _MODEL, _ORIENTATION, _DATETIME, _EXIF_IFD, _GPS_IFD, _XMP = 271, 272, 274, 306, 0x8769, 0x8825, 700
_ORIGINAL_TIME, _SUBSECONDS, _FOCAL, _ZOOM, _FOCAL_35 = 36867, 37521, 37386, 41988, 41989
_PLANE_X, _PLANE_UNIT, _PIXEL_WIDTH, _PIXEL_HEIGHT, _LENS, _SERIAL = 41486, 41488, 40962, 40963, 42036, 42033
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}


def read_exif(path: str | os.PathLike) -> Exif:
    """Read EXIF and a drone's XMP from the header of a photo.

    A photo without EXIF gives an `Exif` that holds its size only; damaged fields are left out.

    Raises
    ------
    PhotoError
        If the file is not an image.
    OSError
        If it cannot be opened.
    """
    with Path(path).open("rb") as file:
        head = file.read(64)
        file.seek(0)
        image = open_header(path, file, head)
        try:
            main = image.getexif()
            detail, place = main.get_ifd(_EXIF_IFD), main.get_ifd(_GPS_IFD)
        except (OSError, SyntaxError, ValueError, KeyError, TypeError, AttributeError):  # damaged EXIF block
            return Exif(*image.size)
        xmp = image.info.get("xmp") or main.get(_XMP) or b""
        width, height = image.size
    drone = read_drone_xmp(xmp)
    gps, gps_refused = _gps(place, drone)
    unit = _MM_PER_UNIT.get(_integer(detail.get(_PLANE_UNIT), 2))
    density = _positive(detail.get(_PLANE_X))
    time = _text(detail.get(_ORIGINAL_TIME)) or _text(main.get(_DATETIME))
    fraction = _text(detail.get(_SUBSECONDS))
    return Exif(
        width=width,
        height=height,
        make=_text(main.get(_MAKE)),
        model=_text(main.get(_MODEL)),
        lens=_text(detail.get(_LENS)),
        serial=_text(detail.get(_SERIAL)),
        focal_mm=_positive(detail.get(_FOCAL)),
        focal_35mm=_positive(detail.get(_FOCAL_35)),
        digital_zoom=_positive(detail.get(_ZOOM)),
        focal_plane_px_per_mm=density / unit if density and unit else None,
        exif_size=max(_integer(detail.get(tag), 0) for tag in (_PIXEL_WIDTH, _PIXEL_HEIGHT)) or None,
        orientation=o if 1 <= (o := _integer(main.get(_ORIENTATION), 1)) <= 8 else 1,
        time=f"{time}.{fraction}" if time and fraction.isdigit() else time,
        gps=gps,
        gps_refused=gps_refused,
        gimbal_deg=drone.gimbal_deg,
        flight_deg=drone.flight_deg,
    )


def _gps(place: Mapping[int, Any], drone: DroneXmp) -> tuple[Gps | None, str]:
    """The position of a photo, and why one that is written is none."""
    latitude, longitude = _degrees(place.get(2), place.get(1), "S"), _degrees(place.get(4), place.get(3), "W")
    if _text(place.get(9)).upper() == "V":
        return None, "the receiver says that it had no fix"
    refused = ""
    if latitude is not None and longitude is not None and (abs(latitude) > 90 or abs(longitude) > 180):
        refused = "latitude beyond 90 or longitude beyond 180 degrees is no place on Earth"
    if latitude is None or longitude is None or refused:
        latitude, longitude = drone.latitude_deg, drone.longitude_deg
    if latitude is None or longitude is None:
        return None, refused
    if latitude == 0.0 and longitude == 0.0:
        return None, "latitude and longitude are 0, which receivers write without a fix"
    altitude = _number(place.get(6))
    if altitude is not None and not abs(altitude) <= LARGEST:
        altitude = None
    reference = place.get(5, 0)
    reference = reference[0] if isinstance(reference, bytes) and reference else reference
    if altitude is not None and reference in (1, 3):  # below the sea, below the ellipsoid
        altitude = -abs(altitude)
    gps = Gps(
        latitude_deg=latitude,
        longitude_deg=longitude,
        altitude_m=drone.absolute_altitude_m if altitude is None else altitude,
        horizontal_std_m=drone.horizontal_std_m or _positive(place.get(31)),
        vertical_std_m=drone.vertical_std_m,
        relative_altitude_m=drone.relative_altitude_m,
        rtk=drone.rtk,
        dop=_positive(place.get(11)),
        above_ellipsoid=reference in (2, 3) or drone.above_ellipsoid,
    )
    return gps, ""


def _degrees(value: Any, reference: Any, negative: str) -> float | None:
    """Degrees, minutes and seconds to signed degrees; None where a part is missing."""
    parts = value if isinstance(value, tuple | list) else (value,)
    numbers = [_number(part) for part in parts]
    if not numbers or len(numbers) > 3 or any(n is None for n in numbers):
        return None
    degrees = sum(n / 60**i for i, n in enumerate(numbers) if n is not None)
    if _text(reference).upper().startswith(negative):
        degrees = -degrees
    return degrees


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.split("\0")[0].strip() if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _integer(value: Any, default: int) -> int:
    number = _number(value)
    return default if number is None else int(number)
