"""Photos that do not fit the camera that they are said to share: zoomed or cropped, with an EXIF that does not say so.

Two photos of a wall fit any focal length, so the pairs do not always tell; the model does. The points that the other
photos made are resected from such a photo with its own focal length and with a free one (P4Pf). Where the free one
explains many more of them, the photo has a lens of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geo3d.cameras import Camera
from geo3d.estimation import (
    EstimationError,
    RansacOptions,
    estimate_absolute_pose,
    estimate_absolute_pose_focal,
)
from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.working_model import WorkingModel

FITS = 0.9
"""Of the points of the others a photo of the right focal length sees at least this share of the usual where it should.

The usual share is the median over the photos; of sharp photos of a rigid scene it is nearly one.
"""

MIN_POINTS = 50
GAIN = 1.15
"""How many times the points a free focal length has to explain."""

MIN_RATIO = 1.1
_MOST = 0.3  # of the photos of a model: more than these being odd means that something else is wrong


@dataclass(frozen=True)
class OddLens:
    """A photo that another focal length fits better.

    Attributes
    ----------
    view : int
        Row of the view.
    focal_px : float
        That fits.
    points, before : int
        Points that it explains, and those that the focal length of the shared camera explains.
    """

    view: int
    focal_px: float
    points: int
    before: int


def find_odd_lenses(models: list[WorkingModel], max_error_px: float = 4.0, seed: int = 0) -> list[OddLens]:
    """Photos, in one of the models or left out, that another focal length fits much better.

    Parameters
    ----------
    models : list of WorkingModel
        Of one graph, adjusted.
    max_error_px : float
        Reprojection error up to which a point is explained.
    seed : int

    Returns
    -------
    list of OddLens
        In the order of the views.
    """
    found: dict[int, OddLens] = {}
    for model in models:
        for odd in _odd_in(model, max_error_px, seed):
            if not any(other.registered[odd.view] for other in models if other is not model):
                found.setdefault(odd.view, odd)
    return [found[view] for view in sorted(found)]


def _odd_in(model: WorkingModel, max_error_px: float, seed: int) -> list[OddLens]:
    seen = _SeenByOthers(model)
    counts = np.zeros(
        (len(model.graph), 2), np.int64
    )  # points of the others that a view matches, and explains
    for view in range(len(counts)):
        keypoints, points = seen.of(view)
        counts[view] = len(points), _explained(model, view, keypoints, points, max_error_px)
    many = counts[:, 0] >= MIN_POINTS
    share = counts[:, 1] / np.maximum(counts[:, 0], 1)
    usual = float(np.median(share[many & model.registered])) if (many & model.registered).any() else 1.0
    found = []
    for view in np.flatnonzero(many & (share < FITS * usual)).tolist():
        options = RansacOptions(max_error_px=max_error_px, seed=seed + view)
        odd = _try(model, view, *seen.of(view), int(counts[view, 1]), options)
        found += [] if odd is None else [odd]
    return found if len(found) <= _MOST * model.registered.sum() else []


def with_own_lenses(graph: MatchGraph, odd: list[OddLens]) -> tuple[MatchGraph, list[str]]:
    """A graph in which odd photos have cameras of their own, and what to say of it.

    Parameters
    ----------
    graph : MatchGraph
    odd : list of OddLens

    Returns
    -------
    graph : MatchGraph
        A copy.
    warnings : list of str
    """
    cameras, ids, warnings = dict(graph.cameras), list(graph.camera_ids), []
    for lens in odd:
        shared = cameras[ids[lens.view]]
        ids[lens.view] = max(cameras) + 1
        cameras[ids[lens.view]] = Camera.from_focal(shared.model, shared.width, shared.height, lens.focal_px)
        warnings.append(
            f"{graph.names[lens.view]} does not fit the focal length of its camera ({shared.mean_focal:.0f} px), but "
            f"one of about {lens.focal_px:.0f} px: it was given a lens of its own. Was it zoomed or cropped?"
        )
    return replace(graph, cameras=cameras, camera_ids=ids), warnings


class _SeenByOthers:
    """What each view matches of the points that at least two other views made."""

    def __init__(self, model: WorkingModel) -> None:
        self.model, self.offsets = model, model.graph.keypoint_offsets()
        rows = np.flatnonzero(model.used)
        self.track_of = np.full(self.offsets[-1], -1)
        self.track_of[self.offsets[model.obs_view[rows]] + model.obs_keypoint[rows]] = model.obs_track[rows]
        self.length = np.bincount(model.obs_track[rows], minlength=len(model.placed))
        self.pairs: list[list[tuple[int, int, np.ndarray]]] = [[] for _ in range(len(model.graph))]
        for pair in model.graph.pairs:
            self.pairs[pair.first].append((pair.second, 0, pair.matches))
            self.pairs[pair.second].append((pair.first, 1, pair.matches))

    def of(self, view: int) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (n,) of a view and the points (n, 3) that they match."""
        tracks = len(self.model.placed)
        keys = [np.zeros(0, np.int64)]  # keypoint and track in one number
        for other, k, matches in self.pairs[view]:
            if self.model.registered[other]:
                track = self.track_of[self.offsets[other] + matches[:, 1 - k]]
                keys.append((matches[:, k] * tracks + track)[track >= 0])
        keypoints, track = np.divmod(np.unique(np.concatenate(keys)), max(tracks, 1))
        own = self.track_of[self.offsets[view] + keypoints] == track
        enough = self.length[track] - own >= 2
        return keypoints[enough], self.model.points[track[enough]]


def _explained(
    model: WorkingModel, view: int, keypoints: np.ndarray, points: np.ndarray, max_error_px: float
) -> int:
    """Number of points that a view sees where it should; none if it has no pose."""
    if not model.registered[view]:
        return 0
    pixels = model.graph.keypoints[view][keypoints]
    at = points @ model.rotations[view].T + model.translations[view]
    seen = model.cameras[model.view_camera[view]].project(at)
    return _count(np.linalg.norm(seen - pixels, axis=1) < max_error_px)


def _try(
    model: WorkingModel,
    view: int,
    keypoints: np.ndarray,
    points: np.ndarray,
    explained: int,
    options: RansacOptions,
) -> OddLens | None:
    camera = model.cameras[model.view_camera[view]]
    pixels = model.graph.keypoints[view][keypoints]
    bearings = camera.unproject(pixels)
    good = bearings[:, 2] > 0.1
    focal, centre = camera.mean_focal, camera.principal_point
    straight = centre + focal * bearings[good, :2] / bearings[good, 2:]  # as a pinhole would see it
    try:
        free = estimate_absolute_pose_focal(points[good], straight, centre, options)
        before = max(explained, _count(estimate_absolute_pose(points, pixels, camera, options).inliers))
    except EstimationError:
        return None
    count, ratio = _count(free.inliers), free.focal / focal
    if free.degeneracy or count < max(MIN_POINTS, GAIN * before) or max(ratio, 1 / ratio) < MIN_RATIO:
        return None
    return OddLens(view, float(free.focal), count, before)


def _count(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask))
