"""How well a focal length agrees with the matches of pairs, for any lens: by the best relative pose at each.

Slower than the fundamental matrices of `focal`, but it holds for a fisheye, and where both photos show one plane it
says that all focal lengths are as good, instead of inventing one.
"""

from __future__ import annotations

import numpy as np

from geo3d.cameras import MODELS, Camera
from geo3d.estimation import EstimationError, RansacOptions, estimate_relative_pose
from geo3d.sfm.match_graph import MatchGraph, PairMatches

WIDE_RANGE = (0.2, 1.6)
"""Focal lengths of wide lenses that are looked at, in units of the photo's longer side."""

_STEPS, _PAIRS = 16, 10
_LEAST_GAIN = 0.015  # of the score of a match, best against median focal length


def agreement(
    graph: MatchGraph, pair: PairMatches, cameras: tuple[Camera, Camera], max_error_px: float = 2.0
) -> float:
    """Mean score of the matches of a pair under the best relative pose.

    Parameters
    ----------
    graph : MatchGraph
    pair : PairMatches
    cameras : (Camera, Camera)
        To be tried for the first and the second photo.
    max_error_px : float
        For photos of up to 3200 pixels; it grows with larger ones.

    Returns
    -------
    float
        In [0, 1]: one where every match fits exactly, zero for those that do not fit or have no ray.
    """
    x1, x2 = (graph.keypoints[v][pair.matches[:, k]] for k, v in enumerate((pair.first, pair.second)))
    seen = np.isfinite(np.concatenate([cameras[0].unproject(x1), cameras[1].unproject(x2)], axis=1)).all(
        axis=1
    )
    if np.count_nonzero(seen) < 8:
        return 0.0
    size = max(max(camera.width, camera.height) for camera in cameras)
    options = RansacOptions(
        max_error_px=max_error_px * max(size / 3200, 1.0), min_iterations=32, max_iterations=200
    )
    try:
        return estimate_relative_pose(x1[seen], x2[seen], *cameras, options).score / len(x1)
    except EstimationError:
        return 0.0


def sweep_focal(graph: MatchGraph, camera_id: int) -> float | None:
    """Focal length of a wide lens at which the pairs of its photos agree best.

    Parameters
    ----------
    graph : MatchGraph
    camera_id : int
        Its principal point and distortion are taken as they are.

    Returns
    -------
    float or None
        Pixels; None where the pairs do not tell.
    """
    own = [p for p in graph.pairs if graph.camera_ids[p.first] == graph.camera_ids[p.second] == camera_id]
    pairs = sorted(own, key=lambda p: (-len(p.matches), p.first, p.second))[:_PAIRS]
    if not pairs:
        return None
    camera = graph.cameras[camera_id]
    side = max(camera.width, camera.height)

    def score(focal: float) -> float:
        params = np.array(camera.params)
        params[list(MODELS[camera.model].focal_params)] = focal
        tried = camera.with_params(params)
        return float(np.mean([agreement(graph, pair, (tried, tried)) for pair in pairs]))

    focals = side * np.geomspace(*WIDE_RANGE, _STEPS)
    scores = np.array([score(focal) for focal in focals])
    best = int(scores.argmax())
    if not 0 < best < _STEPS - 1 or scores[best] - np.median(scores) < _LEAST_GAIN:
        return None
    # The top of the parabola through the best and its neighbours, over the logarithm of the focal length.
    left, top, right = scores[best - 1 : best + 2]
    offset = 0.5 * (left - right) / (left - 2 * top + right)
    return float(focals[best] * (focals[1] / focals[0]) ** offset)
