"""Where the habitat stands on Earth: metres east, north and up of an origin to latitude, longitude and height."""

from __future__ import annotations

import numpy as np

from geo3d.geometry import EnuFrame

# A meadow above Grindelwald, Switzerland: latitude and longitude in degrees, height in metres
MEADOW = (46.6412, 8.0312, 1420.0)


def enu_to_geodetic(enu: np.ndarray, origin: tuple[float, float, float]) -> np.ndarray:
    """(..., 3) metres of the `origin` (degrees, degrees, metres) to latitude, longitude and height; see `EnuFrame`."""
    return EnuFrame(*origin).to_geodetic(enu)
