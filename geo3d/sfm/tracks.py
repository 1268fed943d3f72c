"""Tracks: the keypoints of several photos that matches join into one point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.track_kernels import join_matches


@dataclass
class TrackSet:
    """Tracks as flat arrays; observations of track t are rows `offsets[t]:offsets[t + 1]`, ordered by view."""

    offsets: np.ndarray  # (T + 1,) int64
    view: np.ndarray  # (O,) int64, row of the view
    keypoint: np.ndarray  # (O,) int64, row of the keypoint in its view

    def __len__(self) -> int:
        return len(self.offsets) - 1


def build_tracks(graph: MatchGraph) -> TrackSet:
    """Join the verified matches of all pairs to tracks of at least two views.

    Pairs with many matches go first; a match that would put two keypoints of one photo into one track is left out,
    so that one wrong match costs one match and not the track.
    """
    offsets = graph.keypoint_offsets()
    pairs = sorted(graph.pairs, key=lambda p: (-len(p.matches), p.first, p.second))
    ends = [
        np.column_stack([offsets[p.first] + p.matches[:, 0], offsets[p.second] + p.matches[:, 1]])
        for p in pairs
    ]
    view_of = np.repeat(np.arange(len(graph)), np.diff(offsets))
    label = join_matches(np.concatenate([np.zeros((0, 2), np.int64), *ends]), view_of)
    order = np.argsort(label, kind="stable")  # within a track by keypoint number, hence by view
    length = np.unique(label, return_counts=True)[1]
    keep = length >= 2
    rows = order[np.repeat(keep, length)]
    return TrackSet(
        offsets=np.concatenate([[0], np.cumsum(length[keep])]).astype(np.int64),
        view=view_of[rows],
        keypoint=rows - offsets[view_of[rows]],
    )
