"""Incremental structure from motion: start from two views, add one view at a time, adjust as the model grows.

Snavely et al. 2006; Schonberger and Frahm 2016. Positions belong to tracks that are joined before the mapping
starts, so that a step is: resect the view that sees most of the model, triangulate what it adds, adjust what is
near, and adjust everything whenever the model has grown by a quarter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from geo3d.estimation import EstimationError, RansacOptions, estimate_absolute_pose
from geo3d.geometry import SE3
from geo3d.sfm.bundle_adjustment import BundleOptions
from geo3d.sfm.initial_pair import InitialPair, rank_initial_pairs
from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.self_calibration import self_calibrate
from geo3d.sfm.tracks import TrackSet, build_tracks
from geo3d.sfm.working_model import WorkingModel

MAX_TRIALS = 3
"""Times that a view is registered before it is given up, when the adjustment keeps throwing it out."""


@dataclass(frozen=True)
class MapperOptions:
    """When the mapper believes what.

    Attributes
    ----------
    max_error_px : float
        Largest reprojection error of an observation.
    min_angle_deg : float
        Smallest angle between the widest two rays of a point.
    min_points : int
        Fewest points that a view must share with the model to be resected, and be left with afterwards.
    resection_error_px : float
        Inlier threshold of the resection; wider than `max_error_px`, since the model has not been adjusted to it.
    local_views : int
        Views adjusted together with a new one.
    growth : float
        Everything is adjusted when views or points have grown by this factor.
    min_component : int
        Fewest views of a model that is kept.
    bundle : BundleOptions
        What is refined, and the number of threads.
    seed : int
    """

    max_error_px: float = 4.0
    min_angle_deg: float = 1.5
    min_points: int = 20
    resection_error_px: float = 10.0
    local_views: int = 6
    growth: float = 1.25
    min_component: int = 2
    bundle: BundleOptions = field(default_factory=BundleOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("max_error_px", 1e-9),
            ("resection_error_px", 1e-9),
            ("min_angle_deg", 0),
            ("min_points", 6),
            ("local_views", 2),
            ("growth", 1),
            ("min_component", 2),
            ("seed", 0),
        ):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least:g}, got {getattr(self, name)}")

    @property
    def min_angle(self) -> float:
        """`min_angle_deg` in radians."""
        return float(np.radians(self.min_angle_deg))


@dataclass
class MappingResult:
    """Every component, most views first, and why a view is in none."""

    models: list[WorkingModel]
    reasons: dict[int, str]  # row of the view -> reason, for the views that are in no component


def map_incrementally(
    graph: MatchGraph, options: MapperOptions, progress: Callable[[int, str], None] = lambda done, text: None
) -> MappingResult:
    """Reconstruct every component of a match graph.

    Parameters
    ----------
    graph : MatchGraph
    options : MapperOptions
    progress : callable
        Called with the number of views registered so far and a few words.

    Returns
    -------
    MappingResult
    """
    tracks = build_tracks(graph)
    models: list[WorkingModel] = []
    free = np.ones(len(graph), bool)
    reasons = dict.fromkeys(range(len(graph)), "no photo shares enough verified matches with it")
    for pair in graph.pairs:
        reasons[pair.first] = reasons[pair.second] = "it shares too few points with what was reconstructed"
    while free.sum() >= options.min_component:
        done = int((~free).sum())
        model = _start(graph, tracks, free, options)
        if model is None:
            break
        grow(model, free, options, lambda n, text, done=done: progress(done + n, text))
        finish(model, options, free)
        members = np.flatnonzero(model.registered)
        if len(members) < options.min_component:
            break
        models.append(model)
        free[members] = False
        for view in members:
            reasons.pop(int(view), None)
    models.sort(key=lambda m: (-int(m.registered.sum()), -int(m.placed.sum())))
    return MappingResult(models, reasons)


def _start(
    graph: MatchGraph, tracks: TrackSet, free: np.ndarray, options: MapperOptions
) -> WorkingModel | None:
    """A model of the best two views, or None when no two views of the free ones make a model."""
    for least in (100, 50, 25):
        for pair in rank_initial_pairs(graph, free, least, options.seed)[:10]:
            model = _two_view_model(graph, tracks, pair, options)
            if model.placed.sum() >= least // 2:
                return model
    return None


def _two_view_model(
    graph: MatchGraph, tracks: TrackSet, pair: InitialPair, options: MapperOptions
) -> WorkingModel:
    model = WorkingModel(graph, tracks)
    model.set_pose(pair.first, SE3.identity())
    model.set_pose(pair.second, pair.second_from_first)
    model.triangulate(options.max_error_px, options.min_angle)
    # Two views say little about the lens: their cameras are held until more have been added.
    model.adjust(model.robust(options.bundle), fixed_cameras=np.ones(len(model.cameras), bool))
    model.filter(options.max_error_px, options.min_angle)
    model.triangulate(options.max_error_px, options.min_angle)
    return model


def grow(
    model: WorkingModel,
    free: np.ndarray,
    options: MapperOptions,
    progress: Callable[[int, str], None] = lambda done, text: None,
    fixed_cameras: np.ndarray | None = None,
) -> None:
    """Add views until none can be added, and adjust everything; the model changes in place. `finish` comes after.

    Parameters
    ----------
    model : WorkingModel
        With at least two registered views and points between them.
    free : (V,) bool
        Views that may be added.
    options : MapperOptions
    progress : callable
        Called with the number of registered views and a few words.
    fixed_cameras : (C,) bool, optional
        Cameras whose parameters stay.
    """
    fixed = np.zeros(len(model.cameras), bool) if fixed_cameras is None else fixed_cameras
    adjusted_views, adjusted_points = int(model.registered.sum()), int(model.placed.sum())
    attempts = np.zeros(len(model.graph), np.int64)  # points seen at the last failed resection
    trials = np.zeros(
        len(model.graph), np.int64
    )  # times registered: one that is forgotten again and again is left
    retried = False
    while True:
        view = _register_next(model, free & (trials < MAX_TRIALS), attempts, options)
        if view is None:
            if retried or not (free & ~model.registered & (trials < MAX_TRIALS)).any():
                break
            retried = True  # once more after everything has been adjusted
            attempts[:] = 0
            _adjust_all(model, options, fixed)
            continue
        retried = False
        trials[view] += 1
        seen = model.observations_of(view)
        model.complete(options.max_error_px)
        model.triangulate(options.max_error_px, options.min_angle, model.obs_track[seen])
        progress(int(model.registered.sum()), f"{int(model.placed.sum())} points")
        views, points = int(model.registered.sum()), int(model.placed.sum())
        if views >= options.growth * adjusted_views or points >= options.growth * adjusted_points:
            _adjust_all(model, options, fixed)
            adjusted_views, adjusted_points = int(model.registered.sum()), int(model.placed.sum())
        else:
            _adjust_near(model, view, options, fixed)
    _adjust_all(model, options, fixed)


def finish(
    model: WorkingModel,
    options: MapperOptions,
    free: np.ndarray | None = None,
    fixed_cameras: np.ndarray | None = None,
) -> None:
    """Free what the photos determine of the lenses, and adjust everything to convergence.

    Parameters
    ----------
    model : WorkingModel
        Grown; changes in place.
    options : MapperOptions
    free : (V,) bool, optional
        Views that may be added once the lenses are known better.
    fixed_cameras : (C,) bool, optional
        Cameras whose parameters stay.
    """
    fixed = np.zeros(len(model.cameras), bool) if fixed_cameras is None else fixed_cameras
    trials = self_calibrate(model, model.robust(options.bundle), fixed)
    if free is not None and any(trial.freed for trial in trials) and (free & ~model.registered).any():
        _adjust_all(model, options, fixed)
        grow(model, free, options, fixed_cameras=fixed)
    _adjust_all(model, options, fixed, rounds=5, final=True)


def _register_next(
    model: WorkingModel, free: np.ndarray, attempts: np.ndarray, options: MapperOptions
) -> int | None:
    """Resect the view that sees the model best; None when none of the free views can be."""
    scores = []
    for view in np.flatnonzero(free & ~model.registered):
        rows = model.observations_of(int(view))
        rows = rows[model.placed[model.obs_track[rows]]]
        # One that failed is tried again when it sees a good deal more of the model.
        if len(rows) >= options.min_points and len(rows) > 1.2 * attempts[view]:
            camera = model.cameras[model.view_camera[view]]
            scores.append((_coverage(model.obs_xy[rows], camera.width, camera.height), int(view), rows))
    for _, view, rows in sorted(scores, key=lambda s: (-s[0], s[1])):
        if _resect(model, view, rows, options):
            return view
        attempts[view] = len(rows)
    return None


def _coverage(xy: np.ndarray, width: int, height: int) -> float:
    """How many points, and how well spread: occupied cells of a pyramid of grids, finer ones weighing more.

    Schonberger and Frahm 2016, section 4.2.
    """
    score = 0.0
    for cells in (2, 4, 8, 16, 32):
        column = np.clip(xy[:, 0] * cells / width, 0, cells - 1).astype(np.int64)
        row = np.clip(xy[:, 1] * cells / height, 0, cells - 1).astype(np.int64)
        score += cells * cells * np.count_nonzero(np.bincount(row * cells + column))
    return score


def _resect(model: WorkingModel, view: int, rows: np.ndarray, options: MapperOptions) -> bool:
    camera = model.cameras[model.view_camera[view]]
    ransac = RansacOptions(max_error_px=options.resection_error_px, seed=options.seed + view)
    try:
        result = estimate_absolute_pose(
            model.points[model.obs_track[rows]], model.obs_xy[rows], camera, ransac
        )
    except EstimationError:
        return False
    # A quarter of the points may be few, but chance does not agree on as many.
    if result.inliers.sum() < max(options.min_points, 0.25 * len(rows)):
        return False
    model.set_pose(view, result.cam_from_world)
    return True


def _adjust_near(model: WorkingModel, view: int, options: MapperOptions, fixed: np.ndarray) -> None:
    """Adjust a new view with those that share most points with it."""
    mine = model.obs_track[model.observations_of(view)][model.used[model.observations_of(view)]]
    shared = np.zeros(len(model.placed), bool)
    shared[mine] = True
    common = np.bincount(model.obs_view[model.used & shared[model.obs_track]], minlength=len(model.graph))
    common[view] = len(model.placed) + 1
    near = np.argsort(-common, kind="stable")[: options.local_views]
    near = near[common[near] > 0]
    inside = np.bincount(model.view_camera[near], minlength=len(model.cameras))
    total = np.bincount(model.view_camera[model.registered], minlength=len(model.cameras))
    # At least two views hold the gauge; a camera that is used elsewhere too is not bent to these few views.
    held = np.zeros(len(model.graph), bool)
    if len(near) == model.registered.sum():
        held[near[-2:]] = True
    model.adjust(_local(model.robust(options.bundle)), near, held, fixed | (total > inside))
    model.filter(options.max_error_px, options.min_angle)
    model.complete(options.max_error_px)


def _local(bundle: BundleOptions) -> BundleOptions:
    return replace(bundle, max_iterations=min(bundle.max_iterations, 15), function_tolerance=1e-4)


def _adjust_all(
    model: WorkingModel, options: MapperOptions, fixed: np.ndarray, rounds: int = 2, final: bool = False
) -> None:
    """Adjust, filter and triangulate again, until little changes."""
    for _ in range(rounds):
        if final:
            model.split_contradictions()
        added = model.complete(options.max_error_px)
        added += 2 * model.triangulate(options.max_error_px, options.min_angle)
        bundle = model.robust(options.bundle)
        model.adjust(bundle if final else replace(bundle, function_tolerance=1e-5), fixed_cameras=fixed)
        dropped = model.filter(options.max_error_px, options.min_angle)
        for view in np.flatnonzero(model.registered & (model.used_counts() < options.min_points)):
            if model.registered.sum() > 2 and not model.held[view]:
                model.forget_view(int(view))
        if not model.held.any():
            _normalize(model)
        if added + dropped < 5e-4 * model.used.sum():
            break


def _normalize(model: WorkingModel) -> None:
    """Centre the cameras and scale them to a spread of about ten: the gauge is free and would drift."""
    views = np.flatnonzero(model.registered)
    centres = model.centres()[views]
    middle = np.median(centres, axis=0)
    spread = np.percentile(np.linalg.norm(centres - middle, axis=1), 90)
    if spread <= 0:
        return
    scale = 10.0 / spread
    model.points = (model.points - middle) * scale
    model.translations[views] = -np.einsum("vij,vj->vi", model.rotations[views], (centres - middle) * scale)
