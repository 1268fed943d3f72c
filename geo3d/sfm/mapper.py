"""What all mappers share: when they believe what, what they hand back, and why photos are in no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from geo3d.sfm.bundle_adjustment import BundleOptions
from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.working_model import WorkingModel

Report = Callable[[int, str], None]

NOTHING_FROM_THESE = "nothing could be made of it and the photos that it matches: they show no depth"
"""Why a photo is in no model that matches others, of which none is in one either."""


@dataclass(frozen=True)
class MapperOptions:
    """When the mapper believes what.

    Attributes
    ----------
    max_error_px : float
        Largest reprojection error of an observation.
    min_angle_deg : float
        Smallest angle between the widest two rays of a point.
    min_points : int
        Fewest points that a view must share with the model to be resected, and be left with afterwards.
    resection_error_px : float
        Inlier threshold of the resection; wider than `max_error_px`, since the model has not been adjusted to it.
    local_views : int
        Views adjusted together with a new one.
    growth : float
        Everything is adjusted when views or points have grown by this factor.
    min_component : int
        Fewest views of a model that is kept.
    bundle : BundleOptions
        What is refined, and the number of threads.
    seed : int
    """

    max_error_px: float = 4.0
    min_angle_deg: float = 1.5
    min_points: int = 20
    resection_error_px: float = 10.0
    local_views: int = 6
    growth: float = 1.25
    min_component: int = 2
    bundle: BundleOptions = field(default_factory=BundleOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("max_error_px", 1e-9),
            ("resection_error_px", 1e-9),
            ("min_angle_deg", 0),
            ("min_points", 6),
            ("local_views", 2),
            ("growth", 1),
            ("min_component", 2),
            ("seed", 0),
        ):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least:g}, got {getattr(self, name)}")

    @property
    def min_angle(self) -> float:
        """`min_angle_deg` in radians."""
        return float(np.radians(self.min_angle_deg))


@dataclass
class MappingResult:
    """What was reconstructed.

    Attributes
    ----------
    models : list of WorkingModel
        Every component, the one with most views first.
    reasons : dict
        Row of the view to the reason, for the views that are in no component.
    notes : list of str
        What the user should know of how the models came about.
    """

    models: list[WorkingModel]
    reasons: dict[int, str]
    notes: list[str] = field(default_factory=list)


def counting_from(done: int, progress: Report) -> Report:
    """`progress` for a part of the work, when so many photos were placed before."""
    return lambda placed, text: progress(done + placed, text)


def largest_first(models: list[WorkingModel]) -> list[WorkingModel]:
    """Models by their number of views, then of points."""
    return sorted(models, key=lambda m: (-int(m.registered.sum()), -int(m.placed.sum())))


def unregistered_reasons(
    graph: MatchGraph, views: np.ndarray, known: Mapping[int, str] | None = None
) -> dict[int, str]:
    """Why each of the views (V,) bool is in no model, as far as the match graph can tell.

    A view that matches one of a model shares too little with it; of the others, `known` may say more.
    """
    near_model, matched = np.zeros(len(graph), bool), np.zeros(len(graph), bool)
    for pair in graph.pairs:
        ends = [pair.first, pair.second]
        matched[ends] = True
        near_model[ends] |= ~views[ends[::-1]]
    reasons = {}
    for view in map(int, np.flatnonzero(views)):
        if near_model[view]:
            reasons[view] = "it shares too few points with what was reconstructed"
        elif matched[view]:
            reasons[view] = (known or {}).get(view, NOTHING_FROM_THESE)
        else:
            reasons[view] = "no photo shares enough verified matches with it"
    return reasons
