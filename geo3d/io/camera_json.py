"""geo3d's own camera.json: one calibrated camera, of any of geo3d's models.

    {"model": "OPENCV", "width": 1920, "height": 1080, "params": {"fx": 1500.0, ...}, "name": "front"}

`params` may be a list in the model's order as well. The centre of the top-left pixel is (0.5, 0.5).
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from geo3d.cameras import MODELS, Camera
from geo3d.io.json_file import finite_number, read_json_object, whole_number
from geo3d.util.files import write_text


@dataclass(frozen=True)
class NamedCamera:
    """A camera and what it is called (empty where it has no name)."""

    camera: Camera
    name: str = ""


def write_camera_json(path: str | os.PathLike, camera: Camera, name: str = "") -> None:
    """Write a camera of any model, those that COLMAP lacks too, atomically.

    Parameters
    ----------
    path : path
        The JSON file; replaced if it is there.
    camera : Camera
        Principal point in pixels with the centre of the top-left pixel at (0.5, 0.5).
    name : str
        Of the lens or the device, kept with it; left out where empty.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    write_text(path, json.dumps(camera_content(camera) | ({"name": name} if name else {}), indent=2) + "\n")


def camera_content(camera: Camera) -> dict[str, Any]:
    """The object that stands for a camera in geo3d's JSON files."""
    params = dict(zip(MODELS[camera.model].param_names, map(float, camera.params), strict=True))
    return {"model": camera.model, "width": camera.width, "height": camera.height, "params": params}


def read_camera_json(path: str | os.PathLike) -> NamedCamera:
    """Read a camera.json.

    Raises
    ------
    ValueError
        If the file is not one, or the camera is not valid.
    """
    return named_camera(read_json_object(path), Path(path))


def named_camera(content: dict[str, Any], path: object) -> NamedCamera:
    """The camera that an object of geo3d's JSON files stands for; `path` says where it stood.

    Raises
    ------
    ValueError
        If it is none, or the camera is not valid.
    """
    missing = {"model", "width", "height", "params"} - set(content)
    if missing:
        raise ValueError(f"{path}: expected a geo3d camera, which has {', '.join(sorted(missing))} too")
    model, params, name = content["model"], content["params"], content.get("name", "")
    if not isinstance(model, str) or model not in MODELS:
        raise ValueError(f"{path}: expected a model out of {', '.join(MODELS)}, found {str(model)[:60]!r}")
    try:
        names = MODELS[model].param_names
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if isinstance(params, dict):
        if set(params) != set(names):
            raise ValueError(f"{path}: expected params {_few(names)}, found {_few(params)}")
        params = [params[n] for n in names]
    if not isinstance(params, list) or not isinstance(name, str):
        raise ValueError(f"{path}: expected params as an object or a list and name as text")
    values = [finite_number(v, f"{path}, params") for v in params]
    width, height = (whole_number(content[key], f"{path}, {key}") for key in ("width", "height"))
    try:
        return NamedCamera(Camera(model, width, height, values), name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _few(names: Iterable[object]) -> str:
    """At most twenty of the names, in words."""
    some = [str(name)[:60] for name in islice(names, 21)]
    return ", ".join(some[:20]) + (", ..." if len(some) > 20 else "")
