"""Incremental structure from motion: start from two views, add one view at a time, adjust as the model grows.

Snavely et al. 2006; Schonberger and Frahm 2016. Positions belong to tracks that are joined before the mapping
starts; how a model grows from there is in `growing`.
"""

from __future__ import annotations

import numpy as np

from geo3d.geometry import SE3
from geo3d.sfm.growing import finish, grow
from geo3d.sfm.initial_pair import InitialPair, rank_initial_pairs
from geo3d.sfm.mapper import (
    MapperOptions,
    MappingResult,
    Report,
    counting_from,
    largest_first,
    unregistered_reasons,
)
from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.tracks import TrackSet, build_tracks
from geo3d.sfm.working_model import WorkingModel
from geo3d.util.snapshots import Snapshots


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
