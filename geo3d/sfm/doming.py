"""Blocks that may be bent into a bowl or a dome without the photos noticing.

When all photos look the same way onto a nearly flat scene and the distortion of the lens is found from the same
photos, a wrong distortion is made up for by a curved surface: the reprojection error stays small, and heights in the
middle are off by metres. Photos that look another way, relief, control points, positions to the centimetre or a
calibrated lens prevent it.

Fraser: Camera self-calibration, 1997. James, Robson: Mitigating systematic error in topographic models derived from
UAV and ground-based image networks, 2014.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from geo3d.cameras import MODELS
from geo3d.scene import Reconstruction

PARALLEL_DEG = 15.0
"""Angle of nearly all optical axes to their mean, below which the photos look one way."""
FLAT = 0.25
"""Relief (5th to 95th percentile) over the distance to the camera, below which the scene is flat."""
_MIN_VIEWS = 5
_MIN_POINTS = 50


@dataclass(frozen=True)
class BlockShape:
    """What makes a block prone to bending.

    Attributes
    ----------
    axes_deg : float
        95th percentile of the angles between the optical axes and their mean.
    relief : float
        Height of the points over their plane, 5th to 95th percentile, over the median distance to a camera.
    """

    axes_deg: float
    relief: float

    @property
    def may_bend(self) -> bool:
        """The photos look one way onto a flat scene."""
        return self.axes_deg < PARALLEL_DEG and self.relief < FLAT


def block_shape(model: Reconstruction) -> BlockShape | None:
    """Directions and relief of a `model`; None where it has too few photos or points to tell."""
    poses = [model.views[i].cam_from_world for i in model.registered()]
    axes = np.array([pose.rotation[2] for pose in poses if pose is not None]).reshape(-1, 3)
    xyz = model.points.xyz
    if len(axes) < _MIN_VIEWS or len(xyz) < _MIN_POINTS:
        return None
    mean = axes.mean(0)
    if np.linalg.norm(mean) < 1e-6:
        return BlockShape(180.0, np.inf)
    cosines = axes @ mean / np.linalg.norm(mean)
    middle = np.median(xyz, axis=0)
    off = np.linalg.norm(xyz - middle, axis=1)
    near = xyz[off <= 4 * np.median(off)]  # stray points far away tilt no plane
    centred = near - near.mean(0)
    normal = np.linalg.svd(centred, full_matrices=False)[2][2]
    low, high = np.percentile(centred @ normal, [5, 95])
    distance = np.median(np.linalg.norm(model.centres() - middle, axis=1))
    height = np.median(np.abs((model.centres() - near.mean(0)) @ normal))
    return BlockShape(
        float(np.rad2deg(np.percentile(np.arccos(np.clip(cosines, -1, 1)), 95))),
        float((high - low) / max(min(height, distance), 1e-12)),
    )


def distortion_is_free(model: Reconstruction, deviations: Mapping[int, np.ndarray]) -> bool:
    """Whether the distortion of a camera of the `model` was found from its own photos.

    Parameters
    ----------
    model : Reconstruction
    deviations : mapping of int to (P,)
        Camera id to the standard deviations of its parameters, 0 for those that stayed as they were given.
    """
    used = {view.camera_id for view in model.views.values() if view.cam_from_world is not None}
    for camera_id in used & set(deviations):
        rows = list(MODELS[model.cameras[camera_id].model].distortion_params)
        if (np.asarray(deviations[camera_id])[rows] > 0).any():
            return True
    return False


def doming_warning(model: Reconstruction, deviations: Mapping[int, np.ndarray]) -> str | None:
    """What to tell the user about a block that may be bent; None where there is no reason to.

    Parameters
    ----------
    model : Reconstruction
        Placed without control points and without positions to the centimetre, which would hold it.
    deviations : mapping of int to (P,)
        As for `distortion_is_free`.
    """
    shape = block_shape(model)
    if shape is None or not shape.may_bend or not distortion_is_free(model, deviations):
        return None
    return (
        f"all photos look the same way (within {shape.axes_deg:.0f} degrees) onto a nearly flat scene (relief "
        f"{100 * shape.relief:.0f} % of the distance), and the lens was found from these photos: such a block can bend "
        "into a bowl or a dome without the reprojection error showing it, so heights across it are not to be trusted. "
        "What helps: a second flight with the camera tilted by 20 to 30 degrees, crossing lines at another height, "
        "ground control points, or a calibrated lens that is kept as it is"
    )
