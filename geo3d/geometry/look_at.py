"""The pose of a camera that looks at a point: `cam_from_world`, x right, y down, z forward."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from geo3d.geometry.se3 import SE3


def look_at(eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, 0.0, 1.0)) -> SE3:
    """Pose of a camera that looks at a point.

    Parameters
    ----------
    eye : (3,)
        Where the camera is, in the world.
    target : (3,)
        A point on its axis, in front.
    up : (3,)
        Direction that the top of the image is towards. Where the axis is along it (a drone looking straight down)
        the top of the image is towards +y (north), or +x where it is along that too.

    Returns
    -------
    SE3
        `cam_from_world`.

    Raises
    ------
    ValueError
        If eye and target are the same point.
    """
    eye = np.asarray(eye, np.float64)
    forward = np.asarray(target, np.float64) - eye
    distance = np.linalg.norm(forward)
    if distance == 0:
        raise ValueError(f"eye and target are the same point {eye.tolist()}; a camera needs a direction")
    forward /= distance
    rights = (
        np.cross(forward, np.asarray(top, np.float64)) for top in (up, (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    )
    right = next(across for across in rights if np.linalg.norm(across) > 1e-9)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return SE3(rotation, -rotation @ eye)
