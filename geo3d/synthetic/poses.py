"""Camera poses for made-up scenes: the four flights that the scenes use.

World: z up, metres. Poses are `cam_from_world` (x right, y down, z forward).
"""

from __future__ import annotations

import numpy as np

from geo3d.geometry import SE3, look_at

KINDS = ("orbit", "grid", "walk", "forward")


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
