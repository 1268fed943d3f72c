"""Where the habitat stands on Earth: metres east, north and up of an origin to latitude, longitude and height.

WGS 84. ENU to ECEF is a rotation about the origin; ECEF to geodetic iterates the latitude, which converges to
below a micrometre in five steps near the ground (Bowring 1976 in its iterated form).
"""

from __future__ import annotations

import numpy as np

AXIS = 6378137.0  # equatorial radius, metres
FLATTENING = 1 / 298.257223563
ECCENTRICITY2 = FLATTENING * (2 - FLATTENING)

# A meadow above Grindelwald, Switzerland: latitude and longitude in degrees, height in metres
MEADOW = (46.6412, 8.0312, 1420.0)


def enu_to_geodetic(enu: np.ndarray, origin: tuple[float, float, float]) -> np.ndarray:
    """(..., 3) east, north, up in metres to (..., 3) latitude and longitude in degrees and height in metres."""
    lat, lon = np.deg2rad(origin[0]), np.deg2rad(origin[1])
    curvature = AXIS / np.sqrt(1 - ECCENTRICITY2 * np.sin(lat) ** 2)
    start = np.array(
        [
            (curvature + origin[2]) * np.cos(lat) * np.cos(lon),
            (curvature + origin[2]) * np.cos(lat) * np.sin(lon),
            (curvature * (1 - ECCENTRICITY2) + origin[2]) * np.sin(lat),
        ]
    )
    east = np.array([-np.sin(lon), np.cos(lon), 0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    up = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    x, y, z = np.moveaxis(start + np.asarray(enu, np.float64) @ np.stack([east, north, up]), -1, 0)
    level = np.hypot(x, y)
    latitude = np.arctan2(z, level * (1 - ECCENTRICITY2))
    for _ in range(5):
        curvature = AXIS / np.sqrt(1 - ECCENTRICITY2 * np.sin(latitude) ** 2)
        height = level / np.cos(latitude) - curvature
        latitude = np.arctan2(z, level * (1 - ECCENTRICITY2 * curvature / (curvature + height)))
    curvature = AXIS / np.sqrt(1 - ECCENTRICITY2 * np.sin(latitude) ** 2)
    height = level / np.cos(latitude) - curvature
    return np.stack([np.rad2deg(latitude), np.rad2deg(np.arctan2(y, x)), height], axis=-1)
