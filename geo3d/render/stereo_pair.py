"""A stereo pair for the eyes: two parallel cameras beside each other, half the baseline to the left and to the right.

    cam_from_world(left) = T(+b/2, 0, 0) cam_from_world,   right: -b/2

Points at infinity then have no parallax. The baseline that suits the eyes is about a thirtieth of the distance of what
is looked at.
"""

from __future__ import annotations

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.render.rendering import RenderView

BASELINE_SHARE = 1.0 / 30.0
"""Of the distance of what is looked at."""


def stereo_poses(cam_from_world: SE3, baseline: float) -> tuple[SE3, SE3]:
    """Poses of the left and the right camera.

    Parameters
    ----------
    cam_from_world : SE3
        Of the middle.
    baseline : float
        World units, above 0.

    Returns
    -------
    (SE3, SE3)
    """
    if not baseline > 0:
        raise ValueError(f"baseline: expected a distance above 0, got {baseline}")
    half = np.array([baseline / 2, 0.0, 0.0])
    rotation, translation = cam_from_world.rotation, cam_from_world.translation
    return SE3(rotation, translation + half), SE3(rotation, translation - half)


def render_stereo(
    render_view: RenderView, camera: Camera, cam_from_world: SE3, baseline: float
) -> np.ndarray:
    """Left and right image side by side, (H, 2 W, 3) float32.

    Parameters
    ----------
    render_view : RenderView
    camera : Camera
        Of each eye.
    cam_from_world : SE3
        Of the middle between the eyes.
    baseline : float
        World units.
    """
    pair = [np.asarray(render_view(camera, pose).color) for pose in stereo_poses(cam_from_world, baseline)]
    return np.concatenate(pair, axis=1)
