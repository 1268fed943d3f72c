"""What georeferencing found out, for people and for `georeference.json`. Residuals are measured minus model, in metres.

`georeference.json` holds, beside what the classes below say: `world` (what a unit and the axes of `sparse/` are),
`origin` (latitude, longitude, altitude of the point (0, 0, 0)), and `utm` (EPSG code of the zone, the origin's easting,
northing and altitude there, by which offset files are commonly shifted, and how far grid north is turned from north).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from geo3d.geometry import EnuFrame, Sim3
from geo3d.sfm.georeference_crs import utm_zone
from geo3d.sfm.georeference_gps import AltitudeOffset

Source = Literal["control", "gps", "distance", "marker", "none"]
"""Where a model's place, or at least its scale, comes from."""


@dataclass(frozen=True)
class PhotoResidual:
    """GPS minus camera centre of one photo; `up` is NaN where the GPS gives no height.

    `camera` is the camera centre in the world: east, north, up.
    """

    name: str
    camera: tuple[float, float, float]
    east: float
    north: float
    up: float
    outlier: bool

    @property
    def horizontal(self) -> float:
        """Distance on the ground."""
        return float(np.hypot(self.east, self.north))


@dataclass(frozen=True)
class ControlResidual:
    """Surveyed place minus the place in the model, of a control or check point.

    Attributes
    ----------
    name : str
    check : bool
    photos : int
        Photos whose clicks agree.
    east, north, up : float
        NaN where the point could not be located.
    error_px : float
        Root mean square of the clicks' reprojection errors.
    used : bool
        Placed the model; false for check points and those that were found wrong.
    note : str
        Why it could not be used.
    """

    name: str
    check: bool
    photos: int
    east: float
    north: float
    up: float
    error_px: float
    used: bool
    note: str = ""


@dataclass(frozen=True)
class LengthResidual:
    """A known length and what the placed model says; a marker's is the mean of its edges."""

    name: str
    known_m: float
    model_m: float
    used: bool


@dataclass
class ModelPlacement:
    """How one part was placed: a model as it was mapped.

    Attributes
    ----------
    source : str
        "control", "gps" (the world is ENU), "distance", "marker" (metres, up is z), "none" (up is z).
    transform : Sim3
        From the model as mapped to the world, before the last bundle adjustment.
    up_from : "gimbal", "cameras" or "positions"
    scale_std : float
        Relative; NaN where the scale is arbitrary.
    heading_std_deg, tilt_std_deg : float
        NaN where the model was not placed.
    photos : list of PhotoResidual
    control : list of ControlResidual
    lengths : list of LengthResidual
    adjusted : bool
        Whether the last bundle adjustment with GPS and control points was kept.
    error_before_px, error_px : float
        Mean reprojection error before and after it; NaN where there was none.
    camera_std : dict of int to (P,) float64
        Camera id to the standard deviations of the intrinsics as they are written.
    contradiction : float
        How many times further off the GPS is than it states, on the ground or in height.
    model : int
        Number of the model that the part is in as written (sparse/0, sparse/1, ...): several parts may have become one.
    notes, warnings : list of str
        Sentences for the user.
    """

    source: Source
    transform: Sim3
    up_from: Literal["gimbal", "cameras", "positions"]
    scale_std: float = np.nan
    heading_std_deg: float = np.nan
    tilt_std_deg: float = np.nan
    photos: list[PhotoResidual] = field(default_factory=list)
    control: list[ControlResidual] = field(default_factory=list)
    lengths: list[LengthResidual] = field(default_factory=list)
    adjusted: bool = False
    error_before_px: float = np.nan
    error_px: float = np.nan
    camera_std: dict[int, np.ndarray] = field(default_factory=dict)
    contradiction: float = 0.0
    model: int = 0
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def on_earth(self) -> bool:
        """The world is ENU about the origin."""
        return self.source in ("control", "gps")

    @property
    def metres(self) -> bool:
        """The world's unit is the metre."""
        return self.source != "none"

    def statistics(self, which: Literal["photos", "control", "check"]) -> dict[str, float]:
        """Median and RMS of horizontal and vertical residuals.

        Of `which`: the photos that are no outliers, the control points that were used, or the check points. Empty
        without any.
        """
        rows: list[PhotoResidual] | list[ControlResidual]
        if which == "photos":
            rows = [r for r in self.photos if not r.outlier]
        else:
            rows = [r for r in self.control if (r.check if which == "check" else r.used)]
        e, n, u = np.array([(r.east, r.north, r.up) for r in rows]).reshape(-1, 3).T
        level, steep = np.hypot(e, n), np.abs(u)
        found = {}
        for name, values in (("horizontal", level), ("vertical", steep)):
            values = values[np.isfinite(values)]
            if len(values):
                found[f"{name}_median_m"] = float(np.median(values))
                found[f"{name}_rms_m"] = float(np.sqrt(np.mean(values**2)))
        return found


@dataclass
class GeoreferenceResult:
    """How all parts of a scene were placed.

    Attributes
    ----------
    frame : EnuFrame or None
        The origin; None where no model is on Earth.
    models : list of ModelPlacement
        Of the parts, those of the first model as written first.
    altitude : AltitudeOffset or None
    crs : str
        Coordinate system of the control points; "" without.
    joins : list of str
        Sentences on parts that became one model, and on those that did not.
    """

    frame: EnuFrame | None
    models: list[ModelPlacement]
    altitude: AltitudeOffset | None = None
    crs: str = ""
    joins: list[str] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """Of all parts; where there are several, each says of which."""
        several = len(self.models) > 1
        return [
            *self.joins,
            *(
                f"part {number}: {text}" if several else text
                for number, model in enumerate(self.models, 1)
                for text in model.warnings
            ),
        ]

    def headline(self) -> str:
        """A few words about the first model."""
        model = self.models[0]
        if not model.on_earth:
            return {"distance": "scale by known distances", "marker": "scale by markers"}.get(
                model.source, "no GPS or known length that places it; z is up, the scale is arbitrary"
            )
        figures = model.statistics("photos" if model.source == "gps" else "control")
        by = "GPS" if model.source == "gps" else "ground control"
        words = [
            f"{figures[f'{k}_median_m']:.2g} m {k}"
            for k in ("horizontal", "vertical")
            if f"{k}_median_m" in figures
        ]
        return f"placed by {by}, residuals {', '.join(words)} (median)"

    def sentence(self) -> str:
        """A few sentences about scale and place of the first model."""
        model = self.models[0]
        if not model.metres:
            how = "gimbal" if model.up_from == "gimbal" else "way the cameras were held"
            return f"Scale and place are arbitrary; up (z) is from the {how}. {' '.join(model.notes)}".strip()
        if not model.on_earth:
            what = "known distances" if model.source == "distance" else "printed markers"
            notes = " ".join(model.notes)
            return f"Metres by {what} (scale \u00b1 {100 * model.scale_std:.2g} %); up is z. {notes}".strip()
        if model.source == "gps":
            used = sum(not r.outlier for r in model.photos)
            text = f"Placed by the GPS of {used} of {len(model.photos)} photos, "
            if points := sum(r.used for r in model.control):
                text += f"shifted to {points} ground control point{'s' * (points > 1)}, "
            text += _residual_words(model.statistics("photos"))
        else:
            used = sum(r.used for r in model.control)
            text = f"Placed by {used} ground control points, {_residual_words(model.statistics('control'))}"
        check = model.statistics("check")
        text += f"; check points {_residual_words(check)}" if check else ""
        text += f"; scale \u00b1 {100 * model.scale_std:.2g} %. {_place_words(self.frame)}"
        return " ".join([text, *model.notes])

    def to_json(self) -> dict[str, Any]:
        """What `georeference.json` holds; numbers that are not known are null."""
        first = self.models[0]
        world = (
            "metres east, north, up of the origin"
            if first.on_earth
            else "z is up, scale and place are arbitrary"
        )
        if first.metres and not first.on_earth:
            world = "metres, z is up"
        return _plain(
            {
                "format": 1,
                "summary": self.sentence(),
                "world": world,
                "metres": first.metres,
                "origin": None
                if self.frame is None
                else {
                    "latitude_deg": self.frame.latitude_deg,
                    "longitude_deg": self.frame.longitude_deg,
                    "altitude_m": self.frame.height_m,
                },
                "utm": utm_of(self.frame),
                "altitude": self.altitude and {**asdict(self.altitude), "meaning": self.altitude.sentence()},
                "control_crs": self.crs or None,
                "models": [_model_json(model) for model in self.models],
                "warnings": self.warnings,
            }
        )


def utm_of(frame: EnuFrame | None) -> dict[str, Any] | None:
    """Zone, code and the origin's coordinates of a `frame` in UTM; None near the poles and without a frame."""
    zone = None if frame is None else utm_zone(frame.latitude_deg, frame.longitude_deg)
    if frame is None or zone is None:
        return None
    origin, north = zone.from_geodetic(frame.to_geodetic([[0.0, 0, 0], [0.0, 100.0, 0]]))
    return {
        "epsg": zone.epsg,
        "zone": str(zone),
        "offset_m": origin.tolist(),
        "grid_north_deg": float(-np.rad2deg(np.arctan2(north[0] - origin[0], north[1] - origin[1]))),
        "scale_factor": float(np.linalg.norm((north - origin)[:2]) / 100),
    }


def _model_json(model: ModelPlacement) -> dict[str, Any]:
    t = model.transform
    return {
        "sparse": model.model,
        "source": model.source,
        "up_from": model.up_from,
        "world_from_mapped": {
            "scale": float(t.scale),
            "rotation": t.rotation.tolist(),
            "translation": t.translation.tolist(),
        },
        "scale_std": model.scale_std,
        "heading_std_deg": model.heading_std_deg,
        "tilt_std_deg": model.tilt_std_deg,
        "adjusted": model.adjusted,
        "error_before_px": model.error_before_px,
        "error_px": model.error_px,
        "camera_std": {str(i): std.tolist() for i, std in sorted(model.camera_std.items())},
        "photo_residuals": {**model.statistics("photos"), "photos": [asdict(r) for r in model.photos]},
        "control_residuals": {
            **model.statistics("control"),
            "check": model.statistics("check"),
            "points": [asdict(r) for r in model.control],
        },
        "lengths": [asdict(r) for r in model.lengths],
        "notes": model.notes,
    }


def _plain(value: Any) -> Any:
    """JSON's types only; what is not finite becomes null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value


def _residual_words(figures: dict[str, float]) -> str:
    words = [
        f"{kind} residuals {figures[f'{kind}_median_m']:.2g} m median, {figures[f'{kind}_rms_m']:.2g} m RMS"
        for kind in ("horizontal", "vertical")
        if f"{kind}_median_m" in figures
    ]
    return ", ".join(words) or "without residuals"


def _place_words(frame: EnuFrame | None) -> str:
    utm = utm_of(frame)
    assert frame is not None
    zone = f" (UTM {utm['zone']}, EPSG:{utm['epsg']})" if utm else ""
    return (
        f"The world is metres east, north and up of latitude {frame.latitude_deg:.7f}, longitude "
        f"{frame.longitude_deg:.7f}, altitude {frame.height_m:.2f} m{zone}."
    )
