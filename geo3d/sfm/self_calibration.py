"""Self-calibration: which parameters of the lenses these photos determine, beyond focal length and first radial term.

A wrong principal point turns every pose; a term freed without need fits the errors of the keypoints and does the same.
So a term is freed only when three things hold, each seen on a sample of the model's points:

    it predicts    held-out observations are predicted better, by `min_gain` of their robust cost, and in most views:
                   the mean gain of a view is `min_t` times its standard error
    it is known    its standard deviation moves no corner of the photo by more than `max_corner_error` of the longer
                   side
    in order       principal point and second radial term first, tangential terms and aspect after both

Held-out observations are of tracks with at least three others, so that their points stand without them. The best term
is freed first, then the others are tried again.

The deviations are those of the normal equations, but no less than those of a jackknife over ten regions of the scene
(delete-a-group; Efron and Tibshirani 1993, chapter 11): errors of neighbouring keypoints go together, which
`sigma^2 H^-1` does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from geo3d.cameras import MODELS, Camera
from geo3d.optim import RobustLoss
from geo3d.sfm.bundle_adjustment import (
    BundleOptions,
    BundleProblem,
    BundleResult,
    free_parameters,
    solve_bundle,
)
from geo3d.sfm.bundle_covariance import bundle_covariance, two_view_gauge
from geo3d.sfm.working_model import WorkingModel


@dataclass(frozen=True)
class Term:
    """Parameters that are freed together."""

    name: str
    params: tuple[str, ...]
    model: str | None = None  # the one that has them, if not the camera's
    base: str | None = None  # and the one that it grows from


LADDER = (
    Term("principal point", ("cx", "cy")),
    Term("second radial term", ("k2",), "RADIAL", "SIMPLE_RADIAL"),
    Term("tangential terms and aspect", ("fx", "fy", "p1", "p2"), "OPENCV", "RADIAL"),
)


_REGIONS = 10


@dataclass(frozen=True)
class SelfCalibrationOptions:
    """When a term is freed.

    Attributes
    ----------
    min_gain : float
        Least fraction by which the robust cost of the held-out observations falls.
    min_t : float
        Least ratio of the mean gain over the views to its standard error.
    max_corner_error : float
        Largest standard deviation that a freed parameter may cause at a corner, as a fraction of the longer side.
    min_observations : int
        Fewest held-out observations of a camera; with fewer nothing is freed.
    min_views : int
        Fewest views of a camera.
    points : int
        Points in the sample, and at least 40 a view.
    views : int
        Most views in the sample: those that share most points, one by one.
    seed : int
    """

    min_gain: float = 0.004
    min_t: float = 1.0
    max_corner_error: float = 2.5e-3
    min_observations: int = 200
    min_views: int = 4
    points: int = 4000
    views: int = 150
    seed: int = 0


@dataclass(frozen=True)
class Trial:
    """What was found about one term of one camera.

    Attributes
    ----------
    camera : int
        Row of the model's cameras.
    term : str
    gain, t : float
        Fraction by which the held-out cost falls, and its significance over the views.
    corner_error : float
        Standard deviation at a corner, as a fraction of the longer side; infinite if the term is not determined, or
        where it predicts too little for this to be looked at.
    freed : bool
    """

    camera: int
    term: str
    gain: float
    t: float
    corner_error: float
    freed: bool


def self_calibrate(
    model: WorkingModel,
    bundle: BundleOptions,
    fixed_cameras: np.ndarray,
    options: SelfCalibrationOptions | None = None,
) -> list[Trial]:
    """Free what the photos determine; the model's cameras and `free_params` change in place, nothing is adjusted.

    Parameters
    ----------
    model : WorkingModel
        Adjusted.
    bundle : BundleOptions
        As it was adjusted with: loss and scale judge the held-out observations.
    fixed_cameras : (C,) bool
        Cameras whose parameters are known.
    options : SelfCalibrationOptions, optional

    Returns
    -------
    list of Trial
        Of all terms that were tried, in order.
    """
    options = options or SelfCalibrationOptions()
    if not bundle.refine_focal:
        return []
    train, held = _sample(model, options)
    seen = np.bincount(model.view_camera[model.obs_view[held]], minlength=len(model.cameras))
    views = np.bincount(model.view_camera[model.registered], minlength=len(model.cameras))
    open_ = ~fixed_cameras & (seen >= options.min_observations) & (views >= options.min_views)
    trials: list[Trial] = []
    tried: dict[tuple[int, str], Trial] = {}
    if not open_.any():
        return trials
    current = _Fit(model, bundle, train, held, fixed_cameras)
    while True:
        best: dict[int, tuple[Trial, Camera, np.ndarray]] = {}
        for term in LADDER:
            rows = [
                int(c) for c in np.flatnonzero(open_) if _applies(term, current.cameras[c], current.masks[c])
            ]
            if not rows:
                continue
            cameras, masks = list(current.cameras), list(current.masks)
            for c in rows:
                cameras[c], masks[c] = _freed(term, cameras[c], masks[c])
            fit = _Fit(model, bundle, train, held, fixed_cameras, cameras, masks)
            for c in rows:
                trial = _judge(term, c, current, fit, options)
                tried[c, term.name] = trial
                if trial.freed and (c not in best or trial.gain > best[c][0].gain):
                    best[c] = trial, fit.result.cameras[c], masks[c]
        if not best:
            break
        cameras, masks = list(current.cameras), list(current.masks)
        for c, (trial, camera, mask) in best.items():
            trials.append(trial)
            tried.pop((c, trial.term))
            cameras[c], masks[c] = camera, mask
        current = _Fit(model, bundle, train, held, fixed_cameras, cameras, masks)
    for c in {trial.camera for trial in trials}:
        model.cameras[c], model.free_params[c] = current.result.cameras[c], current.masks[c]
    return trials + [replace(trial, freed=False) for trial in tried.values()]


def camera_deviations(
    model: WorkingModel,
    bundle: BundleOptions,
    fixed_cameras: np.ndarray,
    options: SelfCalibrationOptions | None = None,
) -> list[np.ndarray]:
    """Standard deviations of the parameters of every camera.

    Parameters
    ----------
    model : WorkingModel
        Adjusted.
    bundle : BundleOptions
        As it was adjusted with.
    fixed_cameras : (C,) bool
        Cameras whose parameters are known.
    options : SelfCalibrationOptions, optional
        How large a sample is looked at.

    Returns
    -------
    list of (n_params,) array
        Zero for what is constant, infinite for what the observations do not determine.
    """
    options = options or SelfCalibrationOptions()
    rows = np.sort(np.concatenate(_sample(model, options)))
    fit = _Fit(model, bundle, rows, rows[:0], fixed_cameras)
    return [fit.deviations(c) for c in range(len(model.cameras))]


class _Fit:
    """Some observations adjusted with these cameras and masks, and what that predicts of held-out ones."""

    def __init__(
        self,
        model: WorkingModel,
        bundle: BundleOptions,
        rows: np.ndarray,
        held: np.ndarray,
        fixed: np.ndarray,
        cameras: list[Camera] | None = None,
        masks: list[np.ndarray] | None = None,
    ) -> None:
        problem, view, track = model.bundle_problem(rows, model.registered & ~model.held, fixed)
        self.masks = _masks(model, bundle, fixed) if masks is None else masks
        self.problem = replace(problem, cameras=cameras or model.cameras, free_params=self.masks)
        self.bundle = bundle
        self.result: BundleResult = solve_bundle(self.problem, bundle)
        self.cameras = self.result.cameras
        self.view = model.obs_view[held]
        self.camera = model.view_camera[self.view]
        at_view, at_point = np.searchsorted(view, self.view), np.searchsorted(track, model.obs_track[held])
        x = np.einsum("nij,nj->ni", self.result.rotations[at_view], self.result.points[at_point])
        x += self.result.translations[at_view]
        squared = np.full(len(held), np.inf)
        for c, camera in enumerate(self.cameras):
            mine = self.camera == c
            squared[mine] = ((camera.project(x[mine]) - model.obs_xy[held[mine]]) ** 2).sum(1)
        # What is not seen at all any more counts like any gross error.
        worst = (20 * bundle.loss_scale_px) ** 2
        loss = RobustLoss(bundle.loss, bundle.loss_scale_px)
        self.cost = loss.rho(np.where(squared < worst, squared, worst))

    def deviations(self, camera: int) -> np.ndarray:
        """(n_params,) standard deviations; zero for constants, infinite where the observations determine nothing."""
        if not self.masks[camera].any():
            return np.zeros(len(self.masks[camera]))
        formal = self._formal[camera]
        return np.maximum(formal, self._jackknife[camera]) if np.isfinite(formal).all() else formal

    @cached_property
    def _formal(self) -> list[np.ndarray]:
        """From the normal equations."""
        result, problem = self.result, self.problem
        centres = -np.einsum("vji,vj->vi", result.rotations, result.translations)
        problem = replace(
            problem,
            rotations=result.rotations,
            translations=result.translations,
            cameras=result.cameras,
            points=result.points,
        )
        far = int(np.argmax(np.linalg.norm(centres - centres[0], axis=1)))
        gauge = None if np.asarray(problem.constant_view).any() else two_view_gauge(problem, 0, far)
        try:
            found = bundle_covariance(replace(problem, constant_pose=gauge), self.bundle)
        except ValueError:  # singular: something is not determined
            return [np.full(len(camera.params), np.inf) for camera in result.cameras]
        return [np.sqrt(np.diag(block)) for block in found.cameras]

    @cached_property
    def _jackknife(self) -> list[np.ndarray]:
        """From the adjustments that leave out one region each."""
        region = _regions(self.result.points)[self.problem.obs_point]
        found = []
        for r in range(_REGIONS):
            part = solve_bundle(_without(self.problem, self.result, region == r), self.bundle)
            found.append([camera.params for camera in part.cameras])
        return [np.sqrt((_REGIONS - 1) * np.var(rows, axis=0)) for rows in zip(*found)]


def _without(problem: BundleProblem, result: BundleResult, out: np.ndarray) -> BundleProblem:
    """The adjusted problem without some observations, and without views that have too few left."""
    count = np.bincount(problem.obs_view[~out], minlength=len(problem.translations))
    rows = np.flatnonzero(~out & (count[problem.obs_view] >= 10))
    return replace(
        problem,
        rotations=result.rotations,
        translations=result.translations,
        cameras=result.cameras,
        points=result.points,
        obs_view=problem.obs_view[rows],
        obs_point=problem.obs_point[rows],
        obs_xy=problem.obs_xy[rows],
    )


def _regions(points: np.ndarray) -> np.ndarray:
    """(P,) int: the region of each point, by k-means of the positions."""
    from scipy.cluster.vq import kmeans2

    points = points - np.median(points, axis=0)
    points /= np.median(np.abs(points)) + 1e-300
    # A few points are very far away and would be regions of their own.
    return kmeans2(np.clip(points, -10, 10), _REGIONS, iter=10, minit="++", rng=0)[1]


def _sample(model: WorkingModel, options: SelfCalibrationOptions) -> tuple[np.ndarray, np.ndarray]:
    """Observations to adjust and to hold out: of a sample of the points with four observations or more."""
    rng = np.random.default_rng(options.seed)
    inside = _together(model, options.views)[model.obs_view] & model.used
    length = np.bincount(model.obs_track[inside], minlength=len(model.placed))
    tracks = np.flatnonzero(length >= 4)
    most = max(options.points, 40 * min(int(model.registered.sum()), options.views))
    if len(tracks) > most:
        tracks = rng.choice(tracks, most, replace=False)
    chosen = np.zeros(len(model.placed), bool)
    chosen[tracks] = True
    rows = np.flatnonzero(inside & chosen[model.obs_track])
    # A quarter of each track, by chance, but three always stay.
    order = rows[np.lexsort((rng.random(len(rows)), model.obs_track[rows]))]
    track, start = np.unique(model.obs_track[order], return_index=True)
    rank = np.arange(len(order)) - start[np.searchsorted(track, model.obs_track[order])]
    out = rank < length[model.obs_track[order]] // 4
    return np.sort(order[~out]), np.sort(order[out])


def _together(model: WorkingModel, most: int) -> np.ndarray:
    """(V,) bool: registered views that hang together, grown from the one with most observations."""
    chosen = model.registered.copy()
    if chosen.sum() <= most:
        return chosen
    from scipy.sparse import csr_array

    rows = np.flatnonzero(model.used)
    seen = csr_array(
        (np.ones(len(rows)), (model.obs_view[rows], model.obs_track[rows])),
        shape=(len(model.graph), len(model.placed)),
    )
    shared = (seen @ seen.T).tocsr()
    chosen[:] = False
    score = np.zeros(len(model.graph))
    view = int(np.argmax(model.used_counts()))
    for _ in range(most):
        chosen[view] = True
        score[shared.indices[shared.indptr[view] : shared.indptr[view + 1]]] += shared.data[
            shared.indptr[view] : shared.indptr[view + 1]
        ]
        view = int(np.argmax(np.where(chosen, -1.0, score)))
    return chosen


def _masks(model: WorkingModel, bundle: BundleOptions, fixed: np.ndarray) -> list[np.ndarray]:
    """What moves now."""
    empty = np.zeros(0, np.int64)
    problem = BundleProblem(
        np.zeros((0, 3, 3)), np.zeros((0, 3)), empty, model.cameras, np.zeros((0, 3)), empty, empty,
        np.zeros((0, 2)), constant_camera=fixed, free_params=model.free_params,
    )  # fmt: skip
    params = free_parameters(problem, bundle)[1]
    return [row[: len(camera.params)] for row, camera in zip(params, model.cameras)]


def _applies(term: Term, camera: Camera, mask: np.ndarray) -> bool:
    if term.model is not None:
        ready = term.model != "OPENCV" or mask[list(MODELS[camera.model].principal_params)].all()
        return camera.model == term.base and ready
    principal = list(MODELS[camera.model].principal_params)
    return bool(principal) and not mask[principal].any()


def _freed(term: Term, camera: Camera, mask: np.ndarray) -> tuple[Camera, np.ndarray]:
    """The camera in the model that has the term, and its mask with the term free."""
    params = dict(zip(camera.param_names, camera.params))
    free = dict(zip(camera.param_names, mask))
    if term.model is not None:
        renamed = {"k": "k1"} if term.model == "RADIAL" else {}
        params = {renamed.get(n, n): v for n, v in params.items()}
        free = {renamed.get(n, n): v for n, v in free.items()}
        if term.model == "OPENCV":
            for name in ("fx", "fy"):
                params[name], free[name] = params["f"], free["f"]
        names = MODELS[term.model].param_names
        camera = replace(camera, model=term.model, params=np.array([params.get(n, 0.0) for n in names]))
    names = camera.param_names
    return camera, np.array([n in term.params or bool(free.get(n, False)) for n in names])


def _judge(term: Term, camera: int, before: _Fit, after: _Fit, options: SelfCalibrationOptions) -> Trial:
    mine = after.camera == camera
    gained, views = (before.cost - after.cost)[mine], after.view[mine]
    gain = float(gained.sum() / before.cost[mine].sum())
    view, index = np.unique(views, return_inverse=True)
    each = np.bincount(index, gained) / np.bincount(index)
    error = each.std(ddof=1) / np.sqrt(len(view)) if len(view) > 1 else np.inf
    t = float(each.mean() / error) if error > 0 else np.inf
    corner = np.inf
    if gain >= options.min_gain and t >= options.min_t:
        lens = after.cameras[camera]
        corner = _corner_error(lens, after.deviations(camera), term.params)
    freed = corner <= options.max_corner_error
    return Trial(camera, term.name, gain, t, corner, freed)


def _corner_error(camera: Camera, deviations: np.ndarray, names: tuple[str, ...]) -> float:
    """Largest displacement of a corner by one standard deviation of one of the parameters, over the longer side."""
    if not np.isfinite(deviations).all():
        return np.inf
    width, height = camera.width, camera.height
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    rays = camera.unproject(corners)
    rays = rays[np.isfinite(rays).all(1)]
    if not len(rays):
        return np.inf
    moved = camera.project_with_jacobians(rays).d_params * deviations  # (n, 2, P)
    columns = [i for i, name in enumerate(camera.param_names) if name in names]
    return float(np.linalg.norm(moved[..., columns], axis=1).max() / max(width, height))
