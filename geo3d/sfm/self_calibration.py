"""Self-calibration: which parameters of the lenses these photos determine, beyond focal length and first radial term.

A wrong principal point turns every pose; a term freed without need fits the errors of the keypoints and does the same.
So a term is freed only when three things hold, each seen on a sample of the model's points:

    it predicts    held-out observations are predicted better, by `min_gain` of their robust cost, and in most views:
                   the mean gain of a view is `min_t` times its standard error
    it is known    its standard deviation moves no corner of the photo by more than `max_corner_error` of the longer
                   side
    in order       principal point and second radial term first, tangential terms and aspect after both; all at once
                   only where that predicts better by `leap_gain`: of a lens with strong decentring no single term
                   is a step in the right direction

A focal length that EXIF gives and the photos do not determine three times better than that (`lens_prior`) stays at
EXIF's: a flight that looks straight down cannot tell it from the height, and since its lens is not quite that of the
model, it is off by several times the deviation.

Held-out observations are of tracks with at least three others, so that their points stand without them. The best term
is freed first, then the others are tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from geo3d.cameras import MODELS, Camera
from geo3d.sfm.bundle_adjustment import BundleOptions
from geo3d.sfm.lens_fit import LensFit, LensSample, lens_sample
from geo3d.sfm.lens_prior import lens_prior
from geo3d.sfm.working_model import WorkingModel

_FOCAL_SHARE = 0.3
"""Of the deviation of EXIF's focal length: how well the photos must tell it to be believed. One flight of 18 photos
that looks straight down told, at four sizes, focal lengths that differ by 14 %, with deviations of 1.6 to 3.8 %."""


@dataclass(frozen=True)
class Term:
    """Parameters that are freed together."""

    name: str
    params: tuple[str, ...]
    model: str | None = None  # the one that has them, if not the camera's
    bases: tuple[str, ...] = ()  # and those that it grows from
    centred: bool = False  # only once the principal point is free


LADDER = (
    Term("principal point", ("cx", "cy")),
    Term("second radial term", ("k2",), "RADIAL", ("SIMPLE_RADIAL",)),
    Term("tangential terms and aspect", ("fx", "fy", "p1", "p2"), "OPENCV", ("RADIAL",), centred=True),
)
LEAP = Term("all terms", ("fx", "fy", "cx", "cy", "k2", "p1", "p2"), "OPENCV", ("SIMPLE_RADIAL", "RADIAL"))


@dataclass(frozen=True)
class SelfCalibrationOptions:
    """When a term is freed.

    Attributes
    ----------
    min_gain : float
        Least fraction by which the robust cost of the held-out observations falls.
    min_t : float
        Least ratio of the mean gain over the views to its standard error.
    leap_gain : float
        The same for all terms at once.
    max_corner_error : float
        Largest standard deviation that a freed parameter may cause at a corner, as a fraction of the longer side.
    min_observations : int
        Fewest held-out observations of a camera; with fewer nothing is freed.
    min_views : int
        Fewest views of a camera.
    sample : LensSample
        What is looked at.
    """

    min_gain: float = 0.004
    min_t: float = 0.5
    leap_gain: float = 0.05
    max_corner_error: float = 5e-3
    min_observations: int = 200
    min_views: int = 4
    sample: LensSample = field(default_factory=LensSample)


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
        What is free so far; the loss is set by the model's errors, and judges the held-out observations.
    fixed_cameras : (C,) bool
        Cameras whose parameters are known.
    options : SelfCalibrationOptions, optional

    Returns
    -------
    list of Trial
        Of all terms that were tried, in order.
    """
    options, bundle = options or SelfCalibrationOptions(), model.robust(bundle)
    if not bundle.refine_focal:
        return []
    train, held = lens_sample(model, options.sample)
    seen = np.bincount(model.view_camera[model.obs_view[held]], minlength=len(model.cameras))
    views = np.bincount(model.view_camera[model.registered], minlength=len(model.cameras))
    open_ = ~fixed_cameras & (seen >= options.min_observations) & (views >= options.min_views)
    if not open_.any():
        return []
    fit = partial(LensFit, model, bundle, train, held, fixed_cameras)
    freed: list[Trial] = []
    refused: dict[tuple[int, str], Trial] = {}
    current = fit()
    held_focals = [c for c in np.flatnonzero(open_).tolist() if _weak_focal(model, current, c)]
    if held_focals:
        cameras, masks = list(current.cameras), list(current.masks)
        for c in held_focals:
            start = model.graph.cameras[model.camera_ids[c]]
            cameras[c], masks[c] = _with_held_focal(start, cameras[c], masks[c])
        current = fit(cameras, masks)
    while True:
        cameras, masks = list(current.cameras), list(current.masks)
        best = _try(LADDER, fit, current, open_, options, refused) or _try(
            (LEAP,), fit, current, open_, options, refused
        )
        if not best:
            break
        for c, (trial, camera, mask) in best.items():
            freed.append(trial)
            refused.pop((c, trial.term), None)
            cameras[c], masks[c] = camera, mask
        current = fit(cameras, masks)
    for c in {*held_focals, *(trial.camera for trial in freed)}:
        model.cameras[c], model.free_params[c] = current.cameras[c], current.masks[c]
    return freed + list(refused.values())


def _try(
    terms: tuple[Term, ...],
    fit: Callable[..., LensFit],
    current: LensFit,
    cameras: np.ndarray,
    options: SelfCalibrationOptions,
    refused: dict[tuple[int, str], Trial],
) -> dict[int, tuple[Trial, Camera, np.ndarray]]:
    """The term of each camera that gains most, with the camera and the mask that have it; notes the others."""
    best: dict[int, tuple[Trial, Camera, np.ndarray]] = {}
    for term in terms:
        rows = [c for c in np.flatnonzero(cameras).tolist() if _applies(term, current, c)]
        if not rows:
            continue
        lenses, masks = list(current.cameras), list(current.masks)
        for c in rows:
            lenses[c], masks[c] = _freed(term, lenses[c], masks[c])
        found = fit(lenses, masks)
        for c in rows:
            trial = _judge(term, c, current, found, options)
            if not trial.freed:
                refused[c, term.name] = trial
            elif c not in best or trial.gain > best[c][0].gain:
                best[c] = trial, found.cameras[c], masks[c]
    return best


def _weak_focal(model: WorkingModel, fit: LensFit, camera: int) -> bool:
    """Whether the photos do not say much more about a focal length than was known before."""
    lens, start = fit.cameras[camera], model.graph.cameras[model.camera_ids[camera]]
    focal = [i for i in MODELS[lens.model].focal_params if fit.masks[camera][i]]
    if not focal or not start.prior_focal:
        return False
    return bool((fit.deviations(camera)[focal] > _FOCAL_SHARE * lens_prior(start, lens)[1][focal]).any())


def _with_held_focal(start: Camera, camera: Camera, mask: np.ndarray) -> tuple[Camera, np.ndarray]:
    params, free = np.array(camera.params), mask.copy()
    focal = list(MODELS[camera.model].focal_params)
    params[focal], free[focal] = lens_prior(start, camera)[0][focal], False
    return camera.with_params(params), free


def _applies(term: Term, fit: LensFit, camera: int) -> bool:
    lens, mask = fit.cameras[camera], fit.masks[camera]
    principal = list(MODELS[lens.model].principal_params)
    if term.model is None:
        return bool(principal) and not mask[principal].any()
    return lens.model in term.bases and (not term.centred or bool(mask[principal].all()))


def _freed(term: Term, camera: Camera, mask: np.ndarray) -> tuple[Camera, np.ndarray]:
    """The camera in the model that has the term, and its mask with the term free."""
    model = term.model or camera.model
    old = {name: i for i, name in enumerate(camera.param_names)}
    aliases = {"fx": "f", "fy": "f", "k1": "k"}
    params, free = [], []
    for name in MODELS[model].param_names:
        i = old.get(name, old.get(aliases.get(name, ""), -1))
        params.append(camera.params[i] if i >= 0 else 0.0)
        free.append(name in term.params or (i >= 0 and bool(mask[i])))
    return replace(camera, model=model, params=np.array(params)), np.array(free)


def _judge(
    term: Term, camera: int, before: LensFit, after: LensFit, options: SelfCalibrationOptions
) -> Trial:
    mine = after.camera == camera
    gained, views = (before.cost - after.cost)[mine], after.view[mine]
    gain = float(gained.sum() / before.cost[mine].sum())
    view, index = np.unique(views, return_inverse=True)
    each = np.bincount(index, gained) / np.bincount(index)
    error = each.std(ddof=1) / np.sqrt(len(view)) if len(view) > 1 else np.inf
    t = float(each.mean() / error) if error > 0 else np.inf
    corner = np.inf
    least = options.leap_gain if term is LEAP else options.min_gain
    if gain >= least and t >= options.min_t:
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
