"""A local frame on Earth: metres east, north and up of an origin. WGS 84.

    ecef = ((N + h) cos(lat) cos(lon), (N + h) cos(lat) sin(lon), (N (1 - e^2) + h) sin(lat))
    N = a / sqrt(1 - e^2 sin(lat)^2)
    enu = R (ecef - ecef_origin),           the rows of R are east, north and up at the origin

The way back from ECEF to latitude and height iterates `tan(lat) = z / (p (1 - e^2 N / (N + h)))` (Bowring 1976), which
is exact to well below a micrometre after five steps anywhere near the ground. The frame is a plane that touches the
ellipsoid: a kilometre from the origin the ellipsoid lies 8 cm below it, which is why heights are not `up`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

AXIS_M = 6378137.0
"""Equatorial radius of the WGS 84 ellipsoid."""
FLATTENING = 1 / 298.257223563
_E2 = FLATTENING * (2 - FLATTENING)
_STEPS = 6


@dataclass(frozen=True)
class EnuFrame:
    """East, north and up of a place, in metres. x east, y north, z along the ellipsoid's normal.

    Attributes
    ----------
    latitude_deg, longitude_deg, height_m : float
        The origin; the height is above the ellipsoid or above whatever other level all heights are given from.

    Raises
    ------
    ValueError
        If a number is not finite, or the latitude is beyond the poles.

    Examples
    --------
    >>> import numpy as np
    >>> frame = EnuFrame(46.6412, 8.0312, 1420.0)
    >>> np.abs(np.round(frame.from_geodetic([46.6412, 8.0312, 1425.0]), 6)).tolist()  # 5 m up
    [0.0, 0.0, 5.0]
    >>> np.round(frame.to_geodetic([0.0, 0.0, 5.0]), 6).tolist()
    [46.6412, 8.0312, 1425.0]
    """

    latitude_deg: float
    longitude_deg: float
    height_m: float

    def __post_init__(self) -> None:
        for name in ("latitude_deg", "longitude_deg", "height_m"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not np.isfinite([self.latitude_deg, self.longitude_deg, self.height_m]).all():
            raise ValueError(f"the origin of a local frame must be finite; got {self}")
        if abs(self.latitude_deg) > 90:
            raise ValueError(f"latitude_deg must be between -90 and 90; got {self.latitude_deg}")

    def from_geodetic(self, geodetic: ArrayLike) -> np.ndarray:
        """(..., 3) latitude and longitude in degrees and height in metres to (..., 3) east, north, up in metres."""
        return (ecef_from_geodetic(np.asarray(geodetic, np.float64)) - self._origin()) @ self.axes().T

    def to_geodetic(self, enu: ArrayLike) -> np.ndarray:
        """(..., 3) east, north, up in metres to (..., 3) latitude and longitude in degrees and height in metres."""
        return _geodetic(self._origin() + np.asarray(enu, np.float64) @ self.axes())

    def _origin(self) -> np.ndarray:
        return ecef_from_geodetic(np.array([self.latitude_deg, self.longitude_deg, self.height_m]))

    def axes(self) -> np.ndarray:
        """(3, 3): the rows are east, north and up, in the axes of ECEF."""
        lat, lon = np.deg2rad(self.latitude_deg), np.deg2rad(self.longitude_deg)
        east = [-np.sin(lon), np.cos(lon), 0.0]
        north = [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)]
        up = [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]
        return np.array([east, north, up])


def ecef_from_geodetic(geodetic: np.ndarray) -> np.ndarray:
    """(..., 3) latitude and longitude in degrees and height in metres to (..., 3) metres in the axes of the Earth.

    Parameters
    ----------
    geodetic : (..., 3) float64
    """
    lat, lon = np.deg2rad(geodetic[..., 0]), np.deg2rad(geodetic[..., 1])
    height = geodetic[..., 2]
    curvature = AXIS_M / np.sqrt(1 - _E2 * np.sin(lat) ** 2)
    level = (curvature + height) * np.cos(lat)
    return np.stack(
        [level * np.cos(lon), level * np.sin(lon), (curvature * (1 - _E2) + height) * np.sin(lat)], -1
    )


def _geodetic(ecef: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(ecef, -1, 0)
    level = np.hypot(x, y)
    lat = np.arctan2(z, level * (1 - _E2))
    for _ in range(_STEPS):
        sine, cosine = np.sin(lat), np.cos(lat)
        curvature = AXIS_M / np.sqrt(1 - _E2 * sine**2)
        # Of the two ways to the height, this one has no pole: level / cos(lat) - curvature fails at 90 degrees.
        height = level * cosine + z * sine - curvature * (1 - _E2 * sine**2)
        lat = np.arctan2(z, level * (1 - _E2 * curvature / (curvature + height)))
    sine, cosine = np.sin(lat), np.cos(lat)
    curvature = AXIS_M / np.sqrt(1 - _E2 * sine**2)
    height = level * cosine + z * sine - curvature * (1 - _E2 * sine**2)
    return np.stack([np.rad2deg(lat), np.rad2deg(np.arctan2(y, x)), height], -1)
