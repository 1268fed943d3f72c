"""Focal lengths of EXIF that the photos themselves contradict: of zoomed, cropped or edited photos.

A suspicion comes from fundamental matrices (`estimate_focal`); it is believed only where the matches of most pairs fit
the best relative pose clearly better with the other focal length (`agreement`). Photos that cannot tell - of one plane,
from one spot - contradict nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from geo3d.sfm.focal import estimate_focal, is_perspective, with_focal
from geo3d.sfm.focal_sweep import agreement
from geo3d.sfm.match_graph import MatchGraph, PairMatches

MIN_RATIO = 1.25
"""Focal lengths closer than this are not told apart: distortion, which the estimate does not know, moves it by a tenth,
and an adjustment finds its way from one to the other."""

MIN_GAIN, MIN_SHARE = 0.02, 2 / 3
"""Least gain of the score of a match, and least share of the pairs that gain, for EXIF to be contradicted."""

_PAIRS, _SUSPICIONS = 12, 60  # pairs that decide, pairs that raise the suspicion
_NAMES = 3


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
    warnings, settled = [], set()
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
        names = [name for name, i in zip(graph.names, graph.camera_ids) if i == camera_id]
        some = ", ".join(names[:_NAMES]) + (f" and {len(names) - _NAMES} more" if len(names) > _NAMES else "")
        warnings.append(
            f"EXIF says that the focal length of {some} is {camera.mean_focal:.0f} px, but the photos fit one of about "
            f"{found.focal_px:.0f} px, which was taken. Were they zoomed, cropped or edited? Originals are better"
        )
    return warnings


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
