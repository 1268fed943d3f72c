"""Lenses adjusted on a sample of a model: what they predict, and how well they are known.

The deviations are those of the normal equations, but no less than those of a jackknife over ten regions of the scene
(delete-a-group; Efron and Tibshirani 1993, chapter 11): errors of neighbouring keypoints go together, which
`sigma^2 H^-1` does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from geo3d.cameras import Camera
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

_REGIONS = 10
_DAMPING = 1e-8
"""Of the first step of an adjustment that leaves out a region. It starts beside its minimum; damped, it would stop on
the way along what the photos hardly determine, as the focal length of a flight that looks straight down."""
FEW = 100
"""Points below which a sample takes those of two photos too."""


@dataclass(frozen=True)
class LensSample:
    """How much of a model is looked at.

    Attributes
    ----------
    points : int
        Points with four observations or more, and at least 40 a view.
    views : int
        Most views: those that share most points, one by one.
    seed : int
    """

    points: int = 4000
    views: int = 150
    seed: int = 0


def camera_deviations(
    model: WorkingModel, bundle: BundleOptions, sample: LensSample | None = None
) -> list[np.ndarray]:
    """Standard deviations of the parameters of every camera.

    Parameters
    ----------
    model : WorkingModel
        Adjusted.
    bundle : BundleOptions
        What was free; the loss is set by the model's errors.
    sample : LensSample, optional

    Returns
    -------
    list of (n_params,) array
        Zero for what is constant, infinite for what the observations do not determine.
    """
    rows = np.sort(np.concatenate(lens_sample(model, sample or LensSample())))
    fit = LensFit(model, model.robust(bundle), rows, rows[:0], np.zeros(len(model.cameras), bool))
    return [fit.deviations(c) for c in range(len(model.cameras))]


class LensFit:
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
        moving = model.registered & ~model.held
        problem, view, track = model.bundle_problem(rows, moving, fixed, cameras)
        self.masks = _masks(model, bundle, fixed) if masks is None else masks
        self.problem = replace(problem, free_params=self.masks)
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
        seen = self.problem.view_camera[self.problem.obs_view]
        formal = self._formal[camera] if (seen == camera).any() else np.full(len(self.masks[camera]), np.inf)
        if np.isfinite(formal).all():
            formal = np.maximum(formal, self._jackknife[camera])
        return np.where(self.masks[camera], formal, 0.0)

    @cached_property
    def _formal(self) -> list[np.ndarray]:
        problem = adjusted_problem(self.problem, self.result)
        if len(problem.translations) < 2:
            return [np.full(len(camera.params), np.inf) for camera in problem.cameras]
        centres = -np.einsum("vji,vj->vi", problem.rotations, problem.translations)
        far = int(np.argmax(np.linalg.norm(centres - centres[0], axis=1)))
        gauge = None if np.asarray(problem.constant_view).any() else two_view_gauge(problem, 0, far)
        return formal_deviations(replace(problem, constant_pose=gauge), self.bundle)

    @cached_property
    def _jackknife(self) -> list[np.ndarray]:
        return jackknife_deviations(adjusted_problem(self.problem, self.result), self.bundle)


def adjusted_problem(problem: BundleProblem, result: BundleResult) -> BundleProblem:
    """The `problem` with the values of its `result`."""
    return replace(
        problem,
        rotations=result.rotations,
        translations=result.translations,
        cameras=result.cameras,
        points=result.points,
        rigs=result.rigs,
    )


def formal_deviations(problem: BundleProblem, bundle: BundleOptions) -> list[np.ndarray]:
    """Deviations of all cameras' parameters from the normal equations.

    Parameters
    ----------
    problem : BundleProblem
        Adjusted, with constants or priors that hold the gauge.
    bundle : BundleOptions
        Of the adjustment.

    Returns
    -------
    list of (n_params,) array
        All infinite where something is not determined.
    """
    try:
        found = bundle_covariance(problem, bundle, points=False)
    except ValueError:  # singular: something is not determined
        return [np.full(len(camera.params), np.inf) for camera in problem.cameras]
    return [np.sqrt(np.diag(block)) for block in found.cameras]


def jackknife_deviations(problem: BundleProblem, bundle: BundleOptions) -> list[np.ndarray]:
    """Deviations of all cameras' parameters from adjustments that leave out one region each.

    Parameters
    ----------
    problem : BundleProblem
        Adjusted. Observations that the loss does not touch (`obs_robust`) are never left out.
    bundle : BundleOptions
        Of the adjustment.

    Returns
    -------
    list of (n_params,) array
        Zero where there are too few points.
    """
    if len(problem.points) < 10 * _REGIONS:
        return [np.zeros(len(camera.params)) for camera in problem.cameras]
    region = _regions(problem.points)[problem.obs_point]
    if problem.obs_robust is not None:
        region[~problem.obs_robust] = -1
    found = []
    for r in range(_REGIONS):
        part = solve_bundle(_without(problem, region == r), replace(bundle, initial_damping=_DAMPING))
        found.append([camera.params for camera in part.cameras])
    return [np.sqrt((_REGIONS - 1) * np.var(rows, axis=0)) for rows in zip(*found)]


def _without(problem: BundleProblem, out: np.ndarray) -> BundleProblem:
    """The problem without some observations, and without views that have too few left."""
    count = np.bincount(problem.obs_view[~out], minlength=len(problem.translations))
    rows = np.flatnonzero(~out & (count[problem.obs_view] >= 10))
    sigma, robust = problem.obs_sigma_px, problem.obs_robust
    return replace(
        problem,
        obs_view=problem.obs_view[rows],
        obs_point=problem.obs_point[rows],
        obs_xy=problem.obs_xy[rows],
        obs_sigma_px=None if sigma is None else sigma[rows],
        obs_robust=None if robust is None else robust[rows],
    )


def _regions(points: np.ndarray) -> np.ndarray:
    """(P,) int: the region of each point, by k-means of the positions."""
    from scipy.cluster.vq import kmeans2

    points = points - np.median(points, axis=0)
    points /= np.median(np.abs(points)) + 1e-300
    # A few points are very far away and would be regions of their own.
    return kmeans2(np.clip(points, -10, 10), _REGIONS, iter=10, minit="++", rng=0)[1]


def lens_sample(model: WorkingModel, options: LensSample) -> tuple[np.ndarray, np.ndarray]:
    """Observations to adjust and to hold out, rows of the model's.

    Parameters
    ----------
    model : WorkingModel
    options : LensSample
    """
    rng = np.random.default_rng(options.seed)
    inside = _together(model, options.views)[model.obs_view] & model.used
    length = np.bincount(model.obs_track[inside], minlength=len(model.placed))
    tracks = np.flatnonzero(length >= 4)
    if len(tracks) < FEW:  # two or three photos: nothing to hold out, but what there is still has deviations
        tracks = np.flatnonzero(length >= 2)
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
    # Views of which hardly an observation is left would stand anywhere, or not at all.
    left = np.bincount(model.obs_view[order[~out]], minlength=len(model.graph)) >= 10
    order, out = order[left[model.obs_view[order]]], out[left[model.obs_view[order]]]
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
