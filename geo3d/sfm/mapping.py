"""The mapper that `geo3d reconstruct` runs: global first, incremental where that fails, components joined.

Measured on real photos (8 to 50, calibrated or not) the global mapper takes about half the time of the incremental
one and is as accurate or better, so it goes first whatever the number of photos. What hangs together by matches is
made again view by view where the poses contradict too many matches or photos with many are left out, and the one
that explains more is kept. Nothing is discarded without a word: what was decided stands in `MappingResult.notes`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from geo3d.sfm.global_mapper import map_globally
from geo3d.sfm.growing import finish
from geo3d.sfm.incremental import map_incrementally
from geo3d.sfm.look_alikes import (
    LookAlike,
    broken_in_order,
    find_look_alikes,
    find_torn_pairs,
    graph_in_order,
)
from geo3d.sfm.mapper import MapperOptions, MappingResult, Report, largest_first, unregistered_reasons
from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.merging import merge_models
from geo3d.sfm.retracking import model_consistency
from geo3d.sfm.working_model import WorkingModel
from geo3d.util.snapshots import Snapshots

MIN_FITTING = 0.75
"""Share of the matches between its photos that a model must not contradict; good ones of real photos fit 0.9 to 1."""

MAX_LEFT_OUT = 0.1
"""Share of the photos that may be left out although they share many matches with those of a model."""

MANY_MATCHES = 200
"""Matches with the photos of a model from which on one expects a photo to be in it."""

BETTER = 1.02
"""How many times the matches the incremental mapper has to explain to be preferred."""


def map_views(
    graph: MatchGraph,
    options: MapperOptions,
    progress: Report = lambda done, text: None,
    snapshots: Snapshots | None = None,
) -> MappingResult:
    """Reconstruct every component of a match graph by the mapper that suits it.

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
        Its notes say which components were made again or joined.
    """
    snapshots = snapshots or Snapshots()
    first = map_globally(graph, options, progress, snapshots.within("global"))
    models, said = first.models, dict(first.reasons)
    notes: list[str] = []
    for number, (views, why) in enumerate(doubtful_components(graph, models)):
        progress(0, f"{why}: again, view by view")
        again = map_incrementally(graph, options, progress, views, snapshots.within(f"again-{number}"))
        rivals = again.models
        mine = [model for model in models if views[model.registered].any()]
        score, rival = _explained(mine), _explained(rivals)
        better = rival > BETTER * score
        if better:
            models = [*(model for model in models if not views[model.registered].any()), *rivals]
            said.update(again.reasons)
        notes.append(
            f"{why}; made again view by view, which explains {rival} matches against {score}: "
            f"{'the new model was taken' if better else 'the first model was kept'}"
        )
    joined = merge_models(models, options)
    for model in joined:
        if not any(model is old for old in models):
            finish(model, options, progress=progress)
            notes.append(
                f"parts were joined to one of {int(model.registered.sum())} photos by points they share"
            )
    whole = [model for model in joined if _is_model(model, options.min_points)]
    for number, model in enumerate(whole):
        part = snapshots.within(f"unfolded-{number}")
        whole[number], told = _unfolded(graph, model, options, progress, part)
        notes += told
    if torn := find_torn_pairs(whole, graph):
        notes.append(
            f"{_pairs_in_words(graph, torn)}, but are in models that could not be made one: places may look alike, "
            "and photos be in the wrong model. Look at each from above"
        )
    return MappingResult(largest_first(whole), _reasons(graph, whole, said), notes)


def mapping_key(graph: MatchGraph, options: MapperOptions) -> str:
    """Key of the `Snapshots` of `map_views`: all of `graph` and `options` that its result depends on.

    The number of threads is no part of it.
    """
    return f"{replace(options, bundle=replace(options.bundle, threads=None))} {graph.digest()}"


def _is_model(model: WorkingModel, least: int) -> bool:
    """Whether anything is left: of photos from one spot, all points have gone as too uncertain but for a few wrong
    matches, which fit any pose. `least` is the fewest points that a photo may stand on."""
    return bool(model.registered.sum() >= 2 and model.placed.sum() >= least and model.used.any())


def doubtful_components(graph: MatchGraph, models: list[WorkingModel]) -> list[tuple[np.ndarray, str]]:
    """Views that hang together by matches and whose models deserve a second look, each with the reason.

    Parameters
    ----------
    graph : MatchGraph
    models : list of WorkingModel

    Returns
    -------
    list of ((V,) bool, str)
    """
    found = []
    fits = [model_consistency(model) for model in models]
    inside = np.zeros(len(graph), bool)
    for model in models:
        inside |= model.registered
    to_models = np.zeros(len(graph), np.int64)
    for pair in graph.pairs:
        to_models[pair.first] += len(pair.matches) * inside[pair.second]
        to_models[pair.second] += len(pair.matches) * inside[pair.first]
    for views in _components(graph):
        mine = [fit for fit, model in zip(fits, models) if views[model.registered].any()]
        if not mine:
            continue
        share = sum(fit.fitting for fit in mine) / max(sum(fit.matches for fit in mine), 1)
        left_out = views & ~inside & (to_models >= MANY_MATCHES)
        if share < MIN_FITTING:
            count = sum(fit.views for fit in mine)
            found.append((views, f"{share:.0%} of the matches between {count} photos fit their poses"))
        elif left_out.sum() > MAX_LEFT_OUT * views.sum():
            found.append((views, f"{int(left_out.sum())} of {int(views.sum())} photos were left out"))
        elif max(fit.views for fit in mine) < 0.5 * views.sum():
            found.append((views, f"{int(views.sum())} photos fell into {len(mine)} models"))
    return found


def _unfolded(
    graph: MatchGraph, model: WorkingModel, options: MapperOptions, progress: Report, snapshots: Snapshots
) -> tuple[WorkingModel, list[str]]:
    """The model, or one made again along the order of the photos where it is folded, and what is to be said."""
    signs = find_look_alikes(model, graph, options.max_error_px)
    if not signs:
        return model, []
    broken = broken_in_order(graph, model.registered, signs)
    if not broken:
        return model, [
            f"{_contradicted(graph, signs)}. Places look alike: the model is right if these photos show different "
            "ones, but if they show the same, parts of it lie upon each other. Look at it from above"
        ]
    progress(0, "places look alike: again, along the order of the photos")
    threads = options.bundle.threads
    ordered = graph_in_order(graph, model.registered, options.seed, threads)
    again = map_globally(ordered, options, progress, snapshots).models
    if again and again[0].registered[model.registered].all():
        signs = find_look_alikes(again[0], graph, options.max_error_px)
        if not broken_in_order(graph, model.registered, signs):
            again[0].graph = graph
            return again[0], [
                f"{_contradicted(graph, broken)}, although they follow each other: places look alike, and parts of "
                "it lay upon each other. It was made again along the order of the photos, which contradicts no photos "
                "that follow each other; see whether it is right now"
            ]
    return model, [
        f"{_contradicted(graph, broken)}, although they follow each other: places look alike, and parts of it may "
        "lie upon each other. Look at it from above. More photos on the way from one side to the next, and comparing "
        "only photos that follow each other (--matching sequential), would tell the places apart"
    ]


def _contradicted(graph: MatchGraph, signs: list[LookAlike]) -> str:
    return _pairs_in_words(graph, signs, ", which the model contradicts")


def _pairs_in_words(graph: MatchGraph, pairs: list[LookAlike], which: str = "") -> str:
    first = pairs[0]
    more = f", and {len(pairs) - 1} more such pair{'s' * (len(pairs) > 2)}" if len(pairs) > 1 else ""
    return f"{graph.names[first.first]} and {graph.names[first.second]} share {first.matches} matches{which}{more}"


def _components(graph: MatchGraph) -> list[np.ndarray]:
    """(V,) masks of three views or more that matches connect."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.array([(p.first, p.second) for p in graph.pairs], np.int64).reshape(-1, 2).T
    matrix = coo_matrix((np.ones(ends.shape[1]), tuple(ends)), (len(graph), len(graph)))
    label = connected_components(matrix, directed=False)[1]
    return [label == number for number in np.flatnonzero(np.bincount(label) >= 3)]


def _explained(models: list[WorkingModel]) -> int:
    return sum(model_consistency(model).explained for model in models)


def _reasons(graph: MatchGraph, models: list[WorkingModel], said: dict[int, str]) -> dict[int, str]:
    left = np.ones(len(graph), bool)
    for model in models:
        left &= ~model.registered
    return unregistered_reasons(graph, left, said)
