"""Where a scene is: random points in the box that the cameras look into, and with photos that have alpha in their
visual hull (Laurentini 1994), the part of space that no photo shows to be empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.render.photos import LeaveOut, PhotoStream
from geo3d.render.views import PosedView

_ROUNDS = 60  # of random points, each twice as many as wanted; a hull thinner than 1/60 of its box is refused
_SILHOUETTE_SIDE_PX = 256
_SILHOUETTES = 100


@dataclass(frozen=True)
class Silhouette:
    """What one photo says about where there is something.

    Attributes
    ----------
    camera : Camera
        Of the size of the arrays, without distortion.
    cam_from_world : SE3
    color : (H, W, 3)
        RGB, float in [0, 1].
    alpha : (H, W) or None
        1 where there is something, 0 where there is nothing.
    """

    camera: Camera
    cam_from_world: SE3
    color: np.ndarray
    alpha: np.ndarray | None


def silhouettes(
    views: Sequence[PosedView], mask_is_empty: bool, leave_out: LeaveOut | None = None
) -> list[Silhouette]:
    """Small photos with their alpha, at most a hundred evenly chosen, for what says where a scene is.

    Parameters
    ----------
    views : sequence of PosedView
    mask_is_empty : bool
        The masked part of a photo says that nothing is there; else it says nothing.
    leave_out : LeaveOut, optional
        As in `PhotoStream`.

    Raises
    ------
    ValueError
        If none of them can be read.
    """
    rows = np.unique(np.linspace(0, len(views) - 1, min(len(views), _SILHOUETTES)).round().astype(int))
    chosen = [views[row] for row in rows]
    longest = max(max(view.camera.width, view.camera.height) for view in chosen)
    found = []
    scale = min(1.0, _SILHOUETTE_SIDE_PX / longest)
    with PhotoStream(chosen, scale, cache_bytes=0, leave_out=leave_out) as stream:
        for row, photo in stream.in_order(range(len(chosen))):
            alpha = photo.alpha
            if photo.mask is not None and mask_is_empty:
                alpha = photo.mask.astype(np.float32) if alpha is None else alpha * photo.mask
            color = photo.color
            if photo.alpha is not None:  # premultiplied: the colour of what is there
                color = color / np.maximum(photo.alpha, 1e-3)[..., None]
            found.append(Silhouette(photo.camera, chosen[row].cam_from_world, np.clip(color, 0, 1), alpha))
    if not found:
        raise ValueError(f"none of {len(chosen)} photos can be read: what is wrong is told above")
    return found


def look_at_point(poses: Sequence[SE3]) -> np.ndarray:
    """(3,) world: the point nearest to the optical axes of all cameras, in least squares.

    Cameras that all look the same way have none; then it is one mean distance of theirs ahead.

    Parameters
    ----------
    poses : sequence of SE3
        `cam_from_world`.
    """
    centers = np.array([pose.center() for pose in poses])
    axes = np.array([pose.rotation[2] for pose in poses])
    away = np.eye(3) - axes[:, :, None] * axes[:, None, :]  # (V, 3, 3), across the axis
    normal = away.sum(axis=0)
    if np.linalg.eigvalsh(normal)[0] > 1e-3 * len(centers):
        point = np.linalg.solve(normal, np.einsum("vij,vj->i", away, centers))
        if np.mean(np.einsum("vi,vi->v", axes, point - centers) > 0) > 0.5:
            return point
    spread = np.linalg.norm(centers - centers.mean(axis=0), axis=1).mean()
    return centers.mean(axis=0) + (spread or 1.0) * axes.mean(axis=0)


def scene_extent(poses: Sequence[SE3]) -> float:
    """Size that learning rates and limits scale with: 1.1 times the largest distance of a camera from their mean.

    One place of all cameras has none; then it is 1.

    Parameters
    ----------
    poses : sequence of SE3
        `cam_from_world`.
    """
    centers = np.array([pose.center() for pose in poses])
    radius = np.linalg.norm(centers - centers.mean(axis=0), axis=1).max()
    return float(1.1 * radius) if radius > 1e-6 else 1.0


def random_points(
    silhouettes: Sequence[Silhouette], count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random points where the cameras look, in the visual hull if all photos have alpha.

    Parameters
    ----------
    silhouettes : sequence of Silhouette
    count : int
    rng : numpy.random.Generator

    Returns
    -------
    points : (count, 3) float64
        World.
    colors : (count, 3) float32
        Mean over the photos that have the point in view.

    Raises
    ------
    ValueError
        If there is nothing that all photos can see.
    """
    center, half = hull_box(silhouettes, rng)
    found: list[np.ndarray] = []
    hues: list[np.ndarray] = []
    for _ in range(_ROUNDS):
        points = center + half * rng.uniform(-1, 1, (2 * count, 3))
        inside, colors = _occupied(silhouettes, points)
        found.append(points[inside])
        hues.append(colors[inside])
        if sum(map(len, found)) >= count:
            return np.concatenate(found)[:count], np.concatenate(hues)[:count]
    raise ValueError(
        "no place in the scene is seen by the photos and empty in none: the poses do not fit the alpha of the "
        "photos, or the cameras look past each other"
    )


def hull_box(silhouettes: Sequence[Silhouette], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Centre (3,) and half size (3,) of a box with what is not known to be empty, a tenth wider.

    If all within the cameras' reach is known to be empty, or nothing is seen twice, it is the cube that they look into.

    Parameters
    ----------
    silhouettes : sequence of Silhouette
    rng : numpy.random.Generator
    """
    poses = [s.cam_from_world for s in silhouettes]
    center = look_at_point(poses)
    reach = np.median(np.linalg.norm(np.array([p.center() for p in poses]) - center, axis=1))
    half = np.full(3, reach or 1.0)
    for _ in range(3):
        points = center + half * rng.uniform(-1, 1, (40_000, 3))
        inside, _ = _occupied(silhouettes, points)
        if np.count_nonzero(inside) < 20:
            break
        low, high = points[inside].min(axis=0), points[inside].max(axis=0)
        center, half = (low + high) / 2, 1.1 * (high - low) / 2
    return center, half


def _occupied(silhouettes: Sequence[Silhouette], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool: in view of two photos (or the only one), and if all have alpha of half of them, and empty in none;
    (N, 3) mean colour in those that have it in view.

    Far from what all look at, few photos have a point in view, and fewer show that it is empty.
    """
    seen = np.zeros(len(points), np.int32)
    empty = np.zeros(len(points), bool)
    color = np.zeros((len(points), 3), np.float32)
    for s in silhouettes:
        rows = np.flatnonzero(~empty)
        local = s.cam_from_world.act(points[rows])
        ahead = local[:, 2] > 1e-6
        rows = rows[ahead]
        pixels = np.floor(s.camera.project(local[ahead])).astype(np.int64)
        within = (pixels >= 0).all(axis=1) & (pixels < [s.camera.width, s.camera.height]).all(axis=1)
        rows, (x, y) = rows[within], pixels[within].T
        seen[rows] += 1
        color[rows] += s.color[y, x]
        if s.alpha is not None:
            empty[rows] |= s.alpha[y, x] < 0.5
    least = min(2, len(silhouettes))
    if all(s.alpha is not None for s in silhouettes):
        least = max(least, len(silhouettes) // 2)
    return (seen >= least) & ~empty, color / np.maximum(seen, 1)[:, None]
