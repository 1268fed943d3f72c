"""Incremental structure from motion: start from two views, add one view at a time, adjust as the model grows.

Snavely et al. 2006; Schonberger and Frahm 2016. Positions belong to tracks that are joined before the mapping
starts, so that a step is: resect the view that sees most of the model, triangulate what it adds, adjust what is
near, and adjust everything whenever the model has grown by a quarter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from geo3d.util.snapshots import Snapshots

MAX_TRIALS = 3
"""Times that a view is registered before it is given up, when the adjustment keeps throwing it out."""

LENS_TRIM, LENS_LOSS = 18.0, 12.0
"""Of a lens that moved: largest error, and scale of the loss, in median errors, once poses and matches have settled.
The sharpest keypoints decide under a tight loss, and are the ones whose errors go together; a lens hangs on all."""

ROUND_LOSS = 1.0
"""Scale of the loss in median errors in the final rounds: tight, since a few dozen wrong observations of a few pixels
(another window of the same facade) hold a view in a place where a wider loss leaves it."""

FINAL_ROUNDS = 5
"""Most rounds of triangulation, adjustment and filter at the end."""


Report = Callable[[int, str], None]

NOTHING_FROM_THESE = "nothing could be made of it and the photos that it matches: they show no depth"
"""Why a photo is in no model that matches others, of which none is in one either."""


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
    """What was reconstructed.

    Attributes
    ----------
    models : list of WorkingModel
        Every component, the one with most views first.
    reasons : dict
        Row of the view to the reason, for the views that are in no component.
    notes : list of str
        What the user should know of how the models came about.
    """

    models: list[WorkingModel]
    reasons: dict[int, str]
    notes: list[str] = field(default_factory=list)


def map_incrementally(
    graph: MatchGraph,
    options: MapperOptions,
    progress: Report = lambda done, text: None,
    free: np.ndarray | None = None,
    snapshots: Snapshots | None = None,
) -> MappingResult:
    """Reconstruct every component of a match graph, view by view.

    Parameters
    ----------
    graph : MatchGraph
    options : MapperOptions
    progress : callable
        Called with the number of views registered so far and a few words.
    free : (V,) bool, optional
        Views that may be used; default all.
    snapshots : Snapshots, optional
        Where a killed run goes on from.

    Returns
    -------
    MappingResult
    """
    snapshots = snapshots or Snapshots()
    tracks = build_tracks(graph)
    models: list[WorkingModel] = []
    free = np.ones(len(graph), bool) if free is None else free.copy()
    startable = free.copy()
    small: dict[int, str] = {}
    done, number = 0, 0
    while True:
        part = snapshots.within(f"model-{number}")
        model = _resumed(graph, tracks, part) or _start(graph, tracks, startable, options)
        if model is None:
            break
        report = counting_from(done, progress)
        grow(model, free, options, report, snapshots=part)
        finish(model, options, free, progress=report, snapshots=part)
        number += 1
        members = np.flatnonzero(model.registered)
        startable[members] = False
        if len(members) < options.min_component:
            for view in members:
                small[int(view)] = f"only {len(members)} photos hang together here"
            continue
        models.append(model)
        free[members] = False
        done += len(members)
    return MappingResult(largest_first(models), unregistered_reasons(graph, free, small))


def counting_from(done: int, progress: Report) -> Report:
    """`progress` for a part of the work, when so many photos were placed before."""
    return lambda placed, text: progress(done + placed, text)


def largest_first(models: list[WorkingModel]) -> list[WorkingModel]:
    """Models by their number of views, then of points."""
    return sorted(models, key=lambda m: (-int(m.registered.sum()), -int(m.placed.sum())))


def unregistered_reasons(
    graph: MatchGraph, views: np.ndarray, known: Mapping[int, str] | None = None
) -> dict[int, str]:
    """Why each of the views (V,) bool is in no model, as far as the match graph can tell.

    A view that matches one of a model shares too little with it; of the others, `known` may say more.
    """
    near_model, matched = np.zeros(len(graph), bool), np.zeros(len(graph), bool)
    for pair in graph.pairs:
        ends = [pair.first, pair.second]
        matched[ends] = True
        near_model[ends] |= ~views[ends[::-1]]
    reasons = {}
    for view in map(int, np.flatnonzero(views)):
        if near_model[view]:
            reasons[view] = "it shares too few points with what was reconstructed"
        elif matched[view]:
            reasons[view] = (known or {}).get(view, NOTHING_FROM_THESE)
        else:
            reasons[view] = "no photo shares enough verified matches with it"
    return reasons


def _resumed(graph: MatchGraph, tracks: TrackSet, snapshots: Snapshots) -> WorkingModel | None:
    """The model of an interrupted run, as far as it was; `grow` and `finish` go on with it."""
    saved = snapshots.load("growth")
    if saved is None:
        return None
    model = WorkingModel(graph, tracks)
    model.restore(saved)
    return model


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


@dataclass
class _Growth:
    """Where `grow` and `finish` are, beside the model."""

    attempts: np.ndarray  # (V,) int64, points seen at the last failed resection
    trials: np.ndarray  # (V,) int64, times registered: one that is forgotten again and again is left
    adjusted: np.ndarray  # (2,) int64, views and points when everything was adjusted last
    retried: np.ndarray  # () bool, whether everything was adjusted since a view was added
    rounds: np.ndarray  # () int64, of the final adjustment; -1 while views are added

    @staticmethod
    def of(model: WorkingModel) -> _Growth:
        none = np.zeros(len(model.graph), np.int64)
        return _Growth(none, none.copy(), _size(model), np.array(False), np.array(-1))

    def restore(self, model: WorkingModel, saved: Mapping[str, np.ndarray]) -> None:
        model.restore(saved)
        for name, value in vars(self).items():
            value[...] = saved[name]

    def save(self, model: WorkingModel, snapshots: Snapshots) -> None:
        snapshots.save("growth", lambda: {**vars(self), **model.state()})


def _size(model: WorkingModel) -> np.ndarray:
    """Registered views and placed points."""
    return np.array([model.registered.sum(), model.placed.sum()])


def grow(
    model: WorkingModel,
    free: np.ndarray,
    options: MapperOptions,
    progress: Report = lambda done, text: None,
    fixed_cameras: np.ndarray | None = None,
    snapshots: Snapshots | None = None,
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
    snapshots : Snapshots, optional
        Of this model: where a killed run goes on from.
    """
    snapshots = snapshots or Snapshots()
    fixed = np.zeros(len(model.cameras), bool) if fixed_cameras is None else fixed_cameras
    state, saved = _Growth.of(model), snapshots.load("growth")
    if saved is not None:
        state.restore(model, saved)
        if state.rounds >= 0:
            return
    while True:
        state.save(model, snapshots)
        may = free & ~model.registered & (state.trials < MAX_TRIALS)
        view = _register_next(model, may, state.attempts, options)
        if view is not None:
            state.retried[...] = False
            state.trials[view] += 1
            _take_in(model, view, options, fixed, state)
            progress(int(model.registered.sum()), f"{int(model.placed.sum())} points")
        elif state.retried or not may.any():
            break
        else:
            state.retried[...] = True  # once more after everything has been adjusted
            state.attempts[:] = 0
            _adjust_all(model, options, fixed)
    _adjust_all(model, options, fixed)


def _take_in(
    model: WorkingModel, view: int, options: MapperOptions, fixed: np.ndarray, state: _Growth
) -> None:
    """Triangulate what a new view adds and adjust what is near, or everything if the model has grown enough."""
    seen = model.obs_track[model.observations_of(view)]
    model.complete(options.max_error_px, seen)
    model.triangulate(options.max_error_px, options.min_angle, seen)
    if (_size(model) >= options.growth * state.adjusted).any():
        _adjust_all(model, options, fixed)
        state.adjusted[:] = _size(model)
    else:
        _adjust_near(model, view, options, fixed)


def finish(
    model: WorkingModel,
    options: MapperOptions,
    free: np.ndarray | None = None,
    fixed_cameras: np.ndarray | None = None,
    progress: Report = lambda done, text: None,
    snapshots: Snapshots | None = None,
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
    progress : callable
        Called with the number of registered views and a few words.
    snapshots : Snapshots, optional
        Of this model, the same as for `grow`.
    """
    snapshots = snapshots or Snapshots()
    fixed = np.zeros(len(model.cameras), bool) if fixed_cameras is None else fixed_cameras
    state, saved = _Growth.of(model), snapshots.load("growth")
    if saved is not None and saved["rounds"] >= 0:
        state.restore(model, saved)
    else:
        trials = self_calibrate(model, model.robust(options.bundle), fixed)
        if free is not None and any(trial.freed for trial in trials) and (free & ~model.registered).any():
            _adjust_all(model, options, fixed)
            grow(model, free, options, fixed_cameras=fixed)
        state.rounds[...] = 0
    while state.rounds < FINAL_ROUNDS:
        state.save(model, snapshots)
        progress(int(model.registered.sum()), f"{int(model.placed.sum())} points, adjusting everything")
        settled = _adjust_all(model, options, fixed, rounds=1, final=True)
        state.rounds += FINAL_ROUNDS if settled else 1
    if options.bundle.refine_focal and not fixed.all():
        _adjust_lenses(model, options, fixed)
    else:
        model.adjust(model.robust(options.bundle), fixed_cameras=fixed)
    model.filter(options.max_error_px, options.min_angle)


def _adjust_lenses(model: WorkingModel, options: MapperOptions, fixed: np.ndarray) -> None:
    if not model.used.any():
        return
    median = float(np.median(model.errors_px(np.flatnonzero(model.used))))
    limit = float(np.clip(LENS_TRIM * median, min(1.0, options.max_error_px), options.max_error_px))
    for _ in range(2):
        model.filter(limit, options.min_angle)
        model.adjust(
            replace(model.robust(options.bundle), loss_scale_px=LENS_LOSS / LENS_TRIM * limit),
            fixed_cameras=fixed,
        )
        model.complete(limit)


def _register_next(
    model: WorkingModel, free: np.ndarray, attempts: np.ndarray, options: MapperOptions
) -> int | None:
    """Resect the view that sees the model best; None when none of the free views can be."""
    scores = []
    for view in np.flatnonzero(free):
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
    rows = np.concatenate([model.observations_of(int(v)) for v in near])
    bundle = _local(model.robust(options.bundle, rows=rows[model.used[rows]]))
    model.adjust(bundle, near, held, fixed | (total > inside))
    seen = model.obs_track[rows]
    model.filter(options.max_error_px, options.min_angle, seen)
    model.complete(options.max_error_px, seen)


def _local(bundle: BundleOptions) -> BundleOptions:
    return replace(bundle, max_iterations=min(bundle.max_iterations, 15), function_tolerance=1e-4)


def _adjust_all(
    model: WorkingModel, options: MapperOptions, fixed: np.ndarray, rounds: int = 2, final: bool = False
) -> bool:
    """Adjust, filter and triangulate again, until little changes; return whether it came so far."""
    for _ in range(rounds):
        if final:
            model.split_contradictions()
        added = model.complete(options.max_error_px)
        added += 2 * model.triangulate(options.max_error_px, options.min_angle)
        bundle = model.robust(options.bundle, ROUND_LOSS) if final else model.robust(options.bundle)
        model.adjust(replace(bundle, function_tolerance=1e-5), fixed_cameras=fixed)
        dropped = model.filter(options.max_error_px, options.min_angle)
        for view in np.flatnonzero(model.registered & (model.used_counts() < options.min_points)):
            if model.registered.sum() > 2 and not model.held[view]:
                model.forget_view(int(view))
        if not model.held.any():
            normalize(model)
        if added + dropped < 5e-4 * model.used.sum():
            return True
    return False


def normalize(model: WorkingModel) -> None:
    """Centre the cameras and scale them to a spread of about ten: the gauge is free and would drift."""
    views = np.flatnonzero(model.registered)
    if len(views) < 2:
        return
    centres = model.centres()[views]
    middle = np.median(centres, axis=0)
    spread = np.percentile(np.linalg.norm(centres - middle, axis=1), 90)
    if spread <= 0:
        return
    scale = 10.0 / spread
    model.points = (model.points - middle) * scale
    model.translations[views] = -np.einsum("vij,vj->vi", model.rotations[views], (centres - middle) * scale)
