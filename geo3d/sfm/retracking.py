"""Tracks anew from a model: the matches that its poses explain, whatever they were thought of before.

Matches are joined to tracks before there is a model, and one wrong match among many spoils a track. With poses at
hand each match is judged by itself: both rays and the baseline must lie in one plane, to within a few pixels. Pairs
that the view graph left out (their relative pose was ambiguous, as over a plane) come back with what is right in them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geo3d.sfm.epipolar import epipolar_errors_px
from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.tracks import build_tracks
from geo3d.sfm.working_model import WorkingModel


def matches_in_epipolar_plane(model: WorkingModel, max_error_px: float) -> MatchGraph:
    """The match graph of a model without the matches between registered views that its poses contradict.

    Parameters
    ----------
    model : WorkingModel
    max_error_px : float
        Largest angle of a ray to the plane of the other ray and the baseline, times the focal length.
    """
    graph = model.graph
    cameras = [model.cameras[c] for c in model.view_camera]
    bearings = [camera.unproject(xy) for camera, xy in zip(cameras, graph.keypoints)]
    pairs = []
    for pair in graph.pairs:
        i, j = pair.first, pair.second
        if not (model.registered[i] and model.registered[j]):
            pairs.append(pair)
            continue
        rotation = model.rotations[j] @ model.rotations[i].T
        baseline = model.translations[j] - rotation @ model.translations[i]
        error = epipolar_errors_px(
            bearings[i][pair.matches[:, 0]] @ rotation.T,
            bearings[j][pair.matches[:, 1]],
            baseline,
            (cameras[i].mean_focal, cameras[j].mean_focal),
        )
        fits = error <= max_error_px  # a pixel without a ray does not
        if fits.any():
            pairs.append(replace(pair, matches=pair.matches[fits]))
    return replace(graph, pairs=pairs)


def retrack(model: WorkingModel, max_error_px: float) -> WorkingModel:
    """The poses and cameras of a model with tracks of the matches that they explain; no track has a position yet.

    Parameters
    ----------
    model : WorkingModel
        Left as it is.
    max_error_px : float
        See `matches_in_epipolar_plane`.
    """
    made = WorkingModel(model.graph, build_tracks(matches_in_epipolar_plane(model, max_error_px)))
    made.rotations, made.translations = model.rotations.copy(), model.translations.copy()
    made.registered, made.held = model.registered.copy(), model.held.copy()
    made.cameras, made.free_params = list(model.cameras), list(model.free_params)
    return made


@dataclass(frozen=True)
class Consistency:
    """How much of what the photos say a model explains.

    Attributes
    ----------
    views : int
        Registered views.
    matches : int
        Verified matches between them.
    fitting : int
        Those whose rays lie in a plane with the baseline, to within the threshold: the poses do not contradict them.
    explained : int
        Those whose two keypoints support one point. Where the photos stand close together fewer than fit, since
        points seen under a small angle are not placed.
    """

    views: int
    matches: int
    fitting: int
    explained: int

    @property
    def share(self) -> float:
        """Explained matches over all, from 0 to 1."""
        return self.explained / max(self.matches, 1)


def model_consistency(model: WorkingModel, max_error_px: float = 4.0) -> Consistency:
    """Count the verified matches that a model explains.

    Parameters
    ----------
    model : WorkingModel
    max_error_px : float
        See `matches_in_epipolar_plane`.
    """
    inside = [p for p in model.graph.pairs if model.registered[p.first] and model.registered[p.second]]
    fits = matches_in_epipolar_plane(model, max_error_px).pairs
    return Consistency(
        views=int(model.registered.sum()),
        matches=sum(len(p.matches) for p in inside),
        fitting=sum(len(p.matches) for p in fits if model.registered[p.first] and model.registered[p.second]),
        explained=int(explained_matches(model).sum()),
    )


def explained_matches(model: WorkingModel) -> np.ndarray:
    """(P,) int64: of each pair of the graph, the verified matches whose two keypoints support one point of a model."""
    offsets = model.graph.keypoint_offsets()
    point_of = np.full(offsets[-1], -1)
    rows = np.flatnonzero(model.used)
    point_of[offsets[model.obs_view[rows]] + model.obs_keypoint[rows]] = model.obs_track[rows]
    counts = np.zeros(len(model.graph.pairs), np.int64)
    for i, pair in enumerate(model.graph.pairs):
        point1 = point_of[offsets[pair.first] + pair.matches[:, 0]]
        point2 = point_of[offsets[pair.second] + pair.matches[:, 1]]
        counts[i] = np.count_nonzero((point1 == point2) & (point1 >= 0))
    return counts
