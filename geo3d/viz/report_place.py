"""The report's section on scale and place: what they rest on, and by how much GPS and surveyed points are off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geo3d.viz.charts import arrows, bar_rows
from geo3d.viz.page import escaped, table
from geo3d.viz.report_data import ReportData

_MAX_ROWS = 40


def place_section(data: ReportData) -> str:
    """How the models were placed, from what `georeference.json` holds; nothing where they were not."""
    found = data.georeference
    models = [model for model in found.get("models", []) if model["source"] != "none" or model["lengths"]]
    if not models:
        return ""
    several = len(found["models"]) > 1
    parts = [
        '<section id="place"><h2>Scale and place</h2>',
        f'<p class="lead">{escaped(found["summary"])}</p>',
        _origin(found),
    ]
    for number, model in enumerate(found["models"], 1):
        body = "".join([_figures(model), _control(model), _lengths(model), _photos(model), _notes(model)])
        if body:
            parts.append((f"<h3>Part {number}, in sparse/{model['sparse']}</h3>" if several else "") + body)
    if found.get("altitude"):
        parts.append(f"<p>{escaped(found['altitude']['meaning'])}</p>")
    return "".join([*parts, "</section>"])


def _metres(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 3) + 0.0:.3f}"  # + 0.0: no "-0.000"


def _origin(found: Mapping[str, Any]) -> str:
    origin, utm = found.get("origin"), found.get("utm")
    if not origin:
        return ""
    place = f"{origin['latitude_deg']:.7f}, {origin['longitude_deg']:.7f}"
    row = [place, f"{origin['altitude_m']:.3f}"]
    heads = ["latitude, longitude of the origin", "altitude, m"]
    if utm:
        row += [f"EPSG:{utm['epsg']}", *(f"{value:.3f}" for value in utm["offset_m"][:2])]
        heads += [f"UTM {escaped(utm['zone'])}", "easting, m", "northing, m"]
    return table(heads, [row])


def _figures(model: Mapping[str, Any]) -> str:
    control = model["control_residuals"]
    kinds = [
        ("GPS of the photos", model["photo_residuals"]),
        ("control points", control),
        ("check points", control["check"]),
    ]
    names = [f"{axis}_{kind}_m" for axis in ("horizontal", "vertical") for kind in ("median", "rms")]
    rows = [
        [label, *(_metres(figures.get(name)) for name in names)]
        for label, figures in kinds
        if any(name in figures for name in names)
    ]
    if not rows:
        return ""
    heads = ["residuals, m", "horizontal median", "horizontal RMS", "vertical median", "vertical RMS"]
    return table(heads, rows)


def _control(model: Mapping[str, Any]) -> str:
    rows = [
        [
            escaped(p["name"]),
            "check" if p["check"] else "used" if p["used"] else "not used",
            str(p["photos"]),
            _metres(p["east"]),
            _metres(p["north"]),
            _metres(p["up"]),
            "-" if p["error_px"] is None else f"{p['error_px']:.2f}",
            escaped(p["note"]),
        ]
        for p in model["control_residuals"]["points"]
    ]
    if not rows:
        return ""
    heads = ["surveyed point", "", "photos", "east, m", "north, m", "up, m", "marks, px", ""]
    return table(heads, rows)


def _lengths(model: Mapping[str, Any]) -> str:
    rows = [
        [
            escaped(length["name"]),
            f"{length['known_m']:.4g}",
            f"{length['model_m']:.4g}",
            f"{100 * (length['model_m'] / length['known_m'] - 1):+.2f} %",
            "used" if length["used"] else "compared",
        ]
        for length in model["lengths"]
    ]
    return table(["known length", "measured, m", "model, m", "off by", ""], rows) if rows else ""


def _photos(model: Mapping[str, Any]) -> str:
    photos = model["photo_residuals"]["photos"]
    if not photos:
        return ""
    level = [float(np.hypot(p["east"], p["north"])) for p in photos]
    order = np.argsort(level, kind="stable")[::-1][:_MAX_ROWS]
    rows = []
    for i in order:
        up = "" if photos[i]["up"] is None else f", {photos[i]['up']:+.2f} m up"
        out = ", not used" if photos[i]["outlier"] else ""
        rows.append((photos[i]["name"], level[i], f"{level[i]:.2f} m{up}{out}"))
    plan = _plan(photos)
    which = f" The {len(order)} with the largest of {len(photos)}." if len(photos) > len(order) else ""
    state = "" if len(rows) > 12 else " open"
    return (
        f"{plan}<details{state}><summary>GPS of each photo, distance on the ground to where the model has its camera"
        "</summary><p class=lead>GPS of phones and drones is good to a few metres; all photos of one flight err "
        f"alike.{which}</p>{bar_rows(rows)}</details>"
    )


def _plan(photos: Sequence[Mapping[str, Any]]) -> str:
    """Cameras from above with their GPS residuals, drawn larger so that they can be seen."""
    cameras = np.array([p["camera"][:2] for p in photos])
    off = np.array([(p["east"], p["north"]) for p in photos])
    good = np.array([not p["outlier"] for p in photos])
    span = float(np.ptp(cameras, axis=0).max())
    typical = float(np.median(np.linalg.norm(off[good], axis=1))) if good.any() else 0.0
    if len(photos) < 2 or span <= 0 or typical <= 0:
        return ""
    larger = 10 ** np.floor(np.log10(0.05 * span / typical)) if typical < 0.05 * span else 1.0
    larger *= max(k for k in (1, 2, 5) if k == 1 or k * larger * typical <= 0.05 * span)
    svg = arrows(cameras[good], larger * off[good], [p["name"] for p in photos if not p["outlier"]])
    left_out = int((~good).sum())
    also = f" {left_out} photo{'s' * (left_out > 1)} with wrong GPS not shown." if left_out else ""
    size = "" if larger == 1 else f", {larger:g} times longer than they are"
    return (
        f'<figure class="top"><div class="planbox">{svg}</div><figcaption>Where the model has the cameras (dots), and '
        f"from there to their GPS{size}. North is up.{also}</figcaption></figure>"
    )


def _notes(model: Mapping[str, Any]) -> str:
    return "".join(f"<p>{escaped(note)}</p>" for note in model["notes"])
