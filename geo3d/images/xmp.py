"""What drones write into a photo's XMP: position, accuracy, altitudes, and how gimbal and aircraft were turned.

DJI's names (`drone-dji:...`), and those that Pix4D asked others for (`Camera:GPSXYAccuracy`, `Camera:GPSZAccuracy`).
Angles are DJI's: yaw from north, clockwise; pitch, -90 looks down; roll; R = Rz(yaw) Ry(pitch) Rx(roll) takes the body
(x forward, y right, z down) to north, east, down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

Rtk = Literal["", "none", "single", "float", "fixed"]
"""How a receiver that can do RTK came to its position; "" where it does not say."""

LARGEST = 1e5
"""Beyond any altitude, accuracy or angle: what is larger is damage."""

_FIELD = re.compile(r"(?<![/\w-])(?:drone-dji|Camera):(\w+)\s*(?:=\s*[\"']|>)\s*([^\"'<]*)")


@dataclass(frozen=True)
class DroneXmp:
    """The fields that matter to geometry; None or "" where the photo does not say.

    Attributes
    ----------
    latitude_deg, longitude_deg : float or None
    absolute_altitude_m, relative_altitude_m : float or None
        As the drone believes, above sea level or the ellipsoid; above where it took off.
    gimbal_deg, flight_deg : (yaw, pitch, roll) or None
        Of the camera and of the aircraft.
    rtk : str
        "none", "single" (metres), "float" (decimetres), "fixed" (centimetres).
    horizontal_std_m, vertical_std_m : float or None
        Standard deviations of the position, as the receiver states them; the larger one of east and north.
    above_ellipsoid : bool
        The absolute altitude is RTK's, which is above the ellipsoid.
    """

    latitude_deg: float | None = None
    longitude_deg: float | None = None
    absolute_altitude_m: float | None = None
    relative_altitude_m: float | None = None
    gimbal_deg: tuple[float, float, float] | None = None
    flight_deg: tuple[float, float, float] | None = None
    rtk: Rtk = ""
    horizontal_std_m: float | None = None
    vertical_std_m: float | None = None
    above_ellipsoid: bool = False


def read_drone_xmp(xmp: bytes | str | Any) -> DroneXmp:
    """The drone's fields of an XMP packet, written as attributes or as elements; damaged ones are left out."""
    text = xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else str(xmp)
    words = {name: value.strip() for name, value in _FIELD.findall(text)}
    numbers = {name: number for name, value in words.items() if (number := _number(value)) is not None}
    # "GpsLongtitude" is how DJI spelt it for years.
    longitude = numbers.get("GpsLongitude", numbers.get("GpsLongtitude"))
    latitude = numbers.get("GpsLatitude")
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        latitude = longitude = None
    return DroneXmp(
        latitude_deg=latitude,
        longitude_deg=longitude,
        absolute_altitude_m=numbers.get("AbsoluteAltitude"),
        relative_altitude_m=numbers.get("RelativeAltitude"),
        gimbal_deg=_angles(numbers, "Gimbal"),
        flight_deg=_angles(numbers, "Flight"),
        rtk=_rtk(numbers.get("RtkFlag")),
        horizontal_std_m=_positive(max(numbers.get("RtkStdLon", 0.0), numbers.get("RtkStdLat", 0.0)))
        or _positive(numbers.get("GPSXYAccuracy")),
        vertical_std_m=_positive(numbers.get("RtkStdHgt")) or _positive(numbers.get("GPSZAccuracy")),
        above_ellipsoid=words.get("AltitudeType", "").lower() == "rtkalti",
    )


def gimbal_gravity(gimbal_deg: ArrayLike) -> np.ndarray:
    """(..., 3) unit direction of gravity in the camera's axes (x right, y down, z forward).

    Parameters
    ----------
    gimbal_deg : (..., 3)
        Yaw, pitch, roll in degrees.

    Examples
    --------
    >>> gimbal_gravity([30.0, -90.0, 0.0]).round(9).tolist()  # looks down: along the optical axis
    [0.0, 0.0, 1.0]
    """
    angles = np.deg2rad(np.asarray(gimbal_deg, np.float64))
    pitch, roll = angles[..., 1], angles[..., 2]
    right, down, forward = np.cos(pitch) * np.sin(roll), np.cos(pitch) * np.cos(roll), -np.sin(pitch)
    return np.stack([right, down, forward], -1)


def _rtk(flag: float | None) -> Rtk:
    """DJI's RtkFlag: 50 fixed, 32 to 49 float, 16 to 20 a single receiver, 0 nothing."""
    if flag is None:
        return ""
    return "fixed" if flag >= 50 else "float" if flag >= 32 else "single" if flag >= 16 else "none"


def _positive(number: float | None) -> float | None:
    return number if number is not None and number > 0 else None


def _angles(numbers: Mapping[str, float], of: str) -> tuple[float, float, float] | None:
    yaw, pitch, roll = (numbers.get(f"{of}{angle}Degree") for angle in ("Yaw", "Pitch", "Roll"))
    return None if yaw is None or pitch is None or roll is None else (yaw, pitch, roll)


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if abs(number) <= LARGEST else None  # not NaN either
