"""Places that look alike: a building from opposite sides, equal rooms. What matches then is not always the same place.

Wrong pairs of this kind agree with each other, so that triangles of photos do not tell, and where there are many the
model that explains most matches is folded: both sides lie upon each other. It gives itself away by the pairs that it
breaks. Photos that stand side by side match as well as any others, but where the fold is cut the poses contradict them.

    sign      a pair with many matches, measured by the points that its photos rest on, which the poses contradict
    verdict   signs between photos that follow each other by name, where photos were taken in the order of their names:
              the model is folded, since these do show one place
    repair    rotations along that order; pairs that contradict these by more than drift does are left out, and the
              rest is mapped

Equal houses in a row are twins that are shifted, not turned: rotations do not contradict them, so that such a fold is
told but not undone. Where the true pairs outweigh them, the row may also fall into models that cannot be joined; pairs
that match well across these are told (`find_torn_pairs`), since a photo may have gone with its twin.

A fold that breaks no pair, because nothing matches from one side to the next, leaves no sign. What has no twin is
missing where sides lie upon each other (Zach, Irschara and Bischof, CVPR 2008), but with real features and photos that
stand apart other points are missing as often: measured, that share did not tell folded models from right ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from geo3d.features import natural_key
from geo3d.geometry import rotation_angle
from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.retracking import matches_in_epipolar_plane
from geo3d.sfm.rotation_averaging import average_relative_rotations
from geo3d.sfm.view_graph import ViewGraphOptions, build_view_graph
from geo3d.sfm.working_model import WorkingModel

MANY = 0.25
"""Matches of a contradicted pair over the points of that of its photos which has fewer, from which on it is a sign. On
real photos without twins it is 0.08 at most (chance, and what moved), where twins fold the model 0.5 to 1."""

CONTRADICTED = 0.2
"""Share of its matches that the poses may fit by chance although they contradict a pair."""

_FEWEST = 30  # matches of a sign
_FOLLOWS = 2  # photos before and after one, by name, that follow each other
_ORDERED = 0.4  # share of its pairs in which a photo has more matches than with the next; 0.5 is chance
_DRIFT = np.deg2rad(40.0)  # of rotations along the order; twins are turned by 90 or 180 degrees


@dataclass(frozen=True)
class LookAlike:
    """Two views that match well, but not where their models have them: their rows, and the matches."""

    first: int
    second: int
    matches: int


def find_look_alikes(model: WorkingModel, graph: MatchGraph, max_error_px: float) -> list[LookAlike]:
    """Pairs that say that a scene looks alike from different places, those with most matches first.

    Parameters
    ----------
    model : WorkingModel
    graph : MatchGraph
        All pairs of its photos, of which the model may have been made of some.
    max_error_px : float
        See `matches_in_epipolar_plane`.
    """
    judged = copy(model)
    judged.graph = graph
    fitting = {
        (p.first, p.second): len(p.matches) for p in matches_in_epipolar_plane(judged, max_error_px).pairs
    }
    points = model.used_counts()
    signs = []
    for pair in graph.pairs:
        i, j, count = pair.first, pair.second, len(pair.matches)
        if not (model.registered[i] and model.registered[j]) or count < max(
            _FEWEST, MANY * min(points[i], points[j])
        ):
            continue
        if fitting.get((i, j), 0) < CONTRADICTED * count:
            signs.append(LookAlike(i, j, count))
    return sorted(signs, key=lambda sign: (-sign.matches, sign.first, sign.second))


def find_torn_pairs(models: Sequence[WorkingModel], graph: MatchGraph) -> list[LookAlike]:
    """Pairs with as many matches as a sign has, whose photos are in different models, those with most matches first.

    Nothing but what looks alike, or no depth, keeps such models apart; a photo may then be in the wrong one.

    Parameters
    ----------
    models : sequence of WorkingModel
        No photo in two of them.
    graph : MatchGraph
        All pairs of their photos.
    """
    member, points = np.full(len(graph), -1), np.zeros(len(graph), np.int64)
    for number, model in enumerate(models):
        member[model.registered] = number
        points += model.used_counts()
    torn = [
        LookAlike(pair.first, pair.second, len(pair.matches))
        for pair in graph.pairs
        if min(member[pair.first], member[pair.second]) >= 0
        and member[pair.first] != member[pair.second]
        and len(pair.matches) >= max(_FEWEST, MANY * min(points[pair.first], points[pair.second]))
    ]
    return sorted(torn, key=lambda pair: (-pair.matches, pair.first, pair.second))


def broken_in_order(graph: MatchGraph, views: np.ndarray, signs: Sequence[LookAlike]) -> list[LookAlike]:
    """Signs between photos that follow each other by name; none where photos were not taken in that order.

    Parameters
    ----------
    graph : MatchGraph
    views : (V,) bool
        Of the model.
    signs : sequence of LookAlike
    """
    if not signs or not _in_order(graph, views):
        return []
    place = _places(graph, views)
    return [sign for sign in signs if abs(place[sign.first] - place[sign.second]) <= _FOLLOWS]


def graph_in_order(
    graph: MatchGraph, views: np.ndarray, seed: int = 0, threads: int | None = None
) -> MatchGraph:
    """The match graph of some views without the pairs that rotations along the order of the names contradict.

    Parameters
    ----------
    graph : MatchGraph
    views : (V,) bool
    seed : int
        Of the relative poses.
    threads : int, optional
    """
    inside = replace(graph, pairs=[p for p in graph.pairs if views[p.first] and views[p.second]])
    edges = build_view_graph(inside, ViewGraphOptions(seed=seed), threads)
    place = _places(graph, views)
    near = edges.subset(np.abs(place[edges.first] - place[edges.second]) <= _FOLLOWS)
    order = average_relative_rotations(near.first, near.second, near.rotations, near.inliers, len(graph))
    along = order.rotations[edges.second] @ np.swapaxes(order.rotations[edges.first], 1, 2)
    off = rotation_angle(edges.rotations @ np.swapaxes(along, 1, 2))
    # Of pieces between which the order is broken nothing is known.
    good = (off <= _DRIFT) | (order.component[edges.first] != order.component[edges.second])
    return replace(inside, pairs=[inside.pairs[row] for row in edges.pair[good]])


def _places(graph: MatchGraph, views: np.ndarray) -> np.ndarray:
    """(V,) place of each of some views in the order of their names; -1 for others."""
    place = np.full(len(graph), -1)
    place[sorted(np.flatnonzero(views), key=lambda v: natural_key(graph.names[v]))] = np.arange(views.sum())
    return place


def _in_order(graph: MatchGraph, views: np.ndarray) -> bool:
    """Whether photos were taken in the order of their names: most match the next one better than most others."""
    counts = graph.inlier_counts()[np.ix_(views, views)]
    counts = counts[np.ix_(*2 * [np.argsort(_places(graph, views)[views])])]
    following = np.diagonal(counts, 1)
    better = [
        (counts[row] > count).sum() / max((counts[row] > 0).sum(), 1) if count else 1.0
        for k, count in enumerate(following)
        for row in (k, k + 1)
    ]
    return bool(np.median(better) <= _ORDERED)
