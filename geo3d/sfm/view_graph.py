"""The view graph: photos as nodes, relative poses as edges, wrong edges thrown out by the loops that they break.

`x_second = R x_first + t` up to the length of t. Each verified pair gets its pose anew, from the cameras as they are
known now. An edge of repeated structure (another window of the same facade) fits its own matches, but not its
neighbours: round a triangle of photos the rotations multiply to the identity. A loop that does not close accuses its
three edges, each by the strength of the other two; one that closes acquits them likewise. Edges that are more
accused than acquitted go, the worst first (after Zach, Klopschitz and Pollefeys, CVPR 2010, who infer the same from
probabilities).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from geo3d.cameras import Camera
from geo3d.estimation import EstimationError, RansacOptions, RelativePoseResult, estimate_relative_pose
from geo3d.geometry import SO3
from geo3d.sfm.epipolar import epipolar_errors_px
from geo3d.sfm.match_graph import MatchGraph, PairMatches
from geo3d.sfm.view_graph_kernels import drop_by_loops, list_triangles
from geo3d.util.threads import map_threads

_BLOCK = 100_000  # triangles at a time: their matrices take a kilobyte each


@dataclass(frozen=True)
class ViewGraphOptions:
    """Which edges are believed.

    Attributes
    ----------
    max_error_px, loose_error_px : float
        Inlier thresholds of relative poses for photos of 1600 to 3200 pixels on the longer side; they change with the
        size of others. The first is tight, since repeated structure (windows on a wall) makes poses that are half a
        degree off and fit more matches, but worse. Where it finds too few the second is tried, for photos whose
        keypoints or lens are not as good.
    tight_share : float
        Least share of the verified matches that has to agree at the first threshold.
    min_inliers : int
        Fewest matches that agree with the pose of an edge.
    min_share : float
        Least share of the verified matches that does, at either threshold.
    max_loop_deg : float
        Largest rotation that remains round a triangle of right edges.
    max_pairs : int
        Of a view, those with most matches; others are edges only if they are among these for their other view. It
        bounds time, and the number of triangles, where every photo shows the same.
    seed : int
    """

    max_error_px: float = 1.0
    loose_error_px: float = 4.0
    tight_share: float = 0.5
    min_inliers: int = 15
    min_share: float = 0.3
    max_loop_deg: float = 5.0
    max_pairs: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_error_px", "loose_error_px"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.max_pairs < 2:
            raise ValueError(f"max_pairs must be at least 2, got {self.max_pairs}")
        if self.min_inliers < 6:
            raise ValueError(f"min_inliers must be at least 6, got {self.min_inliers}")
        for name in ("tight_share", "min_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if not 0 < self.max_loop_deg <= 180:
            raise ValueError(f"max_loop_deg must be between 0 and 180, got {self.max_loop_deg}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")


@dataclass(frozen=True, eq=False)
class ViewGraph:
    """Relative poses between views; arrays over the E edges, each from `first` to `second`.

    Attributes
    ----------
    views : int
        Number of views; some may have no edge.
    first, second : (E,) int64
        Rows of the views.
    rotations : (E, 3, 3) float64
        `second_from_first`.
    directions : (E, 3) float64
        Unit translation of `second_from_first`; NaN where the views only turned.
    inliers : (E,) int64
        Matches that agree.
    pair : (E,) int64
        Row in the pairs of the match graph.
    """

    views: int
    first: np.ndarray
    second: np.ndarray
    rotations: np.ndarray
    directions: np.ndarray
    inliers: np.ndarray
    pair: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def subset(self, edges: np.ndarray) -> ViewGraph:
        """The graph of some of its edges, given as a mask or as rows."""
        arrays = ("first", "second", "rotations", "directions", "inliers", "pair")
        return replace(self, **{name: getattr(self, name)[edges] for name in arrays})


def build_view_graph(
    graph: MatchGraph, options: ViewGraphOptions | None = None, threads: int | None = None
) -> ViewGraph:
    """Relative poses of all verified pairs, from the cameras of the match graph.

    Parameters
    ----------
    graph : MatchGraph
    options : ViewGraphOptions, optional
    threads : int, optional
        Default: all cores. The result does not depend on it.

    Returns
    -------
    ViewGraph
        Without the pairs whose matches no relative pose explains.
    """
    options = options or ViewGraphOptions()
    tried = _strongest(graph, options.max_pairs)
    found = list(map_threads(lambda i: _edge(graph, graph.pairs[i], options), tried, threads))
    rows = [i for i, pose in zip(tried, found) if pose is not None]
    poses = [pose for pose in found if pose is not None]
    directions = [
        np.full(3, np.nan) if pose.degeneracy == "pure rotation" else pose.cam2_from_cam1.translation
        for pose in poses
    ]
    return ViewGraph(
        views=len(graph),
        first=np.array([graph.pairs[i].first for i in rows], np.int64),
        second=np.array([graph.pairs[i].second for i in rows], np.int64),
        rotations=np.array([pose.cam2_from_cam1.rotation for pose in poses]).reshape(-1, 3, 3),
        directions=np.array(directions).reshape(-1, 3),
        inliers=np.array([np.count_nonzero(pose.inliers) for pose in poses], np.int64),
        pair=np.array(rows, np.int64),
    )


def _strongest(graph: MatchGraph, most: int) -> list[int]:
    """Rows of the pairs that are among the `most` with most matches of one of their views."""
    order = sorted(range(len(graph.pairs)), key=lambda i: (-len(graph.pairs[i].matches), i))
    seen = np.zeros(len(graph), np.int64)
    chosen = []
    for row in order:
        ends = [graph.pairs[row].first, graph.pairs[row].second]
        if (seen[ends] < most).any():
            chosen.append(row)
        seen[ends] += 1
    return sorted(chosen)


def _edge(graph: MatchGraph, pair: PairMatches, options: ViewGraphOptions) -> RelativePoseResult | None:
    camera1, camera2 = (graph.cameras[graph.camera_ids[v]] for v in (pair.first, pair.second))
    x1 = graph.keypoints[pair.first][pair.matches[:, 0]]
    x2 = graph.keypoints[pair.second][pair.matches[:, 1]]
    seen = np.isfinite(np.concatenate([camera1.unproject(x1), camera2.unproject(x2)], axis=1)).all(axis=1)
    if np.count_nonzero(seen) < options.min_inliers:
        return None
    x1, x2 = x1[seen], x2[seen]
    size = max(_size_factor(camera1), _size_factor(camera2))
    for max_error_px, share in (
        (options.max_error_px, options.tight_share),
        (options.loose_error_px, options.min_share),
    ):
        # Verified matches are mostly right: the first batch of samples has the pose.
        ransac = RansacOptions(size * max_error_px, min_iterations=32, max_iterations=500, seed=options.seed)
        with suppress(EstimationError):
            pose = estimate_relative_pose(x1, x2, camera1, camera2, ransac)
            if np.count_nonzero(pose.inliers) >= max(options.min_inliers, share * len(x1)):
                return pose
    return None


def _size_factor(camera: Camera) -> float:
    """As in the verification of matches: features of large photos were found at reduced size."""
    longer = max(camera.width, camera.height)
    return max(longer / 3200, 1.0) if longer > 1600 else max(longer / 1600, 0.5)


def matches_of_edges(
    graph: MatchGraph, edges: ViewGraph, options: ViewGraphOptions | None = None
) -> MatchGraph:
    """The pairs of the edges with the matches that their poses explain about as well as most.

    Wrong matches that a pose explains to a few pixels pull at it where the right ones do to a tenth: what is off by
    more than eight times the median error, or by more than `max_error_px` if that is more, is left out.

    Parameters
    ----------
    graph : MatchGraph
    edges : ViewGraph
        Of this match graph.
    options : ViewGraphOptions, optional

    Returns
    -------
    MatchGraph
        With one pair an edge, in the order of the edges.
    """
    options = options or ViewGraphOptions()
    cameras = [graph.cameras[i] for i in graph.camera_ids]
    bearings = [camera.unproject(xy) for camera, xy in zip(cameras, graph.keypoints)]
    pairs = []
    for row, rotation, direction in zip(edges.pair, edges.rotations, edges.directions):
        pair = graph.pairs[row]
        i, j = pair.first, pair.second
        if np.isfinite(direction).all():
            error = epipolar_errors_px(
                bearings[i][pair.matches[:, 0]] @ rotation.T,
                bearings[j][pair.matches[:, 1]],
                direction,
                (cameras[i].mean_focal, cameras[j].mean_focal),
            )
            least = options.max_error_px * max(_size_factor(cameras[i]), _size_factor(cameras[j]))
            pair = replace(pair, matches=pair.matches[error <= max(least, 8 * float(np.nanmedian(error)))])
        pairs.append(pair)
    return replace(graph, pairs=pairs)


def loop_errors(
    first: np.ndarray, second: np.ndarray, rotations: np.ndarray, views: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation that remains round every triangle of edges.

    Parameters
    ----------
    first, second : (E,) int
        Rows of the views of each edge.
    rotations : (E, 3, 3)
        `second_from_first`.
    views : int

    Returns
    -------
    triangles : (T, 3) int64
        Rows of the edges (a, b), (b, c), (a, c) with a < b < c.
    errors : (T,) float64
        Radians.
    """
    triangles, signs = list_triangles(np.asarray(first, np.int64), np.asarray(second, np.int64), views)
    errors = np.empty(len(triangles))
    for start in range(0, len(triangles), _BLOCK):
        rows = slice(start, start + _BLOCK)
        steps = rotations[triangles[rows]]
        steps = np.where(signs[rows, :, None, None], steps, np.swapaxes(steps, -1, -2))
        loop = steps[:, 1] @ steps[:, 0] @ np.swapaxes(steps[:, 2], -1, -2)
        errors[rows] = np.linalg.norm(SO3(loop).log(), axis=-1)
    return triangles, errors


def consistent_edges(graph: ViewGraph, max_loop_deg: float = 5.0) -> np.ndarray:
    """Edges that the triangles round them do not speak against.

    Parameters
    ----------
    graph : ViewGraph
    max_loop_deg : float
        Largest rotation that remains round a triangle of right edges.

    Returns
    -------
    (E,) bool
        Edges in no triangle are kept.
    """
    triangles, errors = loop_errors(graph.first, graph.second, graph.rotations, graph.views)
    strength = graph.inliers.astype(np.float64)
    return drop_by_loops(triangles, errors <= np.radians(max_loop_deg), strength)
