"""How well a photo's GPS position is known: standard deviations in metres, east, north and up.

What the photo states goes first (RTK's standard deviations, EXIF's GPSHPositioningError), then the dilution of
precision times the error of a single range, then what receivers in phones and drones commonly reach. All of it
describes errors of one axis. Heights are twice as bad as places, because satellites are only above.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from geo3d.geometry import EnuFrame
from geo3d.images import Gps

HORIZONTAL_STD_M = 5.0
"""Of a receiver that says nothing about itself."""
VERTICAL_OVER_HORIZONTAL = 2.0
RANGE_STD_M = 3.0
"""Of one satellite's range for a single-frequency receiver: DOP times this is the error of the position."""

_STATED = {  # what RTK reaches when it states no deviation, and the least that is believed when it does
    "fixed": (0.03, 0.02),
    "float": (0.5, 0.2),
    "single": (2.0, 0.5),
    "none": (10.0, 5.0),
    "": (HORIZONTAL_STD_M, 0.01),
}


@dataclass(frozen=True)
class PhotoPosition:
    """Where a photo was taken, as its GPS says.

    Attributes
    ----------
    name : str
        Of the photo.
    geodetic : (3,) float64
        Latitude and longitude in degrees (WGS 84), altitude in metres, NaN where not known.
    std_m : (3,) float64
        Standard deviations east, north, up.
    relative_altitude_m : float
        Above the take-off point, NaN where not known.
    above_ellipsoid : bool
        The photo says so of its altitude.
    rtk : bool
        From a receiver with a fixed RTK solution.
    """

    name: str
    geodetic: np.ndarray
    std_m: np.ndarray
    relative_altitude_m: float = np.nan
    above_ellipsoid: bool = False
    rtk: bool = False


def position_std_m(gps: Gps) -> tuple[float, float]:
    """Standard deviations of a position: horizontal (each axis) and vertical, metres.

    Examples
    --------
    >>> position_std_m(Gps(46.6, 8.0, 1420.0))
    (5.0, 10.0)
    >>> position_std_m(Gps(46.6, 8.0, 1420.0, horizontal_std_m=0.012, vertical_std_m=0.03, rtk="fixed"))
    (0.02, 0.03)
    """
    default, least = _STATED[gps.rtk]
    horizontal = gps.horizontal_std_m
    if horizontal is None:
        horizontal = RANGE_STD_M * gps.dop if gps.dop is not None and not gps.rtk else default
    horizontal = max(horizontal, least)
    vertical = gps.vertical_std_m
    return horizontal, max(vertical or VERTICAL_OVER_HORIZONTAL * horizontal, least)


def photo_position(name: str, gps: Gps) -> PhotoPosition:
    """The position of the photo `name`, from its `gps`."""
    horizontal, vertical = position_std_m(gps)
    altitude = np.nan if gps.altitude_m is None else gps.altitude_m
    relative = np.nan if gps.relative_altitude_m is None else gps.relative_altitude_m
    return PhotoPosition(
        name=name,
        geodetic=np.array([gps.latitude_deg, gps.longitude_deg, altitude]),
        std_m=np.array([horizontal, horizontal, vertical]),
        relative_altitude_m=relative,
        above_ellipsoid=gps.above_ellipsoid,
        rtk=gps.rtk == "fixed",
    )


def photo_positions(gps: Mapping[str, Gps | None]) -> list[PhotoPosition]:
    """The positions of the photos that have GPS, sorted by name; `gps` by photo name."""
    return [photo_position(name, place) for name, place in sorted(gps.items()) if place is not None]


def local_frame(positions: list[PhotoPosition]) -> EnuFrame:
    """A frame in the middle of `positions`: at the median of each coordinate, which stray ones do not move.

    Where no photo has an altitude, the origin's height is 0.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not positions:
        raise ValueError("positions is empty: a local frame needs at least one")
    places = np.array([p.geodetic for p in positions])
    # Longitudes that straddle 180 degrees are brought together before the median is taken.
    longitude = places[0, 1] + (places[:, 1] - places[0, 1] + 180) % 360 - 180
    known = places[np.isfinite(places[:, 2]), 2]
    height = float(np.median(known)) if len(known) else 0.0
    middle = (float(np.median(longitude)) + 180) % 360 - 180
    return EnuFrame(round(float(np.median(places[:, 0])), 7), round(middle, 7), round(height, 3))


@dataclass(frozen=True)
class AltitudeOffset:
    """How the altitudes relate to each other.

    Attributes
    ----------
    gps_minus_relative_m : float or None
        Median of GPS altitude minus altitude above take-off: the take-off point's altitude as the GPS sees it.
    spread_m : float or None
        Median absolute deviation of that difference; small means that both come from the same barometer.
    above_ellipsoid : bool or None
        None where the photos do not say what their altitudes are above.
    """

    gps_minus_relative_m: float | None
    spread_m: float | None
    above_ellipsoid: bool | None

    def sentence(self) -> str:
        """What the user should know about the heights."""
        if self.above_ellipsoid:
            level = "Altitudes are above the WGS 84 ellipsoid, as the photos say."
        else:
            level = (
                "The photos do not say whether their altitudes are above the ellipsoid or above sea level; the two "
                "differ by up to 100 m, by the same amount everywhere in a scene."
            )
        if self.gps_minus_relative_m is None:
            return level
        return (
            f"{level} The take-off point is at {self.gps_minus_relative_m:.1f} m by GPS altitude minus altitude "
            f"above take-off (spread {self.spread_m:.2f} m); compare with its true altitude to find the offset."
        )


def altitude_offset(positions: list[PhotoPosition]) -> AltitudeOffset | None:
    """Compare the altitudes of `positions` with those above take-off; None where no photo has an altitude."""
    altitude = np.array([p.geodetic[2] for p in positions])
    if not np.isfinite(altitude).any():
        return None
    difference = altitude - np.array([p.relative_altitude_m for p in positions])
    difference = difference[np.isfinite(difference)]
    said = all(p.above_ellipsoid for p in positions if np.isfinite(p.geodetic[2]))
    if not len(difference):
        return AltitudeOffset(None, None, True if said else None)
    middle = float(np.median(difference))
    return AltitudeOffset(middle, float(np.median(np.abs(difference - middle))), True if said else None)
