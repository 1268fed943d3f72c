"""Camera poses for made-up scenes: look at a point, and the four flights that the scenes use.

World: z up, metres. Poses are `cam_from_world` (x right, y down, z forward).
"""

from __future__ import annotations

import numpy as np

from geo3d.geometry import SE3

KINDS = ("orbit", "grid", "walk", "forward")


def look_at(eye: np.ndarray, target: np.ndarray, up: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> SE3:
    """Pose of a camera that looks at a point.

    Parameters
    ----------
    eye : (3,)
        Where the camera is, in the world.
    target : (3,)
        A point on its axis, in front.
    up : (3,)
        Direction that the top of the image is towards. Where the axis is along it (a drone looking straight down)
        the top of the image is to the north (+y).

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
    right = np.cross(forward, up)
    if np.linalg.norm(right) < 1e-9:
        right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return SE3(rotation, -rotation @ eye)


def scene_poses(kind: str, views: int, rng: np.random.Generator) -> list[SE3]:
    """The cameras of `make_scene`: `views` poses of one of `KINDS`, each shaken a little, as by the wind."""
    if kind == "orbit":  # a ring around the origin
        turn = 2 * np.pi * np.arange(views) / views
        eyes = np.stack([8 * np.cos(turn), 8 * np.sin(turn), 2 + np.sin(3 * turn)], axis=1)
        targets = np.zeros((views, 3))
    elif kind == "grid":  # serpentine 10 m above the ground, straight down
        columns = int(np.ceil(np.sqrt(views)))
        row, column = np.divmod(np.arange(views), columns)
        column = np.where(row % 2, columns - 1 - column, column)
        eyes = np.stack([3.0 * column, 2.5 * row, np.full(views, 10.0)], axis=1)
        targets = eyes + np.array([0.0, 0.0, -1.0])
    elif kind == "walk":  # along +x, looking half ahead and half to the left
        step = 0.8 * np.arange(views)
        eyes = np.stack([step, 0.3 * np.sin(step), np.full(views, 1.6)], axis=1)
        targets = eyes + np.array([1.0, 1.2, 0.0])
    else:  # forward: along the optical axis +x
        eyes = np.stack([0.5 * np.arange(views), np.zeros(views), np.full(views, 1.6)], axis=1)
        targets = eyes + np.array([1.0, 0.0, 0.0])
    eyes = eyes + rng.normal(0, 0.05, eyes.shape)
    reach = np.linalg.norm(targets - eyes, axis=1, keepdims=True)
    targets = targets + rng.normal(0, 0.03, targets.shape) * reach
    return [look_at(eye, target) for eye, target in zip(eyes, targets)]
