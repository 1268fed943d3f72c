"""Which way is up in a model: measured by a drone's gimbal, or concluded from how people hold cameras.

Gimbal: gravity in the camera's axes, turned into the model by each photo's rotation; the median direction of all.

Cameras: people and drones hold them level, so that the axis along a level side of the photo is horizontal. The
direction that is perpendicular to all those axes, the eigenvector of their scatter with the least eigenvalue, is up
however much the cameras were tilted (Brown, Lowe: Automatic panoramic image stitching using invariant features, 2007).
That needs photos that look different ways. Without, the photos' own upward axes are averaged; for a block that looks
straight down, up is against the view.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from geo3d.scene import Reconstruction
from geo3d.sfm.georeference_fit import UpDirection

_GIMBAL_STD = np.deg2rad(2.0)
_LEVEL_STD = np.deg2rad(5.0)
_MEAN_STD = np.deg2rad(12.0)
_GIMBAL_SPREAD = np.deg2rad(10.0)  # gimbals that disagree by more do not measure what they should
_TURNED = 0.05  # second eigenvalue of the scatter of level axes from which on the photos look different ways
_FLAT = 0.35  # third singular value of the centres over the second, below which they lie in a plane
_DOWNWARD = 0.75  # cosine between that plane's normal and the mean view

_UP_IN_PHOTO = {1: (0, -1), 2: (0, -1), 3: (0, 1), 4: (0, 1), 5: (-1, 0), 6: (-1, 0), 7: (1, 0), 8: (1, 0)}
"""EXIF orientation to the direction, in stored pixels, that is at the top when the photo is shown."""


def estimate_up(
    model: Reconstruction,
    gravity: Mapping[str, np.ndarray] | None = None,
    orientations: Mapping[str, int] | None = None,
) -> UpDirection:
    """The upward direction in the world of a model.

    Parameters
    ----------
    model : Reconstruction
        With at least one registered view.
    gravity : mapping of str to (3,), optional
        Photo name to measured direction of gravity in the camera's axes (x right, y down, z forward).
    orientations : mapping of str to int, optional
        Photo name to EXIF orientation; 1 where not listed.

    Returns
    -------
    UpDirection
    """
    views = [model.views[i] for i in model.registered()]
    rotations = np.array([v.cam_from_world.rotation for v in views if v.cam_from_world is not None])
    if gravity:
        rows = [i for i, view in enumerate(views) if view.name in gravity]
        down = np.array([rotations[i].T @ gravity[views[i].name] for i in rows]).reshape(-1, 3)
        measured = _median_direction(-down) if len(down) else None
        if measured is not None:
            off = np.arccos(np.clip(-down @ measured, -1, 1))
            if np.median(off) < _GIMBAL_SPREAD:
                return UpDirection(measured, _GIMBAL_STD, "gimbal")
    known = orientations or {}
    in_photo = np.array([_UP_IN_PHOTO.get(known.get(view.name, 1), (0, -1)) for view in views], np.float64)
    return _from_cameras(rotations, in_photo, model.centres())


def _from_cameras(rotations: np.ndarray, in_photo: np.ndarray, centres: np.ndarray) -> UpDirection:
    """Up from rotations (V, 3, 3) and the directions (V, 2) that are upward in the photos."""
    upward = np.einsum("vi,vij->vj", in_photo, rotations[:, :2])
    level = np.einsum("vi,vij->vj", in_photo[:, ::-1] * [1, -1], rotations[:, :2])
    back = -rotations[:, 2].mean(axis=0)
    rough, std = upward.mean(axis=0), _MEAN_STD
    if _looks_down(centres, back):
        rough = back
    if np.linalg.norm(rough) < 1e-6:
        rough = np.array([0.0, 0.0, 1.0])
    rough = rough / np.linalg.norm(rough)
    values, axes = np.linalg.eigh(level.T @ level / len(level))
    if len(level) >= 3 and values[1] > _TURNED and abs(axes[:, 0] @ rough) > 0.5:
        rough, std = axes[:, 0] * np.sign(axes[:, 0] @ rough), _LEVEL_STD
    return UpDirection(rough, float(std), "cameras")


def _looks_down(centres: np.ndarray, back: np.ndarray) -> bool:
    """Whether cameras are spread over a plane and look along its normal, as a drone does that maps the ground."""
    if len(centres) < 6 or np.linalg.norm(back) < 0.5:
        return False
    _, spread, axes = np.linalg.svd(centres - centres.mean(axis=0))
    return bool(spread[2] < _FLAT * spread[1] and abs(axes[2] @ back) > _DOWNWARD)


def _median_direction(directions: np.ndarray) -> np.ndarray | None:
    """(3,) unit geometric median of unit vectors (N, 3) by Weiszfeld's iteration; None where they cancel."""
    middle = directions.mean(0)
    for _ in range(50):
        weight = 1 / np.maximum(np.linalg.norm(directions - middle, axis=1), 1e-9)
        middle = weight @ directions / weight.sum()
    length = np.linalg.norm(middle)
    return middle / length if length > 1e-6 else None
