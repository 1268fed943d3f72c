"""Coordinate reference systems: the UTM zone of a place, and what the first line of a list of control points means.

Everything goes through latitude and longitude of WGS 84 (PROJ does the mathematics). Heights are taken as they are,
unless the system has a height of its own (a compound or three-dimensional one): nobody can say what a bare number is
above, and a geoid is a file that may not be there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from pyproj import CRS


@dataclass(frozen=True)
class UtmZone:
    """One zone of Universal Transverse Mercator on WGS 84, metres east and north.

    Attributes
    ----------
    number : int
        1 to 60.
    north : bool
        The northern hemisphere's.
    """

    number: int
    north: bool

    @property
    def epsg(self) -> int:
        """Code in EPSG's register."""
        return (32600 if self.north else 32700) + self.number

    def __str__(self) -> str:
        return f"{self.number}{'N' if self.north else 'S'}"

    def from_geodetic(self, geodetic: ArrayLike) -> np.ndarray:
        """(..., 3) latitude, longitude in degrees and height to (..., 3) easting, northing in metres and height."""
        return _transform("EPSG:4326", f"EPSG:{self.epsg}", np.asarray(geodetic, np.float64)[..., [1, 0, 2]])

    def to_geodetic(self, utm: ArrayLike) -> np.ndarray:
        """(..., 3) easting, northing and height to (..., 3) latitude, longitude in degrees and height."""
        return _transform(f"EPSG:{self.epsg}", "EPSG:4326", np.asarray(utm, np.float64))[..., [1, 0, 2]]


def utm_zone(latitude_deg: float, longitude_deg: float) -> UtmZone | None:
    """The zone of a place, with the exceptions for Norway and Svalbard; None near the poles, where there is none.

    Parameters
    ----------
    latitude_deg, longitude_deg : float

    Examples
    --------
    >>> utm_zone(46.64, 8.03).epsg, str(utm_zone(60.4, 5.3))
    (32632, '32N')
    """
    if not -80 <= latitude_deg < 84:
        return None
    longitude = (longitude_deg + 180) % 360 - 180
    number = int((longitude + 180) // 6) + 1
    if 56 <= latitude_deg < 64 and 3 <= longitude < 12:
        number = 32
    if latitude_deg >= 72 and 0 <= longitude < 42:
        number = 31 + 2 * int((longitude + 3) // 12)
    return UtmZone(number, latitude_deg >= 0)


def read_crs(line: str) -> CRS:
    """The reference system that a line names, as OpenDroneMap's lists do.

    Parameters
    ----------
    line : str
        `EPSG:32632` (also compound, `EPSG:32632+5773`), a PROJ string (`+proj=utm +zone=32 ...`), or
        `WGS84 UTM 32N`.

    Raises
    ------
    ValueError
        If it names none.
    """
    import pyproj
    from pyproj.exceptions import CRSError

    text = line.strip().strip("'\"")
    utm = re.fullmatch(r"WGS\s?84[\s/]+UTM(?:\s+zone)?\s+(\d{1,2})\s*([NS])", text, re.IGNORECASE)
    if utm and 1 <= int(utm[1]) <= 60:
        text = f"EPSG:{UtmZone(int(utm[1]), utm[2].upper() == 'N').epsg}"
    elif not re.match(r"(?i)epsg:\d|\+proj=|\+init=", text):
        raise ValueError(
            f"{line.strip()!r} names no coordinate system; expected 'EPSG:32632', '+proj=utm +zone=32 +datum=WGS84' "
            "or 'WGS84 UTM 32N'"
        )
    try:
        crs = pyproj.CRS.from_user_input(text)
    except CRSError as error:
        raise ValueError(f"{line.strip()!r} is not a coordinate system that PROJ knows: {error}") from error
    if not (crs.is_projected or crs.is_geographic or crs.is_compound):
        raise ValueError(f"{line.strip()!r} is no system of places on Earth ({crs.type_name})")
    return crs


def geodetic_from_crs(crs: CRS, xyz: ArrayLike) -> np.ndarray:
    """Coordinates of a reference system to WGS 84.

    Parameters
    ----------
    crs : pyproj.CRS
    xyz : (..., 3)
        East (or longitude), north (or latitude), height, whatever order the register gives the axes.

    Returns
    -------
    (..., 3) float64
        Latitude, longitude in degrees, height in metres.

    Raises
    ------
    ValueError
        If a point lies outside of what the system covers, or PROJ lacks the grid of the system's heights.
    """
    xyz = np.asarray(xyz, np.float64)
    target = "EPSG:4979" if len(crs.axis_info) > 2 else "EPSG:4326"
    found = _transform(crs, target, xyz)
    good = np.isfinite(found).all(-1) & (np.abs(found[..., 2]) < 1e5)
    good &= (np.abs(found[..., 1]) <= 90) & (np.abs(found[..., 0]) <= 360)
    if not good.all():
        bad = xyz.reshape(-1, 3)[~good.ravel()][0]
        raise ValueError(
            f"x {bad[0]:.10g}, y {bad[1]:.10g} is no place in {crs.name}; x is east or longitude, y north or latitude"
        )
    return found[..., [1, 0, 2]]


def _transform(source: object, target: object, xyz: np.ndarray) -> np.ndarray:
    from pyproj import CRS, Transformer
    from pyproj.transformer import TransformerGroup

    crs = CRS.from_user_input(source)
    if crs.is_compound and not TransformerGroup(crs, target, always_xy=True).best_available:
        raise ValueError(
            f"heights of {crs.name} need a geoid grid that PROJ does not have here, and would be tens of metres off "
            "without. Install it (`projsync --system-directory --file us_nga_egm96_15.tif` for EGM96, or all by "
            "`projsync --all`), or give heights above the ellipsoid and the system without its height part"
        )
    transformer = Transformer.from_crs(source, target, always_xy=True)
    return np.stack(transformer.transform(xyz[..., 0], xyz[..., 1], xyz[..., 2]), -1)
