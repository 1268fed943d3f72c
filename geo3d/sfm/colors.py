"""Colours of keypoints, from which points take theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geo3d.images import read_photo
from geo3d.sfm.match_graph import MatchGraph
from geo3d.util.threads import map_threads


def keypoint_colors(images: Path, graph: MatchGraph, threads: int | None = None) -> list[np.ndarray]:
    """RGB (N_v, 3) uint8 of the pixels that hold the keypoints of each view."""

    def of_view(view: int) -> np.ndarray:
        pixels = read_photo(images / graph.names[view]).pixels
        x, y = np.floor(graph.keypoints[view]).astype(np.int64).T
        return pixels[np.clip(y, 0, pixels.shape[0] - 1), np.clip(x, 0, pixels.shape[1] - 1)]

    return list(map_threads(of_view, range(len(graph)), threads))
