"""Models that grow: view by view until none can be added (`grow`), then everything to convergence (`finish`).

A step is: resect the view that sees most of the model, triangulate what it adds, adjust what is near, and adjust
everything whenever the model has grown by a quarter. Schonberger and Frahm 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from geo3d.estimation import EstimationError, RansacOptions, estimate_absolute_pose
from geo3d.sfm.bundle_adjustment import BundleOptions
from geo3d.sfm.mapper import MapperOptions, Report
from geo3d.sfm.self_calibration import self_calibrate
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
