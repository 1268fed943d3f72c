"""The eye of a browser: where it stands, and putting it where a photo was taken. Display frame throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geo3d.geometry import quaternion_to_matrix
from geo3d.viz.viewer_scene import REACH

if TYPE_CHECKING:
    import viser

START_FOV_RAD = np.deg2rad(50.0)
"""Vertical field of view at first."""

_STEEP = 0.05  # cosine between upward in the photo and z


def start_view(server: viser.ViserServer) -> None:
    """Where browsers that come to `server` stand at first: before the scene, above it, looking at its middle."""
    server.scene.set_up_direction("+z")
    eye = server.initial_camera
    eye.position = np.array([0.0, -1.9 * REACH, 1.1 * REACH])
    eye.look_at = np.zeros(3)
    eye.fov = float(START_FOV_RAD)
    eye.near, eye.far = 0.001 * REACH, 1000.0 * REACH


def look_from(client: viser.ClientHandle, rotation: np.ndarray, centre: np.ndarray, fov_y_rad: float) -> None:
    """Put the eye of a browser where a camera is; it then turns about what lies before it.

    Parameters
    ----------
    client : viser.ClientHandle
    rotation : (3, 3)
        `display_from_cam`, x right, y down, z forward.
    centre : (3,)
    fov_y_rad : float
        Vertical.
    """
    ahead = rotation[:, 2]
    distance = max(0.1 * REACH, float(-centre @ ahead))  # the scene's middle is the origin
    # `camera.wxyz` would start from where the browser last said it was, which may come in while it is being moved.
    with client.atomic():
        client.camera.position = centre
        client.camera.look_at = centre + distance * ahead
        client.camera.up_direction = turning_axis(rotation)
        client.camera.fov = fov_y_rad


def turning_axis(rotation: np.ndarray) -> np.ndarray:
    """(3,) axis about which the view turns: as near to z as the roll of the camera lets it be.

    Parameters
    ----------
    rotation : (3, 3)
        `display_from_cam`. Where it looks straight down, or stands on its head, the axis is the photo's upward one.
    """
    right, upward = rotation[:, 0], -rotation[:, 1]
    axis = np.array([0.0, 0.0, 1.0])
    axis -= (axis @ right) * right
    return axis if axis @ upward > _STEEP else upward


def eye_of(client: viser.ClientHandle) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation `display_from_cam`, centre and vertical field of view (radians) of the eye of `client`."""
    camera = client.camera
    return quaternion_to_matrix(camera.wxyz), np.array(camera.position, np.float64), float(camera.fov)
