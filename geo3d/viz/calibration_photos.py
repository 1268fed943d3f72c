"""The section of a calibration's report on its photos: each with what was found in it, and how well that fits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from geo3d.calibration import CameraEvidence
from geo3d.viz.calibration_pictures import marked_photo, small_photos
from geo3d.viz.calibration_sections import CameraView
from geo3d.viz.page import escaped, grade_of

_MOST_PICTURES = 200


def photo_cards(view: CameraView) -> str:
    """Every photo with the points that were found, the ones that were left out first.

    Parameters
    ----------
    view : CameraView
    """
    evidence, entry = view.evidence, view.entry
    order = np.argsort(-evidence.photo_rms_px(), kind="stable")
    names = [*evidence.left_out, *(evidence.views[i].name for i in order)][:_MOST_PICTURES]
    pictures = small_photos(entry.photos, names)
    parts = ["<section><h2>Photos</h2>"]
    if evidence.left_out:
        cards = "".join(_left_out(view, name, pictures.get(name)) for name in evidence.left_out)
        parts.append(f'<h3>Not used <span class="count">{len(evidence.left_out)}</span></h3>')
        parts.append(f'<div class="cards missing">{cards}</div>')
    cards = "".join(_card(view, int(i), pictures) for i in order)
    parts.append(f'<h3>Used <span class="count">{len(order)}</span></h3>')
    parts.append(
        '<p class="lead">The largest error first. A dot stands on each point that was found. Error: root mean square '
        "distance between the points found and where the camera puts them. Tilt: between the board and the "
        "image; photos of 20 degrees and more tell the focal length. Distance: from the camera to the middle "
        "of the board.</p>"
    )
    parts.append(f'<div class="cards photos">{cards}</div></section>')
    return "".join(parts)


def _left_out(view: CameraView, name: str, uri: str | None) -> str:
    found = view.entry.not_used.get(name)
    count = f'<div class="facts"><span>{len(found)} points found</span></div>' if found is not None else ""
    return (
        f'<div class="card"><div class="thumb">{marked_photo(uri, view.evidence.camera, found)}</div>'
        f'<div class="file">{escaped(name)}</div>{count}'
        f"<p class=reason>{escaped(view.evidence.left_out[name])}</p></div>"
    )


def _card(view: CameraView, index: int, pictures: dict[str, str]) -> str:
    evidence, coverage = view.evidence, view.coverage
    photo = evidence.views[index]
    rms, usual = evidence.photo_rms_px()[index], float(np.median(evidence.photo_rms_px()))
    grade = grade_of(-rms / max(usual, 1e-9), -1.5, -2.5)
    used = len(photo.detection) if photo.used is None else int(photo.used.sum())
    points = (
        f"{len(photo.detection)} points"
        if used == len(photo.detection)
        else f"{used} of {len(photo.detection)} points"
    )
    far = _distance(evidence)(coverage.distances_m[index])
    blurred = "" if photo.blur_px is None else f"<span>blur {photo.blur_px:.1f} px</span>"
    picture = marked_photo(pictures.get(photo.name), evidence.camera, photo.detection)
    return (
        f'<div class="card"><div class="thumb">{picture}</div>'
        f'<div class="file" title="{escaped(photo.name)}">{escaped(photo.name)}</div><div class="facts">'
        f'<span class="dot {grade}">{rms:.2f} px</span><span>{points}</span>'
        f"<span>tilt {np.rad2deg(coverage.tilts_rad[index]):.0f}&deg;</span><span>{far}</span>{blurred}</div></div>"
    )


def _distance(evidence: CameraEvidence) -> Callable[[float], str]:
    if evidence.metric:
        return lambda metres: f"{metres:.2f} m"
    length = max(evidence.target.size_m)
    return lambda metres: f"{metres / length:.2g} board lengths"
