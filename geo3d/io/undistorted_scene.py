"""A scene as it would be without lens distortion: PINHOLE cameras, and keypoints that moved with their rays.

    pixel' = project_pinhole(unproject(pixel))

Poses and points stay where they are. A pinhole photo shows less than a wide lens saw: what has no ray forward, or lies
outside of the new photo, is in no track any more.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from geo3d.cameras import Camera, pinhole_for
from geo3d.scene import Points, Reconstruction, View


@dataclass(frozen=True)
class UndistortedScene:
    """What `undistort_scene` made, and what had no place in it.

    Attributes
    ----------
    reconstruction : Reconstruction
        With PINHOLE cameras. Keypoints keep their rows; those without a ray forward are at (-1, -1).
    dropped_observations : int
        Observations whose keypoint the new photos do not show, and those of dropped points.
    dropped_points : int
        Points of which fewer than two observations were left.
    """

    reconstruction: Reconstruction
    dropped_observations: int
    dropped_points: int


def undistort_scene(
    reconstruction: Reconstruction, pinhole: Callable[[Camera], Camera] = pinhole_for
) -> UndistortedScene:
    """The scene with PINHOLE cameras, keypoints and tracks that fit them.

    Parameters
    ----------
    reconstruction : Reconstruction
        Is left as it is. The points' `error_px` stays that in the photos as they were taken.
    pinhole : callable
        From a camera to that of the new photos.

    Returns
    -------
    UndistortedScene

    Raises
    ------
    ValueError
        If a camera does not look forward.
    """
    cameras = {i: pinhole(camera) for i, camera in reconstruction.cameras.items()}
    views, shown = {}, {}
    for view_id, view in reconstruction.views.items():
        target = cameras[view.camera_id]
        pixels = target.project(reconstruction.cameras[view.camera_id].unproject(view.keypoints))
        views[view_id] = replace(view, keypoints=np.where(np.isfinite(pixels), pixels, -1.0))
        shown[view_id] = np.all((pixels >= 0.0) & (pixels <= [target.width, target.height]), axis=1)
    points = _shown_points(reconstruction.points, reconstruction.views, shown)
    return UndistortedScene(
        replace(reconstruction, cameras=cameras, views=views, points=points),
        len(reconstruction.points.view_ids) - len(points.view_ids),
        len(reconstruction.points) - len(points),
    )


def _shown_points(points: Points, views: dict[int, View], shown: dict[int, np.ndarray]) -> Points:
    """The points with their shown observations, without the points that have lost all but one."""
    ids = np.array(sorted(views), np.int64)
    starts = np.cumsum([0, *(len(shown[i]) for i in ids)])
    flat = np.concatenate([np.zeros(0, bool), *(shown[i] for i in ids)])
    keep = flat[starts[np.searchsorted(ids, points.view_ids)] + points.keypoints]
    rows = points.point_rows
    lengths = np.bincount(rows[keep], minlength=len(points))
    whole = (lengths >= 2) | (lengths == points.track_lengths)
    keep &= whole[rows]
    return Points(
        points.xyz[whole],
        points.color[whole],
        points.error_px[whole],
        np.concatenate([[0], np.cumsum(lengths[whole])]).astype(np.int64),
        points.view_ids[keep],
        points.keypoints[keep],
    )
