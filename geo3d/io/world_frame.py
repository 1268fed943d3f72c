"""Where a scene's world is: its unit and its place on Earth, as files of points and Gaussians carry it with them.

As comments of a PLY:

    comment geo3d world {"metric": true, "origin": {"latitude_deg": ..., "longitude_deg": ..., "altitude_m": ...}, ...}

and under the same keys in the JSON of formats that have some (`extras` of GLB, `meta.json` of SOG), or beside the file
as `NAME.georeference.json`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo3d.geometry import EnuFrame
from geo3d.util.files import read_json_object, write_text

COMMENT = "geo3d world "
"""What a comment of a PLY begins with that holds a world frame as JSON."""


@dataclass(frozen=True)
class WorldFrame:
    """What a unit and the axes of a world are.

    Attributes
    ----------
    metric : bool
        A unit is a metre; otherwise the scale is arbitrary.
    origin : EnuFrame or None
        The axes are east, north and up of this place, WGS 84; None where the world is not placed on Earth.
    crs : str
        Coordinate system of `crs_origin_m`, as `EPSG:32632`; empty without.
    crs_origin_m : (3,) tuple of float, or None
        Easting, northing and altitude of the point (0, 0, 0) there, by which offset files are commonly shifted.
    """

    metric: bool = False
    origin: EnuFrame | None = None
    crs: str = ""
    crs_origin_m: tuple[float, float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON's types: what `from_json` reads, without keys for what is not known."""
        found: dict[str, Any] = {"metric": self.metric}
        if self.origin is not None:
            o = self.origin
            found["origin"] = {
                "latitude_deg": o.latitude_deg,
                "longitude_deg": o.longitude_deg,
                "altitude_m": o.height_m,
            }
        if self.crs and self.crs_origin_m is not None:
            found["crs"], found["crs_origin_m"] = self.crs, list(self.crs_origin_m)
        return found

    @staticmethod
    def from_json(record: Any) -> WorldFrame:
        """The frame that a file of anybody's making tells; what does not fit counts as not known."""
        if not isinstance(record, dict):
            return WorldFrame()
        origin = _numbers(record.get("origin"), ("latitude_deg", "longitude_deg", "altitude_m"))
        frame = EnuFrame(*origin) if origin and abs(origin[0]) <= 90 else None
        shift = record.get("crs_origin_m")
        shift = _numbers(dict(enumerate(shift)), (0, 1, 2)) if isinstance(shift, list) else None
        crs = record.get("crs")
        if not isinstance(crs, str) or not crs.isprintable() or shift is None:
            crs, shift = "", None
        return WorldFrame(record.get("metric") is True, frame, crs, shift)


def read_georeference(path: str | os.PathLike) -> WorldFrame:
    """The world of a scene, from its `georeference.json`; nothing is known where `path` is missing or damaged."""
    record = read_json_object(Path(path))
    utm = record.get("utm")
    if isinstance(utm, dict) and isinstance(utm.get("epsg"), int):
        record = {**record, "crs": f"EPSG:{utm['epsg']}", "crs_origin_m": utm.get("offset_m")}
    return WorldFrame.from_json({**record, "metric": record.get("metric", record.get("metres"))})


def world_file(path: str | os.PathLike) -> Path:
    """`NAME.georeference.json` beside the file `path`, for formats with no place for a world frame."""
    path = Path(path)
    return path.with_name(f"{path.name}.georeference.json")


def write_world_file(path: str | os.PathLike, frame: WorldFrame, antialiased: bool = False) -> None:
    """Write `frame` and the flag `antialiased` beside the file `path`; remove what lies there if nothing is known."""
    beside = world_file(path)
    if frame == WorldFrame() and not antialiased:
        beside.unlink(missing_ok=True)
    else:
        flag = {"antialiased": True} if antialiased else {}
        write_text(beside, json.dumps({**frame.to_json(), **flag}, indent=1))


def read_world_file(path: str | os.PathLike) -> tuple[WorldFrame, bool]:
    """World frame and antialiased flag that lie beside the file `path`."""
    record = read_json_object(world_file(path))
    return WorldFrame.from_json(record), record.get("antialiased") is True


def _numbers(record: Any, keys: tuple) -> tuple[float, float, float] | None:
    """The values of three keys if all are finite numbers."""
    values: list[Any] = [record.get(key) for key in keys] if isinstance(record, dict) else [None]
    if not all(isinstance(v, int | float) and abs(v) < 1e300 for v in values):
        return None
    return (float(values[0]), float(values[1]), float(values[2]))
