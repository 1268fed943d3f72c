"""Components joined to one: matches between their photos say which points are the same, these give the similarity.

`X_a = s R X_b + t`, robustly from the pairs of points (`umeyama_robust`), then tracks anew over both and bundle
adjustment. Where they have too few points in common the photos of the smaller are resected from the larger. A join is
kept only if it explains the matches between the two and loses nothing of either: repeated structure gives
similarities too, but contradicts the rest.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from geo3d.geometry import Sim3, umeyama_robust
from geo3d.sfm.growing import grow, normalize
from geo3d.sfm.mapper import MapperOptions
from geo3d.sfm.retracking import explained_matches, model_consistency, retrack
from geo3d.sfm.tracks import TrackSet
from geo3d.sfm.working_model import WorkingModel

MIN_SHARE = 0.5
"""Least share of the pairs of points, and of the matches between two components, that a join explains."""

MIN_WITNESSES = 2
"""Fewest photos on each side of a join that share points with the other side: one may have been mistaken."""


def merge_models(models: list[WorkingModel], options: MapperOptions) -> list[WorkingModel]:
    """Join components whose photos share matches, as long as any two can be joined.

    Parameters
    ----------
    models : list of WorkingModel
        Of one match graph, no photo in two of them. Not changed.
    options : MapperOptions

    Returns
    -------
    list of WorkingModel
        The first of two that are joined gives the frame. Joined models are adjusted, but not to convergence.
    """
    models = list(models)
    refused: set[tuple[int, int]] = set()
    while True:
        joined = None
        for a, b in _candidates(models, options.min_points):
            if (id(models[a]), id(models[b])) in refused:
                continue
            joined = merge_two(models[a], models[b], options)
            if joined is not None:
                models = [joined if m is models[a] else m for m in models if m is not models[b]]
                break
            refused.add((id(models[a]), id(models[b])))
        if joined is None:
            return models


def _candidates(models: list[WorkingModel], least: int) -> list[tuple[int, int]]:
    """Pairs of models with at least `least` matches between their photos, most first."""
    if len(models) < 2:
        return []
    member = np.full(len(models[0].graph), -1)
    for number, model in enumerate(models):
        member[model.registered] = number
    count = np.zeros((len(models), len(models)), np.int64)
    for pair in models[0].graph.pairs:
        a, b = sorted((member[pair.first], member[pair.second]))
        if a >= 0 and a != b:
            count[a, b] += len(pair.matches)
    a, b = np.nonzero(count >= least)
    return [(int(a[i]), int(b[i])) for i in np.argsort(-count[a, b], kind="stable")]


def merge_two(a: WorkingModel, b: WorkingModel, options: MapperOptions) -> WorkingModel | None:
    """Two components as one, in the frame of the first; None where that is not borne out.

    Parameters
    ----------
    a, b : WorkingModel
        Of one match graph, no photo in both.
    options : MapperOptions
    """
    transform = _similarity(a, b, options)
    if transform is not None:
        joined = _joined(a, b, transform, options)
        if _borne_out(joined, a, b, options):
            return joined
    # Few points may be in both, but the photos of the one may still see enough points of the other.
    joined = WorkingModel(a.graph, TrackSet(a.offsets, a.obs_view, a.obs_keypoint))
    joined.restore(a.state())
    grow(joined, b.registered, options)
    return joined if _borne_out(joined, a, b, options) else None


def _similarity(a: WorkingModel, b: WorkingModel, options: MapperOptions) -> Sim3 | None:
    """The similarity `a_from_b` on which most of the common points agree."""
    tracks_a, tracks_b = _common_points(a, b)
    if len(tracks_a) < options.min_points:
        return None
    source, target = b.points[tracks_b], a.points[tracks_a]
    depth = np.median(np.linalg.norm(target - np.median(a.centres()[a.registered], axis=0), axis=1))
    focal = np.median([camera.mean_focal for camera in a.cameras])
    max_error = 2 * options.resection_error_px / focal * float(depth)
    try:
        fit = umeyama_robust(source, target, max_error, options.seed)
    except ValueError:  # no three of the pairs agree, or all lie on a line
        return None
    enough = fit.inliers.sum() >= max(options.min_points, MIN_SHARE * len(tracks_a))
    return fit.transform if enough else None


def _borne_out(joined: WorkingModel, a: WorkingModel, b: WorkingModel, options: MapperOptions) -> bool:
    """Whether a join loses nothing and explains the matches between its parts, from several photos of each."""
    if ((a.registered | b.registered) & ~joined.registered).any():
        return False
    before, after = [model_consistency(m, options.max_error_px) for m in (a, b)], model_consistency(joined)
    between = after.matches - before[0].matches - before[1].matches
    if after.explained < before[0].explained + before[1].explained + MIN_SHARE * between:
        return False
    ends = np.array([(pair.first, pair.second) for pair in joined.graph.pairs])[explained_matches(joined) > 0]
    across = ends[a.registered[ends].any(axis=1) & b.registered[ends].any(axis=1)]
    witnesses = np.unique(across)
    return bool(min(np.count_nonzero(m.registered[witnesses]) for m in (a, b)) >= MIN_WITNESSES)


def _common_points(a: WorkingModel, b: WorkingModel) -> tuple[np.ndarray, np.ndarray]:
    """Tracks of a and of b that matches between their photos call the same point, each pair once."""
    offsets = a.graph.keypoint_offsets()
    track = []
    for model in (a, b):
        of = np.full(offsets[-1], -1)
        rows = np.flatnonzero(model.used)
        of[offsets[model.obs_view[rows]] + model.obs_keypoint[rows]] = model.obs_track[rows]
        track.append(of)
    found = [np.zeros((0, 2), np.int64)]
    for pair in a.graph.pairs:
        one, two = offsets[pair.first] + pair.matches[:, 0], offsets[pair.second] + pair.matches[:, 1]
        if a.registered[pair.second] and b.registered[pair.first]:
            one, two = two, one
        elif not (a.registered[pair.first] and b.registered[pair.second]):
            continue
        both = np.column_stack([track[0][one], track[1][two]])
        found.append(both[(both >= 0).all(axis=1)])
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _joined(a: WorkingModel, b: WorkingModel, a_from_b: Sim3, options: MapperOptions) -> WorkingModel:
    """Both models in the frame of a, with tracks of all matches that this explains, adjusted."""
    union = WorkingModel(
        a.graph, TrackSet(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    )
    union.cameras, union.free_params = list(a.cameras), list(a.free_params)
    for row in np.unique(b.view_camera[b.registered]):
        if not (a.view_camera[a.registered] == row).any():
            union.cameras[row], union.free_params[row] = b.cameras[row], b.free_params[row]
    union.rotations[a.registered], union.translations[a.registered] = (
        a.rotations[a.registered],
        a.translations[a.registered],
    )
    rows = np.flatnonzero(b.registered)
    union.rotations[rows] = b.rotations[rows] @ a_from_b.rotation.T
    centres = a_from_b.act(b.centres()[rows])
    union.translations[rows] = -np.einsum("vij,vj->vi", union.rotations[rows], centres)
    union.registered = a.registered | b.registered
    union.held = a.held | b.held
    for error_px in (2 * options.resection_error_px, options.max_error_px):
        union = retrack(union, error_px)
        union.triangulate(error_px, options.min_angle)
        bundle = replace(union.robust(options.bundle), function_tolerance=1e-5)
        union.adjust(bundle)
        union.filter(options.max_error_px, options.min_angle)
    for view in np.flatnonzero(union.registered & (union.used_counts() < options.min_points)):
        union.forget_view(int(view))
    if not union.held.any():
        normalize(union)
    return union
