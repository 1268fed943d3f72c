"""Focal length of a camera that nobody knows, from the fundamental matrices of its pairs.

With the right calibration E = K2^T F K1 has two equal singular values. The relative difference of the two, robustly
summed over pairs, is a function of one number, the focal length; its minimum is found by a sweep and a refinement.
Sweeney et al. 2015 (view-graph calibration) minimise the same over all cameras together. This holds for lenses that
are nearly pinholes; for the others see `focal_sweep`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import MODELS, Camera
from geo3d.estimation import EstimationError, solve_eight_point
from geo3d.sfm.focal_sweep import sweep_focal
from geo3d.sfm.match_graph import MatchGraph, PairMatches

RANGE = (0.35, 4.0)
"""Focal lengths looked at, in units of the photo's longer side (110 to 14 degrees of view)."""

MIN_CONTRAST = 1.3
"""Least contrast at which the pairs say something. Flat ground seen from straight above gave 1.27 and a focal length
four times too long; of other real photos the least was 1.6."""

_REFIT_MATCHES = 400  # of a pair, from all over it, to which its matrix is fitted anew

_PERSPECTIVE = (
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "FULL_OPENCV",
    "SIMPLE_DIVISION",
)
_PERSPECTIVE += ("DIVISION", "BROWN_CONRADY_5", "BROWN_CONRADY_12")


@dataclass(frozen=True)
class FocalEstimate:
    """Outcome for one camera.

    Attributes
    ----------
    focal_px : float
    pairs : int
        Pairs that took part.
    contrast : float
        Mean cost over the sweep divided by the cost at the minimum; near 1 the pairs say nothing.
    inside : bool
        The minimum is not at an end of the range.
    """

    focal_px: float
    pairs: int
    contrast: float
    inside: bool = True

    @property
    def clear(self) -> bool:
        """Whether the pairs determine the focal length."""
        return self.inside and self.contrast >= MIN_CONTRAST


def is_perspective(camera: Camera) -> bool:
    """Whether a lens is a pinhole with some distortion, so that two of its photos have a fundamental matrix."""
    return camera.model in _PERSPECTIVE


def estimate_focal(
    graph: MatchGraph,
    camera_id: int,
    max_pairs: int = 200,
    *,
    known: frozenset[int] = frozenset(),
    refit: bool = False,
) -> FocalEstimate | None:
    """Focal length that fits the fundamental matrices between photos of one camera.

    Parameters
    ----------
    graph : MatchGraph
    camera_id : int
        Camera whose focal length is sought; its principal point is taken as it is.
    max_pairs : int
        Pairs with most matches that are used.
    known : set of int
        Other cameras whose focal lengths are known: pairs with their photos are used too.
    refit : bool
        Fit the matrices to the matches anew: those of the graph may rest on the focal length in question.

    Returns
    -------
    FocalEstimate or None
        None when there is no pair with a fundamental matrix.
    """
    pairs = [p for p in graph.pairs if (refit or p.F is not None) and _between(graph, p, camera_id, known)]
    pairs.sort(key=lambda p: (-len(p.matches), p.first, p.second))
    found = [(p, F) for p in pairs[:max_pairs] if (F := _refitted(graph, p) if refit else p.F) is not None]
    if not found:
        return None
    side = max(graph.cameras[camera_id].width, graph.cameras[camera_id].height)
    weight = np.sqrt([len(p.matches) for p, _ in found])
    cost = _Cost(graph, camera_id, found, weight / weight.sum())
    grid = side * np.geomspace(*RANGE, 160)
    costs = np.array([cost(f) for f in grid])
    best = int(costs.argmin())
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    fine = np.geomspace(low, high, 41)
    focal = float(fine[np.argmin([cost(f) for f in fine])])
    contrast = float(costs.mean() / max(costs.min(), 1e-12))
    return FocalEstimate(focal, len(found), contrast, 0 < best < len(grid) - 1)


def _between(graph: MatchGraph, pair: PairMatches, camera_id: int, known: frozenset[int]) -> bool:
    ids = {graph.camera_ids[pair.first], graph.camera_ids[pair.second]}
    return camera_id in ids and ids <= known | {camera_id}


def _refitted(graph: MatchGraph, pair: PairMatches) -> np.ndarray | None:
    rows = np.linspace(0, len(pair.matches) - 1, min(len(pair.matches), _REFIT_MATCHES)).astype(np.int64)
    x1, x2 = (graph.keypoints[v][pair.matches[rows, k]] for k, v in enumerate((pair.first, pair.second)))
    try:
        return solve_eight_point(x1, x2)
    except EstimationError:
        return None


class _Cost:
    """Robust sum of the differences of the singular values, by the focal length of one camera."""

    def __init__(
        self,
        graph: MatchGraph,
        camera_id: int,
        pairs: list[tuple[PairMatches, np.ndarray]],
        weight: np.ndarray,
    ) -> None:
        self.weight = weight
        # F with the principal points at the origin and known focal lengths divided out.
        self.F = np.empty((len(pairs), 3, 3))
        self.sought = np.empty((len(pairs), 2), bool)  # whether the first and second photo are of the camera
        for i, (pair, F) in enumerate(pairs):
            ids = [graph.camera_ids[v] for v in (pair.first, pair.second)]
            self.sought[i] = [c == camera_id for c in ids]
            K1, K2 = (
                _matrix(graph.cameras[c], None if c == camera_id else graph.cameras[c].focal) for c in ids
            )
            self.F[i] = K2.T @ F @ K1

    def __call__(self, focal: float) -> float:
        scale = np.where(self.sought, focal, 1.0)[:, :, None] ** [1, 1, 0]
        s = np.linalg.svd(scale[:, 1, :, None] * self.F * scale[:, 0, None, :], compute_uv=False)
        difference = (s[:, 0] - s[:, 1]) / (s[:, 0] + s[:, 1])
        # Cauchy: a pair whose F is of a plane or of a pure rotation is wrong anywhere, and should not decide.
        return float(self.weight @ np.log1p((difference / 0.03) ** 2))


def _matrix(camera: Camera, focal: np.ndarray | None) -> np.ndarray:
    """K, with focal length one where that is not known."""
    (fx, fy), (cx, cy) = (1.0, 1.0) if focal is None else focal, camera.principal_point
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def with_focal(camera: Camera, focal_px: float) -> Camera:
    """A camera with another focal length; its distortion stays.

    Parameters
    ----------
    camera : Camera
    focal_px : float
        In x and in y.
    """
    params = np.array(camera.params)
    params[list(MODELS[camera.model].focal_params)] = focal_px
    return camera.with_params(params)


def replace_guessed_focals(graph: MatchGraph) -> list[int]:
    """Replace focal lengths that are mere guesses by what the pairs of photos say, in place.

    Parameters
    ----------
    graph : MatchGraph

    Returns
    -------
    list of int
        Cameras whose focal length stays a guess.
    """
    guesses = []
    known = {i for i, camera in graph.cameras.items() if camera.prior_focal}
    count = {i: graph.camera_ids.count(i) for i in graph.cameras}
    for camera_id in sorted(set(graph.cameras) - known, key=lambda i: (-count[i], i)):
        camera = graph.cameras[camera_id]
        if not MODELS[camera.model].focal_params:
            continue
        if is_perspective(camera):
            found = estimate_focal(graph, camera_id, known=frozenset(known))
            focal = found.focal_px if found is not None and found.clear else None
        else:
            focal = sweep_focal(graph, camera_id)
        if focal is not None:
            graph.cameras[camera_id] = with_focal(camera, focal)
            known.add(camera_id)
        else:
            guesses.append(camera_id)
    return guesses
