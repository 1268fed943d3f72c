"""Colours of keypoints, from which points take theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geo3d.images import read_photo
from geo3d.sfm.match_graph import MatchGraph
from geo3d.util.threads import map_threads

_SIDE = 1600


def keypoint_colors(
    images: Path, graph: MatchGraph, views: np.ndarray, threads: int | None = None
) -> list[np.ndarray]:
    """Colours of the pixels that hold the keypoints, in photos reduced to 1,600 pixels: faster, and less noisy.

    Parameters
    ----------
    images : Path
        Folder of the photos.
    graph : MatchGraph
    views : (n,) int
        Views that are read; the others come out grey, as do those whose photo is not there.
    threads : int, optional

    Returns
    -------
    list of (N_v, 3) uint8
        RGB, for every view of the graph.

    Raises
    ------
    PhotoError, OSError
        If a photo cannot be read.
    """

    def of_view(view: int) -> np.ndarray:
        photo = read_photo(images / graph.names[view], max_size=_SIDE)
        pixels = photo.pixels
        x, y = np.floor(graph.keypoints[view] * photo.scale).astype(np.int64).T
        return pixels[np.clip(y, 0, pixels.shape[0] - 1), np.clip(x, 0, pixels.shape[1] - 1)]

    colors = [np.full((len(keypoints), 3), 128, np.uint8) for keypoints in graph.keypoints]
    there = [int(v) for v in views if (images / graph.names[int(v)]).exists()]
    for view, found in zip(there, map_threads(of_view, there, threads)):
        colors[view] = found
    return colors
