"""Global structure from motion: all rotations first, then all positions, then bundle adjustment.

    view graph     relative poses of the verified pairs, wrong ones thrown out by the loops that they break
    rotations      averaged over the graph
    positions      of all views and of points together, from the rays
    points         triangulated; views adjusted without turning, then everything
    tracks anew    from all matches that the poses explain; everything adjusted to convergence
    rescue         views that were left out are resected one by one, or make models of their own

After Pan et al., ECCV 2024 (GLOMAP), which COLMAP's global mapper follows too. Views whose places do not hold each
other (nothing says how far one group is from the other) become models of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from geo3d.sfm.global_positioning import PositioningOptions, position_views
from geo3d.sfm.growing import finish, grow, normalize
from geo3d.sfm.incremental import map_incrementally
from geo3d.sfm.mapper import MapperOptions, MappingResult, Report, counting_from, largest_first
from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.merging import merge_models
from geo3d.sfm.retracking import retrack
from geo3d.sfm.rotation_averaging import average_relative_rotations
from geo3d.sfm.track_kernels import choose_tracks, rigid_groups
from geo3d.sfm.tracks import build_tracks
from geo3d.sfm.view_graph import (
    ViewGraph,
    ViewGraphOptions,
    build_view_graph,
    consistent_edges,
    matches_of_edges,
)
from geo3d.sfm.working_model import WorkingModel
from geo3d.util.snapshots import Snapshots

TRACKS_PER_VIEW = 300
"""Observations of a view that suffice to place it."""

FIRST_LOSS = 1.0
"""Scale of the loss in median errors in these: tight, or wrong matches turn views away from where they start."""

FIRST_ERRORS_RAD = (0.02, 0.01)
"""Largest errors of observations in the first two adjustments: averaged rotations may be off by half a degree."""


def map_globally(
    graph: MatchGraph,
    options: MapperOptions,
    progress: Report = lambda done, text: None,
    snapshots: Snapshots | None = None,
) -> MappingResult:
    """Reconstruct every component of a match graph, all views of one at once.

    Parameters
    ----------
    graph : MatchGraph
    options : MapperOptions
    progress : callable
        Called with the number of views registered so far and a few words.
    snapshots : Snapshots, optional
        Where a killed run goes on from.

    Returns
    -------
    MappingResult
    """
    snapshots = snapshots or Snapshots()
    oriented = _Oriented(**snapshots.step("rotations", lambda: _orient(graph, options, progress)))
    models: list[WorkingModel] = []
    for number in range(oriented.components):
        members = oriented.component == number
        if members.sum() < max(3, options.min_component):
            break  # the largest come first
        part = snapshots.within(f"component-{number}")
        done = sum(int(model.registered.sum()) for model in models)
        report = counting_from(done, progress)
        models += _rigid_models(_place(graph, oriented, members, options, report, part), options)
    models = merge_models(models, options)
    free = np.ones(len(graph), bool)
    for model in models:
        free &= ~model.registered
    done = 0
    for number, model in enumerate(models):
        part = snapshots.within(f"model-{number}")
        report = counting_from(done, progress)
        grow(model, free, options, report, snapshots=part)
        finish(model, options, free, progress=report, snapshots=part)
        free &= ~model.registered
        done += int(model.registered.sum())
    rest = map_incrementally(
        graph, options, lambda n, text: progress(done + n, text), free, snapshots.within("rest")
    )
    return MappingResult(largest_first([*models, *rest.models]), rest.reasons)


@dataclass(frozen=True)
class _Oriented:
    """Rotations of all views, and the edges that agree with them; arrays as in `ViewGraph`."""

    world: np.ndarray  # (V, 3, 3), cam_from_world
    component: np.ndarray  # (V,), largest first
    first: np.ndarray
    second: np.ndarray
    rotations: np.ndarray
    directions: np.ndarray
    inliers: np.ndarray
    pair: np.ndarray

    def edges(self, members: np.ndarray) -> ViewGraph:
        """Those between views (V,) bool."""
        arrays = (self.first, self.second, self.rotations, self.directions, self.inliers, self.pair)
        return ViewGraph(len(self.world), *arrays).subset(members[self.first])

    @property
    def components(self) -> int:
        return int(self.component.max(initial=-1)) + 1


def _orient(graph: MatchGraph, options: MapperOptions, progress: Report) -> dict[str, np.ndarray]:
    progress(0, f"relative poses of {len(graph.pairs)} pairs")
    edges = build_view_graph(graph, ViewGraphOptions(seed=options.seed), options.bundle.threads)
    edges = edges.subset(consistent_edges(edges))
    progress(0, f"rotations from {len(edges)} pairs")
    averaged = average_relative_rotations(
        edges.first, edges.second, edges.rotations, edges.inliers, edges.views
    )
    edges = edges.subset(averaged.edges)
    arrays = {f.name: getattr(edges, f.name) for f in fields(ViewGraph) if f.name != "views"}
    return {"world": averaged.rotations, "component": averaged.component, **arrays}


def _place(
    graph: MatchGraph,
    oriented: _Oriented,
    members: np.ndarray,
    options: MapperOptions,
    progress: Report,
    snapshots: Snapshots,
) -> WorkingModel:
    """A model of the views of one component, adjusted, with the points of the pairs that agree."""
    model = WorkingModel(graph, build_tracks(matches_of_edges(graph, oriented.edges(members))))
    model.rotations = oriented.world.copy()
    saved = snapshots.load("adjusted")
    if saved is not None:
        model.restore(saved)
        return model
    progress(0, f"positions of {int(members.sum())} photos")
    centres = snapshots.step("positions", lambda: {"centres": _positions(model, options)})["centres"]
    model.registered[:] = np.isfinite(centres).all(axis=1)
    if model.registered.sum() < 3:  # hardly a point that three views see
        model.registered[:] = False
        return model
    model.translations = -np.einsum("vij,vj->vi", model.rotations, np.nan_to_num(centres))
    if model.registered.sum() < 2:  # no track of three views: for the incremental mapper
        return model
    normalize(model)
    _adjust_first(model, options, progress)
    snapshots.save("adjusted", model.state)
    return model


def _positions(model: WorkingModel, options: MapperOptions) -> np.ndarray:
    """(V, 3) centres from the longest tracks; NaN for views that have none."""
    chosen = choose_tracks(model.offsets, model.obs_view, len(model.graph), TRACKS_PER_VIEW)
    chosen &= np.diff(model.offsets) >= 3  # two views of a point leave their distances to it free
    seen = np.isfinite(model.bearings()).all(axis=1)
    rows = np.flatnonzero(chosen[model.obs_track] & seen)
    length = np.unique(model.obs_track[rows], return_counts=True)[1]
    found = position_views(
        model.rotations,
        np.concatenate([[0], np.cumsum(length)]),
        model.obs_view[rows],
        model.bearings()[rows],
        PositioningOptions(threads=options.bundle.threads),
    )
    return found.centres


def _adjust_first(model: WorkingModel, options: MapperOptions, progress: Report) -> None:
    """Points, then positions, then everything, twice; what has errors of several pixels still takes part."""
    focal = float(np.median([model.cameras[c].mean_focal for c in model.view_camera]))
    every = np.ones(len(model.cameras), bool)
    for number, error_rad in enumerate(FIRST_ERRORS_RAD):
        model.placed[:] = False
        model.used[:] = False
        model.triangulate(max(error_rad * focal, options.max_error_px), options.min_angle)
        bundle = model.robust(options.bundle, FIRST_LOSS)
        bundle = replace(bundle, max_iterations=min(bundle.max_iterations, 20), function_tolerance=1e-4)
        views, points = int(model.registered.sum()), int(model.placed.sum())
        if number == 0:
            progress(views, f"{points} points, adjusting positions")
            model.adjust(bundle, fixed_cameras=every, fixed_rotations=True)
        progress(views, f"{points} points, adjusting everything, {number + 1} of {len(FIRST_ERRORS_RAD)}")
        model.adjust(bundle)
    model.filter(options.max_error_px, options.min_angle)


def _rigid_models(model: WorkingModel, options: MapperOptions) -> list[WorkingModel]:
    """A model for each group of views that hold each other, with points of all matches that it explains."""
    # A resection looks for a pose among wrong matches; here poses and points have been adjusted together.
    least = options.min_points // 2
    group = rigid_groups(model.offsets, model.obs_view, model.used, len(model.graph), least)
    size = np.bincount(group[group >= 0])
    made = []
    for number in np.argsort(-size, kind="stable"):
        if size[number] < max(3, options.min_component):
            break
        model.registered[:] = group == number
        part = retrack(model, options.max_error_px)
        normalize(part)
        part.triangulate(options.max_error_px, options.min_angle)
        made.append(part)
    return made
