"""Pairs of photos of a reconstructed scene that are worth matching: much in common, and an angle that measures depth.

A pair counts with the number of points that both see, times a weight of the median angle a between their rays:
exp(-(log(a / 9 degrees))^2 / (2 * 0.6^2)). Less leaves the depth uncertain, more makes the photos too different.
"""

from dataclasses import dataclass

import numpy as np

from geo3d.scene import Reconstruction

_BEST_DEG, _SPREAD = 9.0, 0.6
_BETWEEN_DEG = (1.5, 40.0)
_LEAST_POINTS = 20


@dataclass(frozen=True, eq=False)
class ScenePair:
    """Two photos and what they share.

    Attributes
    ----------
    view_ids : (int, int)
        Of the photos; the depth is to be that of the first.
    points : (N,) int64
        Rows of the scene's points that both see.
    angle_deg : float
        Median angle between the rays to them.
    """

    view_ids: tuple[int, int]
    points: np.ndarray
    angle_deg: float


def choose_scene_pairs(scene: Reconstruction, partners: int = 2) -> list[ScenePair]:
    """For each photo its best partners.

    Parameters
    ----------
    scene : Reconstruction
    partners : int
        Of each photo, at most.

    Returns
    -------
    list of ScenePair
        By the names of the photos. Photos without a partner that shares points at a useful angle are in none.

    Raises
    ------
    ValueError
        If no pair is worth matching.
    """
    ids = sorted(scene.registered(), key=lambda i: scene.views[i].name)
    seen = {i: np.zeros(len(scene.points), bool) for i in ids}
    for view_id in ids:
        seen[view_id][scene.points.point_rows[scene.points.view_ids == view_id]] = True
    centres = {i: _pose(scene, i).center() for i in ids}
    found = []
    for one in ids:
        rated = []
        for two in ids:
            rows = np.flatnonzero(seen[one] & seen[two]) if two != one else np.zeros(0, np.int64)
            if len(rows) < _LEAST_POINTS:
                continue
            rays = [_unit(scene.points.xyz[rows] - centres[i]) for i in (one, two)]
            cosines = np.clip(np.einsum("ni,ni->n", *rays), -1.0, 1.0)
            angle = float(np.degrees(np.median(np.arccos(cosines))))
            if _BETWEEN_DEG[0] <= angle <= _BETWEEN_DEG[1]:
                weight = np.exp(-0.5 * (np.log(angle / _BEST_DEG) / _SPREAD) ** 2)
                rated.append((-len(rows) * weight, two, rows, angle))
        rated.sort(key=lambda entry: entry[:2])
        found += [ScenePair((one, two), rows, angle) for _, two, rows, angle in rated[:partners]]
    if not found:
        raise ValueError(
            f"none of the {len(ids)} photos of the scene shares {_LEAST_POINTS} points with another at an angle from "
            f"{_BETWEEN_DEG[0]:g} to {_BETWEEN_DEG[1]:g} degrees: there is no pair to match"
        )
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _pose(scene: Reconstruction, view_id: int):
    pose = scene.views[view_id].cam_from_world
    assert pose is not None
    return pose
