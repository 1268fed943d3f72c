"""How well lenses are known after the last adjustment: by photos, GPS and control points together.

As with the lenses of mapping (`lens_fit`), from a sample: the deviations of the normal equations, but no less than
those of a jackknife over regions of the scene, in which GPS, marks and control points stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from geo3d.sfm.bundle_problem import BundleOptions, BundleProblem
from geo3d.sfm.lens_fit import FEW, LensSample, formal_deviations, jackknife_deviations


def lens_deviations(
    problem: BundleProblem, bundle: BundleOptions, sample: LensSample | None = None
) -> list[np.ndarray]:
    """Standard deviations of the parameters of every camera.

    Parameters
    ----------
    problem : BundleProblem
        Adjusted, with priors that hold the gauge, `free_params` and `obs_robust`.
    bundle : BundleOptions
        Of the adjustment.
    sample : LensSample, optional

    Returns
    -------
    list of (n_params,) array
        Zero for what is constant, infinite for what is not determined.
    """
    part = _part(problem, sample or LensSample())
    assert part.free_params is not None
    free = [np.zeros(len(c.params), bool) if m is None else m for m, c in zip(part.free_params, part.cameras)]
    if not any(mask.any() for mask in free):
        return [np.zeros(len(mask)) for mask in free]
    seen = np.isin(np.arange(len(part.cameras)), part.view_camera[part.obs_view])
    formal = formal_deviations(part, bundle)
    if all(np.isfinite(std).all() for std in formal):
        formal = [np.maximum(*pair) for pair in zip(formal, jackknife_deviations(part, bundle))]
    return [np.where(mask, std if used else np.inf, 0.0) for mask, std, used in zip(free, formal, seen)]


def _part(problem: BundleProblem, sample: LensSample) -> BundleProblem:
    """The views in the middle and some of the points that they see most often, with all control points."""
    assert problem.priors is not None and problem.obs_robust is not None
    centres = -np.einsum("vji,vj->vi", problem.rotations, problem.translations)
    near = np.argsort(np.linalg.norm(centres - np.median(centres, axis=0), axis=1), kind="stable")
    inside = np.isin(problem.obs_view, near[: sample.views])
    count = len(problem.points)
    length = np.bincount(problem.obs_point[inside & problem.obs_robust], minlength=count)
    tracks = np.flatnonzero(length >= 4)
    if len(tracks) < FEW:
        tracks = np.flatnonzero(length >= 2)
    most = max(sample.points, 40 * min(len(centres), sample.views))
    if len(tracks) > most:
        tracks = np.random.default_rng(sample.seed).choice(tracks, most, replace=False)
    kept = np.zeros(count, bool)
    kept[tracks] = True
    kept[problem.obs_point[inside & ~problem.obs_robust]] = True
    rows = inside & kept[problem.obs_point]
    priors = problem.priors
    assert priors.points is not None and priors.point_sigmas is not None and problem.obs_sigma_px is not None
    return replace(
        problem,
        points=problem.points[kept],
        obs_view=problem.obs_view[rows],
        obs_point=(np.cumsum(kept) - 1)[problem.obs_point[rows]],
        obs_xy=problem.obs_xy[rows],
        obs_sigma_px=problem.obs_sigma_px[rows],
        obs_robust=problem.obs_robust[rows],
        priors=replace(priors, points=priors.points[kept], point_sigmas=priors.point_sigmas[kept]),
    )
