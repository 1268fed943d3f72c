"""The two views that a reconstruction starts from: many matches, seen under a wide angle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.estimation import EstimationError, RansacOptions, estimate_relative_pose
from geo3d.geometry import SE3
from geo3d.sfm.match_graph import MatchGraph, PairMatches
from geo3d.util.threads import map_threads

MAX_TRIED = 48
"""Relative poses estimated before the best of them is chosen."""

GOOD_ANGLE = np.radians(16.0)
"""Angle beyond which a wider one does not make a pair better."""


@dataclass(frozen=True)
class InitialPair:
    """A candidate with its relative pose."""

    first: int
    second: int
    second_from_first: SE3
    inliers: int
    median_angle: float  # radians
    score: float


def rank_initial_pairs(graph: MatchGraph, free: np.ndarray, min_inliers: int, seed: int) -> list[InitialPair]:
    """Candidates among the free views, best first.

    Parameters
    ----------
    graph : MatchGraph
    free : (V,) bool
        Views that may be used.
    min_inliers : int
        Fewest inliers of the relative pose.
    seed : int
    """
    pairs = [p for p in graph.pairs if free[p.first] and free[p.second] and len(p.matches) >= min_inliers]
    pairs.sort(key=lambda p: (-len(p.matches), p.first, p.second))
    if len(pairs) > MAX_TRIED:
        # The pairs with most matches are the ones closest together: try some of all strengths.
        step = np.linspace(0, len(pairs) - 1, MAX_TRIED)
        pairs = [pairs[i] for i in np.unique(step.astype(int))]
    found = [
        pair for pair in map_threads(lambda p: _relative_pose(graph, p, seed), pairs) if pair is not None
    ]
    found = [pair for pair in found if pair.inliers >= min_inliers]
    return sorted(found, key=lambda p: (-p.score, p.first, p.second))


def _relative_pose(graph: MatchGraph, pair: PairMatches, seed: int) -> InitialPair | None:
    camera1, camera2 = (graph.cameras[graph.camera_ids[v]] for v in (pair.first, pair.second))
    x1 = graph.keypoints[pair.first][pair.matches[:, 0]]
    x2 = graph.keypoints[pair.second][pair.matches[:, 1]]
    try:
        result = estimate_relative_pose(
            x1, x2, camera1, camera2, RansacOptions(max_error_px=4.0, max_iterations=1000, seed=seed)
        )
    except EstimationError:
        return None
    pose = result.cam2_from_cam1
    rays1 = camera1.unproject(x1[result.inliers])
    rays2 = camera2.unproject(x2[result.inliers]) @ pose.rotation
    angle = np.arccos(np.clip((rays1 * rays2).sum(1), -1, 1))
    median = float(np.median(angle))
    # Motion along the viewing direction leaves depths uncertain whatever the angle.
    forward = abs(float(pose.translation[2])) / float(np.linalg.norm(pose.translation))
    score = int(result.inliers.sum()) * min(median / GOOD_ANGLE, 1.0) * (0.2 if forward > 0.95 else 1.0)
    if result.degeneracy is not None:
        score *= 0.2
    return InitialPair(pair.first, pair.second, pose, int(result.inliers.sum()), median, score)
