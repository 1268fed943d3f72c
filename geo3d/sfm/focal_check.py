"""Focal lengths of EXIF that the photos themselves contradict: of zoomed, cropped or edited photos.

A suspicion comes from fundamental matrices (`estimate_focal`); it is believed only where the matches of most pairs fit
the best relative pose clearly better with the other focal length (`agreement`). Photos that cannot tell - of one plane,
from one spot - contradict nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from geo3d.cameras import MODELS
from geo3d.sfm.focal import estimate_focal, is_perspective, with_focal
from geo3d.sfm.focal_sweep import agreement
from geo3d.sfm.match_graph import MatchGraph, PairMatches
from geo3d.sfm.working_model import WorkingModel

MIN_RATIO = 1.25
"""Focal lengths closer than this are not told apart: distortion, which the estimate does not know, moves it by a tenth,
and an adjustment finds its way from one to the other."""

MIN_GAIN, MIN_SHARE = 0.02, 2 / 3
"""Least gain of the score of a match, and least share of the pairs that gain, for EXIF to be contradicted."""

_PAIRS, _SUSPICIONS = 12, 60  # pairs that decide, pairs that raise the suspicion
_NAMES = 3

FOUND = 0.02
"""Relative deviation below which a focal length that was guessed at first has been found."""


def replace_contradicted_focals(graph: MatchGraph) -> list[str]:
    """Replace focal lengths from EXIF that the pairs of photos contradict, in place.

    Parameters
    ----------
    graph : MatchGraph
        Its cameras with `prior_focal` are looked at, those of most photos first; one whose focal length is replaced
        loses the mark.

    Returns
    -------
    list of str
        A warning for each camera whose focal length was replaced.
    """
    return [
        f"EXIF says that the focal length of {_some(graph, c.camera_id)} is {c.before_px:.0f} px, but the photos fit "
        f"one of about {c.found_px:.0f} px, which was taken. Were they zoomed, cropped or edited? Originals are better"
        for c in _contradicted(graph)
    ]


def check_given_focals(graph: MatchGraph) -> list[str]:
    """Whether the pairs of photos contradict a calibration that was given; nothing is changed.

    Parameters
    ----------
    graph : MatchGraph
        Its cameras with `prior_focal` are looked at.

    Returns
    -------
    list of str
        A warning for each camera whose focal length the photos contradict.
    """
    return [
        f"the photos contradict the calibration: focal length {c.before_px:.0f} px given, about {c.found_px:.0f} px by "
        "the photos; check that it is of this camera and of photos of this size"
        for c in _contradicted(replace(graph, cameras=dict(graph.cameras)))
    ]


def guessed_focal_warnings(
    graph: MatchGraph,
    guesses: list[int],
    models: list[WorkingModel],
    deviations: Mapping[int, Sequence[float]],
    video: bool = False,
) -> list[str]:
    """What to say of focal lengths that began as a guess, once the photos are placed.

    Parameters
    ----------
    graph : MatchGraph
    guesses : list of int
        Cameras, as `replace_guessed_focals` gives them.
    models : list of WorkingModel
        Of these photos, the largest first. A camera without a photo in them is passed over.
    deviations : mapping of int to sequence of float
        Standard deviations of the parameters by camera; absent or zero where they stayed as they were.
    video : bool
        The photos are frames of a video.

    Returns
    -------
    list of str
        A warning for each camera whose focal length the adjustment did not find to 2 %.
    """
    warnings = []
    for camera_id in guesses:
        model = next((m for m in models if _photos_of(m, camera_id)), None)
        if model is None:
            continue
        camera = model.cameras[model.camera_ids.index(camera_id)]
        std = list(deviations.get(camera_id, ()))
        focal_std = max((std[k] for k in MODELS[camera.model].focal_params if k < len(std)), default=0.0)
        if 0 < focal_std < FOUND * camera.mean_focal:
            continue
        names = _photos_of(model, camera_id)
        which = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        if video:
            text = "a video does not say it, and its frames do not tell it by themselves. "
            text += "Calibrate the camera, or turn and tilt it more while you film"
        else:
            text = "the photos have no EXIF that says it, and do not tell it by themselves. "
            text += "Calibrate the camera, keep the original files, or add photos that are tilted and turned against "
            text += "each other"
        warnings.append(f"the focal length of {which} is a guess ({camera.mean_focal:.0f} px): {text}")
    return warnings


def _photos_of(model: WorkingModel, camera_id: int) -> list[str]:
    """Names of the photos of a camera that are placed in a model."""
    ids = np.array(model.camera_ids)[model.view_camera]
    return [model.graph.names[v] for v in np.flatnonzero(model.registered & (ids == camera_id))]


def _some(graph: MatchGraph, camera_id: int) -> str:
    names = [name for name, i in zip(graph.names, graph.camera_ids) if i == camera_id]
    return ", ".join(names[:_NAMES]) + (f" and {len(names) - _NAMES} more" if len(names) > _NAMES else "")


@dataclass(frozen=True)
class _Contradiction:
    camera_id: int
    before_px: float
    found_px: float


def _contradicted(graph: MatchGraph) -> list[_Contradiction]:
    """Cameras whose focal length the pairs contradict; it is replaced in the graph, since others rest on it."""
    contradicted, settled = [], set()
    count = {i: graph.camera_ids.count(i) for i in graph.cameras}
    for camera_id in sorted(graph.cameras, key=lambda i: (-count[i], i)):
        camera = graph.cameras[camera_id]
        if not camera.prior_focal or not is_perspective(camera):
            continue
        found = estimate_focal(graph, camera_id, _SUSPICIONS, known=frozenset(settled), refit=True)
        settled.add(camera_id)
        if found is None or not found.clear:
            continue
        ratio = found.focal_px / camera.mean_focal
        if max(ratio, 1 / ratio) < MIN_RATIO or not _better(graph, camera_id, found.focal_px, settled):
            continue
        graph.cameras[camera_id] = replace(with_focal(camera, found.focal_px), prior_focal=False)
        contradicted.append(_Contradiction(camera_id, camera.mean_focal, found.focal_px))
    return contradicted


def _better(graph: MatchGraph, camera_id: int, focal_px: float, settled: set[int]) -> bool:
    """Whether the matches of most pairs fit clearly better with another focal length."""
    camera = graph.cameras[camera_id]
    other = with_focal(camera, focal_px)
    gains = []
    for pair in _pairs(graph, camera_id, settled):
        ids = graph.camera_ids[pair.first], graph.camera_ids[pair.second]
        as_is = graph.cameras[ids[0]], graph.cameras[ids[1]]
        tried = (other if ids[0] == camera_id else as_is[0]), (other if ids[1] == camera_id else as_is[1])
        gains.append(agreement(graph, pair, tried) - agreement(graph, pair, as_is))
    if len(gains) < 2:
        return False
    return float(np.mean(gains)) >= MIN_GAIN and float(np.mean(np.array(gains) > 0)) >= MIN_SHARE


def _pairs(graph: MatchGraph, camera_id: int, settled: set[int]) -> list[PairMatches]:
    """The strongest pairs with photos of the camera, the other photo of the same or a settled one."""
    ids = graph.camera_ids
    own = [
        p
        for p in graph.pairs
        if camera_id in (ids[p.first], ids[p.second]) and {ids[p.first], ids[p.second]} <= settled
    ]
    return sorted(own, key=lambda p: (-len(p.matches), p.first, p.second))[:_PAIRS]
