"""Which part of the world a field covers, and where the rays of each photo begin.

- Photos that all have alpha: the cube around their visual hull. The rest of the world is empty.
- Else all of the world, contracted outside of a cube: around the middle of the sparse points, with nine tenths of them
  inside; or without points around what the cameras look at, as large as their distance from it.

A ray begins at `NEAR_SHARE` of the range of the nearest sparse points that its photo sees (the second percentile): what
would be nearer are errors, mist before the lens. Without points it begins at a twentieth of the distance of the camera
from what all look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.training_options import TrainingOptions
from geo3d.render.photos import LeaveOut
from geo3d.render.views import PosedView, ViewSet
from geo3d.render.visual_hull import Silhouette, hull_box, look_at_point, silhouettes

NEAR_SHARE = 0.5
FAR_SIDES = 32.0
"""Rays of an unbounded scene end at so many sides of its box."""

_NEAR_WITHOUT_POINTS = 0.05  # of the distance to what the cameras look at
_LEAST_POINTS = 50
_INSIDE = 0.9  # share of the points that are inside of the box
_OPAQUE = 0.999  # mean alpha of photos that show no shape


@dataclass(frozen=True, eq=False)
class SceneBounds:
    """What a field covers.

    Attributes
    ----------
    box : SceneBox
    near : (V,) float32
        Range at which the rays of each photo begin, world units.
    """

    box: SceneBox
    near: np.ndarray

    @property
    def nearest(self) -> float:
        """Range at which the rays of a new view begin."""
        return float(self.near.min())

    @property
    def far(self) -> float:
        """Range at which rays end, world units: of a bounded box the box does it."""
        return FAR_SIDES * self.box.side if self.box.unbounded else float(np.inf)


def scene_bounds(views: ViewSet, options: TrainingOptions, leave_out: LeaveOut | None = None) -> SceneBounds:
    """The bounds of a scene.

    Parameters
    ----------
    views : ViewSet
    options : TrainingOptions
    leave_out : LeaveOut, optional
        As in `PhotoStream`.

    Raises
    ------
    ValueError
        If the photos are transparent everywhere, or contradict each other about where something is.
    """
    seen = silhouettes(views.views, options.masks == "transparent", leave_out)
    if (hull := _hull(seen, options.seed)) is not None:
        return SceneBounds(hull, np.zeros(len(views.views), np.float32))
    points = views.points[np.isfinite(views.points).all(axis=1)]
    poses = [view.cam_from_world for view in views.views]
    if len(points) >= _LEAST_POINTS:
        center = np.median(points, axis=0)
        side = 2.0 * float(np.quantile(np.abs(points - center).max(axis=1), _INSIDE))
        near = np.array([_near(view, views.points) for view in views.views])
    else:
        center = look_at_point(poses)
        distance = np.array([np.linalg.norm(pose.center() - center) for pose in poses])
        side = 2.0 * float(np.median(distance))
        near = _NEAR_WITHOUT_POINTS * distance
    box = SceneBox((float(center[0]), float(center[1]), float(center[2])), side or 1.0, unbounded=True)
    known = near[np.isfinite(near)]
    default = float(np.median(known)) if len(known) else 0.01 * box.side
    return SceneBounds(box, np.where(np.isfinite(near), near, default).astype(np.float32))


def _hull(seen: Sequence[Silhouette], seed: int) -> SceneBox | None:
    """The cube around the visual hull, where the photos have one."""
    alphas = [s.alpha for s in seen if s.alpha is not None]
    if len(alphas) < len(seen):
        return None
    shown = float(np.mean([alpha.mean() for alpha in alphas]))
    if max(float(alpha.max()) for alpha in alphas) < 0.5:
        raise ValueError(
            "the photos are transparent everywhere: there is nothing to learn. Their alpha (or with masks "
            "transparent, their mask) says where something is"
        )
    if shown > _OPAQUE:
        return None
    center, half = hull_box(seen, np.random.default_rng([seed, 5]))
    return SceneBox((float(center[0]), float(center[1]), float(center[2])), 2.0 * float(half.max()))


def _near(view: PosedView, points: np.ndarray) -> float:
    """Where the rays of a photo begin, by the points that it observed or else by those before it; NaN without any."""
    local = view.cam_from_world.act(points[view.seen] if len(view.seen) else points)
    ranges = np.linalg.norm(local, axis=1)[np.isfinite(local).all(axis=1) & (local[:, 2] > 0)]
    return NEAR_SHARE * float(np.quantile(ranges, 0.02)) if len(ranges) else float("nan")
