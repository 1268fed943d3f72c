"""Choose, of many views of a board, those that tell most: from different places, tilts and distances, and steady.

Each view is described by where the board's middle is in the image, how far away it is, and which way it faces: the pose
of a plane (`start.plane_pose`) through a pinhole of usual focal length, which need not be right to tell views apart.
Chosen is, again and again, the view that is farthest from all that were chosen (Gonzalez, "Clustering to minimize the
maximum intercluster distance", 1985), less the more it is smeared or moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.calibration.detection import Detection
from geo3d.calibration.start import plane_pose
from geo3d.calibration.targets import Target
from geo3d.cameras import Camera

_FOCAL = 1.2  # of the longer side
_DEPTH = 0.35  # weights against shifts by the longer side: of twice the distance
_STEADY = 0.25  # share of the views that shake less than what is called steady
_FACING = 0.7  # of the unit normal: a tilt by 30 degrees counts as a shift by a third of the image


@dataclass(frozen=True)
class ChoiceOptions:
    """How many views are chosen.

    Attributes
    ----------
    most, least : int
        Views.
    apart : float
        Past `least` no view is chosen that is nearer than this to one chosen, in shares of the image's longer side;
        twice as near if it does not shake at all, farther if it shakes more than the steady ones.
    """

    most: int = 40
    least: int = 12
    apart: float = 0.05


def choose_views(
    detections: list[Detection],
    target: Target,
    width: int,
    height: int,
    shake_px: np.ndarray,
    options: ChoiceOptions | None = None,
) -> list[int]:
    """Choose views of a board.

    Parameters
    ----------
    detections : list of N Detection
    target : Target
    width, height : int
        Of the images, pixels.
    shake_px : (N,) float
        By how much each is smeared or moves; only their ratios matter.
    options : ChoiceOptions, optional

    Returns
    -------
    list of int
        Ascending.
    """
    options = options or ChoiceOptions()
    if not detections:
        return []
    camera = Camera.from_focal("SIMPLE_PINHOLE", width, height, _FOCAL * max(width, height))
    places = np.array([describe_view(found, target, camera) for found in detections])
    steady = max(float(np.quantile(shake_px, _STEADY)), 1e-9)
    worth = 2 / (1 + (shake_px / steady) ** 2)
    chosen = [int(np.argmax(worth))]
    away = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < min(options.most, len(places)):
        best = int(np.argmax(away * worth))
        if away[best] == 0 or (len(chosen) >= options.least and away[best] * worth[best] < options.apart):
            break
        chosen.append(best)
        away = np.minimum(away, np.linalg.norm(places - places[best], axis=1))
    return sorted(chosen)


def describe_view(found: Detection, target: Target, camera: Camera) -> np.ndarray:
    """(6,) by which views of a board differ: place in the image, distance, direction; see the module.

    Parameters
    ----------
    found : Detection
    target : Target
    camera : Camera
        About the one that took it.

    Returns
    -------
    (6,) float64
        In shares of the image's longer side.
    """
    rotation, translation = plane_pose(target.points[found.ids], camera.unproject(found.pixels))
    depth = max(float(target.points[found.ids].mean(axis=0) @ rotation[2] + translation[2]), 1e-9)
    size = max(target.size_m)
    normal = rotation[:, 2] * np.sign(rotation[2, 2] or 1.0)
    place = found.pixels.mean(axis=0) / max(camera.width, camera.height)
    return np.concatenate([place, [_DEPTH * np.log2(depth / size)], _FACING * normal])
