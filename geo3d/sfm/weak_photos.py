"""Why photos have no pose or few points, as far as the photos themselves tell: blurred, or nothing to see in them.

Looked at are only those, and what they are compared with: the photos before and after by name, which mostly show the
same place. A photo is called blurred when it is much more so than these (`blur_px`), whatever it shows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from geo3d.features import natural_key
from geo3d.images import blur_px, read_photo
from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.working_model import WorkingModel
from geo3d.util.threads import map_threads

SIDE = 1280  # longer side at which blur is measured, pixels
BLURRED = 2.0  # times the blur of the neighbours
_LEAST_BLUR = 1.2  # pixels of the reduced photo: less hides no features
_FEW_POINTS = 1 / 3  # of the median of the photos
_VERY_FEW_POINTS = 0.1  # of the same: said whatever the reason
_FEW_FEATURES = 0.1  # of the median of the photos
_LEAST_FEATURES = 25  # fewer cannot hold a photo, however many the others have
_NEIGHBOURS = 3  # before and after


_ALONE = (
    "it was compared with no other photo",
    "widen the choice of pairs: --matching exhaustive compares all, a larger --gps-radius-m more neighbours, and a "
    "list given with --pairs must name it",
)


@dataclass
class WeakPhotos:
    """What there is to say.

    Attributes
    ----------
    reasons : dict
        Row of a view without a pose to (reason, advice).
    warnings : list of str
        One for each photo that has a pose, but rests on few points for a reason that is known, or on very few.
    """

    reasons: dict[int, tuple[str, str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def explain_weak_photos(
    images: Path,
    graph: MatchGraph,
    models: list[WorkingModel],
    threads: int | None = None,
    compared: Collection[str] | None = None,
) -> WeakPhotos:
    """Find out why photos have no pose or few points.

    Parameters
    ----------
    images : Path
        Folder of the photos; one that cannot be read there is passed over.
    graph : MatchGraph
    models : list of WorkingModel
        Of that graph.
    threads : int, optional
    compared : collection of str, optional
        Photos that were compared with another one; None where that is not known.

    Returns
    -------
    WeakPhotos
        Photos about which there is nothing special to say are not in it.
    """
    points = np.sum([m.used_counts() * m.registered for m in models] or [np.zeros(len(graph), int)], axis=0)
    placed = np.any([m.registered for m in models] or [np.zeros(len(graph), bool)], axis=0)
    usual = float(np.median(points[placed])) if placed.any() else 0.0
    weak = [int(v) for v in np.flatnonzero(~placed | (points < _FEW_POINTS * usual))]
    near = _neighbours(graph.names, weak)
    blur = _measure(images, graph, sorted({*weak, *(n for found in near.values() for n in found)}), threads)
    features = np.array([len(keypoints) for keypoints in graph.keypoints])
    found = WeakPhotos()
    for view in weak:
        # A photo without features cannot be compared, however wide the choice of pairs.
        alone = compared is not None and graph.names[view] not in compared and features[view] > 0
        problem = _blurred(blur, view, near[view], graph) or _few_features(features, view)
        problem = _ALONE if alone and not placed[view] else problem
        if problem is None:
            if placed[view] and points[view] < _VERY_FEW_POINTS * usual:
                found.warnings.append(
                    f"{graph.names[view]}: its pose is from {points[view]} points only, of usually {usual:.0f}, and "
                    "may be wrong: add photos in between, so that neighbours share half of what they show, or "
                    "leave it out"
                )
            continue
        if not placed[view]:
            found.reasons[view] = problem
        else:
            found.warnings.append(
                f"{graph.names[view]}: {problem[0]}. It has a pose, but from {points[view]} points only: {problem[1]}"
            )
    return found


def _neighbours(names: list[str], views: list[int]) -> dict[int, list[int]]:
    """The photos before and after each of some views, by name within their folder."""
    order = sorted(range(len(names)), key=lambda v: (names[v].rpartition("/")[0], natural_key(names[v])))
    place = {view: i for i, view in enumerate(order)}
    near = {}
    for view in views:
        around = order[max(0, place[view] - _NEIGHBOURS) : place[view] + _NEIGHBOURS + 1]
        folder = names[view].rpartition("/")[0]
        near[view] = [v for v in around if v != view and names[v].rpartition("/")[0] == folder]
    return near


def _measure(images: Path, graph: MatchGraph, views: list[int], threads: int | None) -> dict[int, float]:
    """Blur in shares of the longer side, by view."""

    def of_view(view: int) -> float | None:
        try:
            photo = read_photo(images / graph.names[view], "gray", max_size=SIDE)
        except (OSError, ValueError):
            return None
        return None if min(photo.pixels.shape) < 16 else blur_px(photo.pixels) / max(photo.pixels.shape)

    return {v: b for v, b in zip(views, map_threads(of_view, views, threads)) if b is not None}


def _few_features(features: np.ndarray, view: int) -> tuple[str, str] | None:
    if features[view] >= max(_FEW_FEATURES * np.median(features), _LEAST_FEATURES):
        return None
    if features[view] < _LEAST_FEATURES:
        return (
            f"it shows nothing to hold on to ({features[view]} features): it is black, blurred or plain, or its mask "
            "leaves nothing",
            "sky, water, fog, a blank wall or the dark show nothing that could be found again; leave it out, or turn "
            "to what has texture",
        )
    return (
        f"only {features[view]} features were found in it, of usually {np.median(features):.0f}",
        "sky, water, fog, a blank wall or the dark show nothing that could be found again; leave it out, or turn to "
        "what has texture",
    )


def _blurred(blur: dict[int, float], view: int, near: list[int], graph: MatchGraph) -> tuple[str, str] | None:
    others = [blur[n] for n in near if n in blur]
    if not others or not np.isfinite(blur.get(view, np.inf)):
        return None
    usual = float(np.median(others))
    if not blur[view] > max(BLURRED * usual, _LEAST_BLUR / SIDE):
        return None
    camera = graph.cameras[graph.camera_ids[view]]
    pixels = blur[view] * max(camera.width, camera.height)
    ratio = blur[view] / max(usual, 0.3 / SIDE)
    times = f"{ratio:.0f} times as much as" if ratio < 9.5 else "far more than"
    return (
        f"it is blurred: by about {2 * pixels:.0f} pixels, {times} the photos before and after it",
        "take such a photo again with a steady hand, more light or a shorter exposure; where the others show the "
        "same place, leave it out",
    )
