"""Focal length of a camera that nobody knows, from the fundamental matrices of its pairs.

With the right calibration E = K2^T F K1 has two equal singular values. The relative difference of the two, robustly
summed over pairs, is a function of one number, the focal length; its minimum is found by a sweep and a refinement.
Sweeney et al. 2015 (view-graph calibration) minimise the same over all cameras together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import MODELS, Camera
from geo3d.sfm.match_graph import MatchGraph

RANGE = (0.35, 4.0)
"""Focal lengths looked at, in units of the photo's longer side (110 to 14 degrees of view)."""


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
    """

    focal_px: float
    pairs: int
    contrast: float


def estimate_focal(graph: MatchGraph, camera_id: int, max_pairs: int = 200) -> FocalEstimate | None:
    """Focal length that fits the fundamental matrices between photos of one camera.

    Parameters
    ----------
    graph : MatchGraph
    camera_id : int
        Camera whose focal length is sought; its principal point is taken as it is.
    max_pairs : int
        Pairs with most matches that are used.

    Returns
    -------
    FocalEstimate or None
        None when no pair of this camera has a fundamental matrix.
    """
    pairs = [
        p
        for p in graph.pairs
        if p.F is not None
        and graph.camera_ids[p.first] == camera_id
        and graph.camera_ids[p.second] == camera_id
    ]
    if not pairs:
        return None
    pairs.sort(key=lambda p: (-len(p.matches), p.first, p.second))
    pairs = pairs[:max_pairs]
    F = np.stack([p.F for p in pairs if p.F is not None])
    weight = np.sqrt([len(p.matches) for p in pairs])
    camera = graph.cameras[camera_id]
    side = max(camera.width, camera.height)
    cost = lambda focal: _cost(F, weight / weight.sum(), camera, focal)  # noqa: E731
    grid = side * np.geomspace(*RANGE, 160)
    costs = np.array([cost(f) for f in grid])
    best = int(costs.argmin())
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    fine = np.geomspace(low, high, 41)
    focal = float(fine[np.argmin([cost(f) for f in fine])])
    return FocalEstimate(focal, len(pairs), float(costs.mean() / max(costs.min(), 1e-12)))


def _cost(F: np.ndarray, weight: np.ndarray, camera: Camera, focal: float) -> float:
    cx, cy = camera.principal_point
    K = np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1.0]])
    s = np.linalg.svd(K.T @ F @ K, compute_uv=False)
    difference = (s[:, 0] - s[:, 1]) / (s[:, 0] + s[:, 1])
    # Cauchy: a pair whose F is of a plane or of a pure rotation is wrong anywhere, and should not decide.
    return float(weight @ np.log1p((difference / 0.03) ** 2))


def replace_guessed_focals(graph: MatchGraph) -> list[str]:
    """Replace focal lengths that are mere guesses by what the pairs of photos say, in place.

    Returns
    -------
    list of str
        A warning for each camera whose focal length stays a guess.
    """
    warnings = []
    for camera_id, camera in graph.cameras.items():
        if camera.prior_focal:
            continue
        estimate = estimate_focal(graph, camera_id)
        if estimate is not None:
            params = np.array(camera.params)
            params[list(MODELS[camera.model].focal_params)] = estimate.focal_px
            graph.cameras[camera_id] = camera.with_params(params)
        else:
            warnings.append(
                f"the focal length of camera {camera_id} is a guess ({camera.mean_focal:.0f} px): the photos have no "
                "EXIF. Calibrate the camera, or keep the original files"
            )
    return warnings
