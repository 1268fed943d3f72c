"""What is too far to have points, as Gaussians on a far sphere: sky, hills on the horizon.

The sphere is about the cameras, ten times as wide as the scene, so that no photo shows it from another side. On
it lie directions of a Fibonacci lattice (Gonzalez 2010: equal areas, no poles),

    z_k = 1 - (2 k + 1) / N,   longitude_k = pi (3 - sqrt 5) k

of those that photos have in view, and that have no sparse point beside them in most of these photos. Where the world
has an up, a direction below the horizon is ground. Spots, as a wall without points has them, are left out; what is left
goes on behind the edges of what stands before it, where another place may show it (opening and dilation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from geo3d.render.visual_hull import Silhouette, scene_extent
from geo3d.scene import Gaussians
from geo3d.splat.initialisation import gaussians_at

_MOST = 4000  # Gaussians
_SHARE = 0.125  # of the budget
_LATTICE = 8000  # directions to find out how much of the sphere is sky
_FARTHER = 10.0  # than the scene
_REACH = 0.98  # of its Gaussians count; the farthest are errors
_BESIDE = 0.03  # of a photo's width, to the next sparse point
_LOWEST = -0.02  # sine of the elevation
_SPOT, _BEHIND = 0.04, 0.1  # radians: half of the width of a spot, and how far it goes on
_OPACITY = 0.95
_WIDTH = 0.6  # standard deviation, of the spacing: two beside each other leave no gap


def sky_gaussians(
    silhouettes: Sequence[Silhouette],
    points: np.ndarray,
    near: np.ndarray,
    sh_degree: int,
    budget: int,
    up: np.ndarray | None = None,
) -> Gaussians | None:
    """Gaussians on a far sphere, of the mean colour in the photos that show its place; None if there is no such place.

    Parameters
    ----------
    silhouettes : sequence of Silhouette
        The photos, small.
    points : (P, 3)
        Sparse points, world, finite.
    near : (K, 3)
        Centres of the other Gaussians, world.
    sh_degree : int
        0 to 3.
    budget : int
        Of the training; an eighth of it and at most 4,000 are taken.
    up : (3,), optional
        To the sky.

    Returns
    -------
    Gaussians or None
    """
    poses = [s.cam_from_world for s in silhouettes]
    center = np.mean([pose.center() for pose in poses], axis=0)
    reach = float(np.quantile(np.linalg.norm(near - center, axis=1), _REACH))
    radius = _FARTHER * max(reach, scene_extent(poses))
    most = min(_MOST, int(_SHARE * budget))
    share = _shown(silhouettes, points, center, radius, lattice(_LATTICE), up)[0].mean()
    if most == 0 or share == 0:
        return None
    count = int(most / share)
    directions = lattice(count)
    chosen, colors = _shown(silhouettes, points, center, radius, directions, up)
    rows = np.flatnonzero(chosen)[:most]
    if len(rows) == 0:
        return None
    made = gaussians_at(center + radius * directions[rows], colors[rows], sh_degree, opacity=_OPACITY)
    width = np.float32(np.log(_WIDTH * radius * np.sqrt(4 * np.pi / count)))
    return replace(made, log_scales=np.full_like(made.log_scales, width))


def lattice(count: int) -> np.ndarray:
    """(count, 3) unit vectors, evenly over the sphere."""
    k = np.arange(count)
    z = 1.0 - (2 * k + 1) / count
    longitude = np.pi * (3.0 - np.sqrt(5.0)) * k
    across = np.sqrt(1.0 - z * z)
    return np.column_stack([across * np.cos(longitude), across * np.sin(longitude), z])


def _shown(
    silhouettes: Sequence[Silhouette],
    points: np.ndarray,
    center: np.ndarray,
    radius: float,
    directions: np.ndarray,
    up: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool, which of the `directions` are sky; (N, 3) their mean colour in the photos that show them free."""
    from scipy.spatial import KDTree

    places = center + radius * directions
    seen, free = (np.zeros(len(directions), np.int32) for _ in range(2))
    color = np.zeros((len(directions), 3))
    for s in silhouettes:
        rows, pixels = _in_view(s, places)
        x, y = np.floor(pixels).astype(np.int64).T
        if s.alpha is not None:
            there = s.alpha[y, x] > 0.5
            rows, pixels, x, y = rows[there], pixels[there], x[there], y[there]
        seen[rows] += 1
        beside = _in_view(s, points)[1]
        if len(beside):
            clear = KDTree(beside).query(pixels)[0] > _BESIDE * s.camera.width
            rows, x, y = rows[clear], x[clear], y[clear]
        free[rows] += 1
        color[rows] += s.color[y, x]
    sky = (free > 0) & (2 * free >= seen)
    above = np.ones(len(directions), bool) if up is None else directions @ up > _LOWEST
    blocked = (seen > 0) & above & ~sky
    sky &= above
    if blocked.any():
        sky &= KDTree(directions[blocked]).query(directions)[0] > _SPOT
    if not sky.any():
        return sky, color
    distance, nearest = KDTree(directions[sky]).query(directions)
    color = (color[sky] / free[sky, None])[nearest]  # its own, of what is sky
    return above & (distance < _SPOT + _BEHIND), color


def _in_view(s: Silhouette, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K,) rows of the `points` that the photo has in view, and (K, 2) their pixels."""
    local = s.cam_from_world.act(points)
    rows = np.flatnonzero(local[:, 2] > 1e-6)
    pixels = s.camera.project(local[rows])
    within = (pixels >= 0).all(axis=1) & (pixels < [s.camera.width, s.camera.height]).all(axis=1)
    return rows[within], pixels[within]
