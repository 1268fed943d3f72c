"""Ground control points in OpenDroneMap's format, `gcp_list.txt`.

    EPSG:32615                                   first line: the coordinate system
    x y z im_x im_y photo [name] [extra ...]     one click a line: x east or longitude, y north or latitude, z height

Items are separated by blanks, or by tabs where names hold blanks. Lines of one name are one point (of one place, where
they are not named). `check` among the extra items, or in place of the name, makes a check point: it is measured, and
used for nothing.

OpenDroneMap counts pixel centres from 0, so that the middle of the top-left pixel is (0, 0); geo3d's is (0.5, 0.5).
The half pixel is added here, once. Pixels are those of the file as stored, before any rotation that EXIF asks for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from geo3d.sfm.georeference_crs import geodetic_from_crs, read_crs

_CHECK = {"check", "checkpoint", "check_point", "check-point"}
_CONVERTED = (".heic.jpg", ".heif.jpg", ".avif.jpg")  # how a scene calls a.heic
_SAME_PLACE = 1e-9  # relative; two lines of one point


@dataclass(frozen=True)
class GroundPoint:
    """A point on the ground that was surveyed, and where it is seen.

    Attributes
    ----------
    name : str
    geodetic : (3,) float64
        Latitude and longitude in degrees (WGS 84), height in metres as it was given.
    clicks : dict of str to (2,) float64
        Photo name to pixel x, y; the centre of the top-left pixel is (0.5, 0.5).
    check : bool
        Not used to place the model, only to see how well it is placed.
    """

    name: str
    geodetic: np.ndarray
    clicks: dict[str, np.ndarray]
    check: bool = False


@dataclass(frozen=True)
class GroundControl:
    """The content of a list of ground control points.

    Attributes
    ----------
    points : list of GroundPoint
        In the order in which they are first named.
    crs : str
        The coordinate system, as PROJ calls it.
    missing : list of str
        Photos that the list names and that are not there, sorted.
    """

    points: list[GroundPoint]
    crs: str
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Line:
    number: int
    xyz: tuple[float, float, float]
    pixel: tuple[float, float]
    photo: str
    name: str
    check: bool


def read_ground_control(path: str | os.PathLike) -> GroundControl:
    """Read a list of ground control points.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    GroundControl

    Raises
    ------
    ValueError
        If the first line names no coordinate system, a line cannot be understood, two lines of one point disagree
        about its place, or there is no point. The message names file and line.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    try:
        rows = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected text in UTF-8") from None
    content = [
        (i, row.strip()) for i, row in enumerate(rows, 1) if row.strip() and not row.lstrip().startswith("#")
    ]
    if not content:
        raise ValueError(
            f"{path} is empty; expected a coordinate system (EPSG:32615) and then lines of "
            "'x y z im_x im_y photo [name]'"
        )
    number, header = content[0]
    try:
        crs = read_crs(header)
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {error}") from error
    lines = [_read_line(path, *row) for row in content[1:]]
    if not lines:
        raise ValueError(f"{path} names a coordinate system and no points")
    groups: dict[object, list[_Line]] = {}
    for line in lines:
        groups.setdefault(line.name or line.xyz, []).append(line)
    _check_groups(path, groups.values())
    try:
        places = geodetic_from_crs(crs, [group[0].xyz for group in groups.values()])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    names = _names(groups)
    points = [
        GroundPoint(
            name=name,
            geodetic=place,
            clicks={line.photo: np.array(line.pixel) + 0.5 for line in group},
            check=any(line.check for line in group),
        )
        for name, group, place in zip(names, groups.values(), places)
    ]
    return GroundControl(points, crs.name)


def match_photos_of_control(control: GroundControl, photos: Iterable[str]) -> GroundControl:
    """The same points with the photos' names as in the scene; what the list adds or leaves out of a path is found.

    Parameters
    ----------
    control : GroundControl
    photos : iterable of str
        Names of the photos that are there.

    Returns
    -------
    GroundControl
        Clicks in photos that are not there are left out, and these are named in `missing`.

    Raises
    ------
    ValueError
        If none of the photos of the list is there, a name fits several, or a point is marked twice in one photo under
        two names.
    """
    known = sorted(photos)
    by_end: dict[str, list[str]] = {}
    for name in known:
        end = PurePosixPath(name).name.lower()
        by_end.setdefault(end, []).append(name)
        if end.endswith(_CONVERTED):
            by_end.setdefault(end.removesuffix(".jpg"), []).append(name)
    found: dict[str, str] = {}
    missing = []
    for name in sorted({photo for point in control.points for photo in point.clicks}):
        ends = by_end.get(PurePosixPath(name.replace("\\", "/")).name.lower(), [])
        if name in known:
            found[name] = name
        elif len(ends) == 1:
            found[name] = ends[0]
        elif ends:
            raise ValueError(
                f"the ground control names the photo {name!r}, which may be {ends[0]!r} or {ends[1]!r}; write its path"
            )
        else:
            missing.append(name)
    if not found:
        raise ValueError(
            f"none of the {len(missing)} photos that the ground control names is there (the first is {missing[0]!r}); "
            f"photos are called as {known[0]!r}"
        )
    points = [replace(point, clicks=_clicks_by_photo(point, found)) for point in control.points]
    return GroundControl(points, control.crs, missing)


def _clicks_by_photo(point: GroundPoint, found: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The clicks of a point by the photos' names in the scene, which `found` holds by those in the list."""
    clicks: dict[str, np.ndarray] = {}
    by: dict[str, str] = {}
    for name, pixel in point.clicks.items():
        photo = found.get(name)
        if photo is None:
            continue
        if photo in clicks and not np.array_equal(clicks[photo], pixel):
            raise ValueError(
                f"the ground control marks {point.name} twice in the photo {photo!r}, which it calls {by[photo]!r} "
                f"and {name!r}; keep one of the two marks"
            )
        clicks[photo], by[photo] = pixel, name
    return clicks


def _read_line(path: Path, number: int, text: str) -> _Line:
    items = [item.strip() for item in text.split("\t")] if text.count("\t") >= 5 else text.split()
    if "," in text and (len(items) < 6 or any("," in item for item in items[:5])):
        raise ValueError(
            f"{path}, line {number}: found commas; items are separated by blanks or tabs, not commas, and decimals "
            "have a point"
        )
    if len(items) < 6:
        raise ValueError(
            f"{path}, line {number}: expected 'x y z im_x im_y photo [name] [extra ...]', found {len(items)} items"
        )
    try:
        x, y, z, im_x, im_y = (float(item) for item in items[:5])
    except ValueError:
        raise ValueError(
            f"{path}, line {number}: expected five numbers x y z im_x im_y, found {' '.join(items[:5])!r}"
        ) from None
    if not np.isfinite([x, y, z, im_x, im_y]).all():
        raise ValueError(f"{path}, line {number}: the numbers must be finite; a point needs its height too")
    name = items[6] if len(items) > 6 else ""
    check = any(item.lower() in _CHECK for item in items[6:])
    if name.lower() in _CHECK:
        name = ""  # the word follows the photo where a point has no name
    return _Line(number, (x, y, z), (im_x, im_y), items[5], name, check)


def _check_groups(path: Path, groups: Iterable[list[_Line]]) -> None:
    for group in groups:
        first, photos = group[0], {}
        for line in group:
            if not np.allclose(line.xyz, first.xyz, rtol=_SAME_PLACE, atol=0):
                raise ValueError(
                    f"{path}, line {line.number}: {line.name!r} lies elsewhere than in line {first.number}; "
                    "a point has one place"
                )
            if line.photo in photos:
                raise ValueError(
                    f"{path}, line {line.number}: {line.photo} shows the same point twice (line {photos[line.photo]})"
                )
            photos[line.photo] = line.number


def _names(groups: dict[object, list[_Line]]) -> list[str]:
    """Names of the points: their own, or "point 3" after their place in the list."""
    return [group[0].name or f"point {i}" for i, group in enumerate(groups.values(), 1)]
