"""The report's map of cameras and points: turned upright, centred, thinned out and packed for the browser.

Display frame: x right, y away, z up, robustly scaled so that the scene has a radius of about 1. Coordinates
travel as int16 over +-`_REACH`, which is finer than a pixel of the screen.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import numpy as np

from geo3d.scene import Reconstruction
from geo3d.sfm.georeference_up import estimate_up
from geo3d.viz.charts import top_view
from geo3d.viz.report_data import ReportData

_MAX_POINTS = 60_000
_MAX_PLAN_POINTS = 4_000
_REACH = 4.0


@dataclass(frozen=True)
class Upright:
    """Display coordinates `rotation @ (x - centre) / radius` of world points x."""

    rotation: np.ndarray  # (3, 3)
    centre: np.ndarray  # (3,)
    radius: float

    def act(self, xyz: np.ndarray) -> np.ndarray:
        """(N, 3) world to display."""
        return (xyz - self.centre) @ self.rotation.T / self.radius


def upright(model: Reconstruction, up: np.ndarray | None = None, north: np.ndarray | None = None) -> Upright:
    """The display frame of a model: `up` at the top, and `north` (or what most cameras look at) away from the eye."""
    z = estimate_up(model).direction if up is None else np.asarray(up, np.float64) / np.linalg.norm(up)
    centres = model.centres()
    xyz = model.points.xyz if len(model.points) else centres
    middle = np.median(xyz, axis=0)
    away = middle - centres.mean(axis=0) if north is None else north
    away = away - z * (away @ z)
    if north is None and np.linalg.norm(away) < 1e-3 * np.linalg.norm(centres.std(axis=0) + 1e-12):
        away = np.cross(z, [1.0, 0.0, 0.0] if abs(z[0]) < 0.9 else [0.0, 1.0, 0.0])
    y = away / np.linalg.norm(away)
    rotation = np.stack([np.cross(y, z), y, z])
    # What was looked at and where from; far points of the background may lie outside.
    seen, places = xyz @ rotation.T, centres @ rotation.T
    low = np.minimum(np.percentile(seen, 10, axis=0), np.percentile(places, 5, axis=0))
    high = np.maximum(np.percentile(seen, 90, axis=0), np.percentile(places, 95, axis=0))
    radius = float(np.linalg.norm(high - low)) / 2 or 1.0
    return Upright(rotation, rotation.T @ ((low + high) / 2), radius)


def map_section(data: ReportData) -> str:
    """Interactive map and plan of every component."""
    models = [model for model in data.components if model.registered()]
    if not models:
        return ""
    total = sum(len(m.points) for m in models) or 1
    packed, plans = [], []
    for model in models:
        frame = upright(model, data.up, data.north)
        packed.append(_pack(model, frame, int(_MAX_POINTS * len(model.points) / total)))
        plans.append(_plan(model, frame))
    choice = "".join(
        f'<button type="button" data-model="{i}"{" class=on" if i == 0 else ""}>model {i + 1}</button>'
        for i in range(len(packed))
    )
    choice = f'<span class="models">{choice}</span>' if len(packed) > 1 else ""
    shown = "".join(
        f'<div class="planbox" data-model="{i}"{"" if i == 0 else " hidden"}>{p}</div>'
        for i, p in enumerate(plans)
    )
    payload = json.dumps(packed, separators=(",", ":")).replace("</", "<\\/")
    return f"""<section id="map">
<h2>Where the photos were taken</h2>
<p class="lead">Each dot is a point that was found in several photos, each little pyramid a photo: its tip is
where the camera stood, its base the way it looked.</p>
<div class="mapgrid">
<figure class="map3d">
<div class="canvasbox"><canvas tabindex="0" aria-label="3D map of cameras and points"></canvas>
<div class="tools">{choice}<button type="button" data-do="cameras" class="on">cameras</button>
<button type="button" data-do="top">from above</button>
<button type="button" data-do="reset">reset</button></div>
<div class="hover" hidden></div></div>
<figcaption>Drag to turn, Shift and drag to move, Ctrl and wheel (or pinch) to come nearer.</figcaption>
</figure>
<figure class="top">{shown}<figcaption>The same from above{_scale_words(data)}.</figcaption></figure>
</div>
<script type="application/json" id="mapdata">{payload}</script>
</section>"""


def _scale_words(data: ReportData) -> str:
    return "" if data.metres else "; up is guessed from the cameras, the scale is arbitrary"


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _thin(count: int, most: int) -> np.ndarray:
    """Rows of an even-handed choice of at most `most` of `count`, in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def _near(model: Reconstruction, frame: Upright, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Display coordinates (N, 3) and colours (N, 3) of at most `most` points; far outliers are left out."""
    xyz = frame.act(model.points.xyz)
    inside = np.flatnonzero((np.abs(xyz) < _REACH).all(axis=1))
    rows = inside[_thin(len(inside), most)]
    return xyz[rows], model.points.color[rows]


def _pack(model: Reconstruction, frame: Upright, most: int) -> dict:
    xyz, color = _near(model, frame, most)
    centres = frame.act(model.centres())
    gaps = (
        np.linalg.norm(centres[:, None] - centres[None], axis=-1) if len(centres) <= 2000 else np.ones((1, 1))
    )
    np.fill_diagonal(gaps, np.inf)
    nearest = float(np.median(gaps.min(axis=1))) if len(centres) > 1 else 0.3
    length = float(np.clip(0.4 * nearest, 0.02, 0.14))
    cameras = []
    for view_id, centre in zip(model.registered(), centres):
        view = model.views[view_id]
        assert view.cam_from_world is not None
        camera = model.cameras[view.camera_id]
        half = np.tan(np.minimum(np.asarray(camera.field_of_view())[:2], 1.9) / 2)
        axes = frame.rotation @ view.cam_from_world.rotation.T  # display_from_cam
        right, down, ahead = length * axes.T
        corners = [centre + ahead + sx * half[0] * right + sy * half[1] * down for sx, sy in _CORNERS]
        cameras.append({"n": view.name, "c": _round(centre), "q": [_round(c) for c in corners]})
    packed = np.round(xyz * (32767 / _REACH)).astype("<i2")
    return {
        "reach": _REACH,
        "xyz": _base64(packed),
        "rgb": _base64(color.astype(np.uint8)),
        "cameras": cameras,
    }


_CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


def _round(values: np.ndarray) -> list[float]:
    return [round(float(v), 4) for v in values]


def _plan(model: Reconstruction, frame: Upright) -> str:
    xyz, color = _near(model, frame, _MAX_PLAN_POINTS)
    centres = frame.act(model.centres())
    every = np.concatenate([xyz, centres])[:, :2]
    low = np.minimum(np.percentile(every, 2, axis=0), centres[:, :2].min(axis=0))
    high = np.maximum(np.percentile(every, 98, axis=0), centres[:, :2].max(axis=0))
    margin = 0.04 * (high - low).max()
    names = [model.views[i].name for i in model.registered()]
    limits = np.stack([low - margin, high + margin])
    return top_view(xyz[:, :2], color, centres[:, :2], names, limits)
