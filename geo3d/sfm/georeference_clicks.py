"""Points that were marked in photos by hand or by a detector: where they are in a model, and which marks are wrong.

A mark is a photo's name and a pixel. The point is triangulated from the marks that agree (pairs as hypotheses, the
truncated sum of squares chooses, least angular error refines); a mark whose ray passes the point by more than a limit
in pixels is named as wrong. Two marks that disagree name both: nothing says which of them is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from geo3d.estimation import triangulate_tracks_robust
from geo3d.scene import Reconstruction

GROSS_PX = 10.0
"""A click further off than this is no inaccuracy but a mistake: another point, another photo."""
_MIN_ANGLE = np.deg2rad(0.5)


@dataclass(frozen=True)
class Located:
    """A marked point in a model.

    Attributes
    ----------
    xyz : (3,) float64 or None
        In the world of the model; None where fewer than two marks agree.
    marks : dict of str to (2,) float64
        Marks in registered photos that agree with it.
    wrong : list of str
        Photos whose mark disagrees.
    error_px : float
        Root mean square distance between the marks that agree and the projected point; NaN without a point.
    """

    xyz: np.ndarray | None
    marks: dict[str, np.ndarray] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    error_px: float = np.nan


def locate_marks(
    model: Reconstruction, marks: Mapping[str, np.ndarray], max_error_px: float = GROSS_PX
) -> Located:
    """Triangulate one point from its marks.

    Parameters
    ----------
    model : Reconstruction
    marks : mapping of str to (2,)
        Photo name to pixel; photos that are not registered are passed over.
    max_error_px : float
        At which a mark is wrong.

    Returns
    -------
    Located
    """
    views = {view.name: view for view in model.views.values() if view.cam_from_world is not None}
    names = sorted(name for name in marks if name in views)
    if len(names) < 2:
        return Located(None, {name: np.asarray(marks[name]) for name in names})
    poses = [views[name].cam_from_world for name in names]
    cameras = [model.cameras[views[name].camera_id] for name in names]
    pixels = np.array([marks[name] for name in names], np.float64)
    bearings = np.array([camera.unproject(pixel) for camera, pixel in zip(cameras, pixels)])
    limits = np.array([max_error_px / camera.mean_focal for camera in cameras])
    found = triangulate_tracks_robust(
        np.array([pose.rotation for pose in poses if pose is not None]),
        np.array([pose.translation for pose in poses if pose is not None]),
        np.array([0, len(names)]),
        np.arange(len(names)),
        bearings,
        limits,
        _MIN_ANGLE,
    )
    agree = found.inliers
    if agree.sum() < 2 or not np.isfinite(found.points[0]).all():
        return Located(None, {}, names)
    xyz = found.points[0]
    errors = [
        np.linalg.norm(camera.project(pose.act(xyz)) - pixel)
        for camera, pose, pixel, good in zip(cameras, poses, pixels, agree)
        if good and pose is not None
    ]
    return Located(
        xyz,
        {name: pixel for name, pixel, good in zip(names, pixels, agree) if good},
        [name for name, good in zip(names, agree) if not good],
        float(np.sqrt(np.mean(np.square(errors)))),
    )


def mark_std(model: Reconstruction, located: Located, click_std_px: float = 1.0) -> float:
    """Deviation of each coordinate of a point that was `located`, in units of the `model`.

    A click's deviation at the point's median distance, over the square root of the number of marks.
    """
    views = [view for view in model.views.values() if view.name in located.marks]
    widths = [
        np.linalg.norm(view.cam_from_world.act(located.xyz)) / model.cameras[view.camera_id].mean_focal
        for view in views
        if view.cam_from_world is not None and located.xyz is not None
    ]
    return float(click_std_px * np.median(widths) / np.sqrt(len(widths))) if widths else np.inf
