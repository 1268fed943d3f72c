"""Options of the main job. At import only the standard library is loaded, so that the command line starts at once."""

import math
import operator
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

STAGES: tuple[str, ...] = ("scan", "features", "matches", "poses", "georeference", "export")
"""Names of the stages of `geo3d reconstruct`, in the order in which they run."""

CameraPer = Literal["exif", "folder", "photo"]
Matching = Literal["auto", "exhaustive", "sequential", "gps", "retrieval"]
Quality = Literal["low", "medium", "high"]


@dataclass(frozen=True)
class ReconstructOptions:
    """What a user may choose about a reconstruction; the defaults suit a folder of photos of one place.

    What is given is checked at once; paths may be given as str, camera_params as any sequence of numbers.

    Attributes
    ----------
    calib : Path or None
        File with the known calibration of the camera; it sets camera_model and camera_params.
    camera_model : str or None
        COLMAP's name of the lens model; None chooses by what is known about the lens.
    camera_params : tuple of float or None
        Intrinsics in COLMAP's order, in pixels of the original photos, top-left pixel at (0.5, 0.5).
    fix_intrinsics : bool
        Keep the given intrinsics as they are; otherwise they are refined together with the poses.
    camera_per : {"exif", "folder", "photo"}
        Which photos share their intrinsics: those whose EXIF and size agree, those in one folder, none.
    max_size : int or None
        Longest side, in pixels, at which features are sought; None takes the one of `quality`.
    matching : {"auto", "exhaustive", "sequential", "gps", "retrieval"}
        Which pairs of photos are compared: all, neighbours by name, by place, or by what they show; "auto" compares
        all of a small set and takes the neighbours of each kind in a large one.
    gps_radius_m : float or None
        Photos further apart are no neighbours by place; None takes the nearest.
    seed : int
        Seed of every random choice; the same seed and photos give the same result.
    from_stage, until_stage : str or None
        First stage that is run again even if its result is there, and last stage to run. One of `STAGES`.
    quality : {"low", "medium", "high"}
        How many features are sought at what size; lower is faster.
    pairs : Path or None
        Text file with one pair of photo names a line; takes the place of `matching`.
    threads : int or None
        Number of threads; None takes all cores. Features take fewer where memory is short.
    gcp : Path or None
        Ground control points: a list in OpenDroneMap's format, `gcp_list.txt`.
    distance : tuple of (str, str, float)
        Known distances: names of two photos (their cameras) or of two points of `gcp`, and metres.
    marker_size_m : float or None
        Edge of the black square of printed markers (ArUco, AprilTag), which are then looked for in the photos.
    frames : int
        Most frames that are taken of a video.

    Raises
    ------
    ValueError
        If a value is none that can be used, or two contradict each other. The message names the attribute.
    """

    calib: Path | None = None
    camera_model: str | None = None
    camera_params: tuple[float, ...] | None = None
    fix_intrinsics: bool = False
    camera_per: CameraPer = "exif"
    max_size: int | None = None
    matching: Matching = "auto"
    seed: int = 0
    from_stage: str | None = None
    until_stage: str | None = None
    quality: Quality = "high"
    pairs: Path | None = None
    threads: int | None = None
    gcp: Path | None = None
    distance: tuple[tuple[str, str, float], ...] = ()
    gps_radius_m: float | None = None
    marker_size_m: float | None = None
    frames: int = 250

    def __post_init__(self) -> None:
        for name, choices in (("camera_per", CameraPer), ("matching", Matching), ("quality", Quality)):
            _check_choice(name, getattr(self, name), get_args(choices))
        for name in ("from_stage", "until_stage"):
            if getattr(self, name) is not None:
                _check_choice(name, getattr(self, name), STAGES)
        for name, least in (("max_size", 64), ("seed", 0), ("threads", 1), ("frames", 2)):
            if name in ("seed", "frames") or getattr(self, name) is not None:
                object.__setattr__(self, name, _whole(name, getattr(self, name), least))
        for name in ("calib", "pairs", "gcp"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _path(name, getattr(self, name)))
        _check_choice("fix_intrinsics", self.fix_intrinsics, (True, False))
        if self.pairs is not None and self.matching != "auto":
            raise ValueError(f"pairs already says what is compared; leave out matching {self.matching!r}")
        if self.gps_radius_m is not None:
            if self.pairs is not None:
                raise ValueError("gps_radius_m is of no use when pairs says what is compared")
            object.__setattr__(self, "gps_radius_m", _length("gps_radius_m", self.gps_radius_m))
            if self.matching not in ("auto", "gps"):
                raise ValueError(f"gps_radius_m is of no use when matching is {self.matching!r}")
        first, last = self.from_stage or STAGES[0], self.until_stage or STAGES[-1]
        if STAGES.index(first) > STAGES.index(last):
            raise ValueError(f"from_stage {first!r} comes after until_stage {last!r}")
        object.__setattr__(self, "distance", tuple(_distance(given) for given in self.distance))
        if self.marker_size_m is not None:
            object.__setattr__(self, "marker_size_m", _length("marker_size_m", self.marker_size_m))
        self._check_camera()

    def _check_camera(self) -> None:
        if self.calib is not None and (self.camera_model is not None or self.camera_params is not None):
            raise ValueError("calib already says model and params; leave out camera_model and camera_params")
        if self.camera_model is not None:
            _check_model(self.camera_model)
        if self.camera_params is None:
            return
        if self.camera_model is None:
            raise ValueError(
                "camera_params needs camera_model, which says what the numbers mean (PINHOLE: fx, fy, cx, cy)"
            )
        object.__setattr__(self, "camera_params", _numbers("camera_params", self.camera_params))
        _check_params(self.camera_model, self.camera_params)


def _check_choice(name: str, value: Any, choices: tuple) -> None:
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name} is {value!r}; choose one of {', '.join(map(str, choices))}")


def _whole(name: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        what = "the longest side in pixels, " if name == "max_size" else ""
        raise ValueError(f"{name} is {value!r}; expected {what}a whole number of at least {least}")
    return number


def _path(name: str, value: Any) -> Path:
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise ValueError(f"{name} is {value!r}; expected the path of a file")
    return Path(value)


def _distance(given: Any) -> tuple[str, str, float]:
    parts = () if isinstance(given, str | bytes) else tuple(given)
    if len(parts) != 3 or not all(isinstance(name, str) and name for name in parts[:2]):
        raise ValueError(f"distance is {given!r}; expected two names and metres, as ('a.jpg', 'b.jpg', 12.5)")
    try:
        metres = float(parts[2])
    except (TypeError, ValueError):
        metres = math.nan
    if not math.isfinite(metres):
        point = " (a point stands before the fraction, no comma)" if "," in str(parts[2]) else ""
        raise ValueError(f"distance is {given!r}; {parts[2]!r} is no number of metres{point}")
    if parts[0] == parts[1] or metres <= 0:
        raise ValueError(f"distance is {given!r}; expected two different names and positive metres")
    return parts[0], parts[1], metres


def _length(name: str, value: Any) -> float:
    try:
        length = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError):
        length = math.nan
    if not 0 < length < math.inf:
        raise ValueError(f"{name} is {value!r}; expected metres, more than 0")
    return length


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    try:
        numbers = () if isinstance(values, str | bytes) else tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name} is {values!r}; expected finite numbers")
    return numbers


def _check_model(model: str) -> None:
    # Loaded only for those who name a model: the table of models brings numpy and numba.
    from geo3d.cameras import MODELS

    names = [name for name, info in MODELS.items() if info.in_colmap]
    if model not in names:
        raise ValueError(
            f"camera_model is {model!r}, which is not a COLMAP model; choose one of {', '.join(names)}"
        )


def _check_params(model: str, params: tuple[float, ...]) -> None:
    from geo3d.cameras import MODELS, Camera

    names = MODELS[model].param_names
    if len(params) != len(names):
        raise ValueError(
            f"camera_params has {len(params)} numbers; {model} takes {len(names)}: {', '.join(names)}"
        )
    try:
        Camera(model, 1, 1, params)
    except ValueError as error:
        raise ValueError(f"camera_{error}") from error
