"""Measuring in the viewer: the point that a click meets, and the distance between two in words.

A click is a ray; the points it may mean are those within a few pixels of it, and of these the nearest to the eye:

    pixels off = (height / 2) / tan(fov / 2) * |p_perpendicular| / p_along
"""

from __future__ import annotations

import numpy as np

from geo3d.viz.viewer_scene import ViewerScene

_RADII_PX = (3.0, 10.0)  # on the point, else beside it


def pick(
    points: np.ndarray, origin: np.ndarray, direction: np.ndarray, height_px: float, fov_y_rad: float
) -> int | None:
    """Row of the point that a click means; None where there is none within 10 pixels.

    Parameters
    ----------
    points : (N, 3)
    origin, direction : (3,)
        Of the click's ray, in the frame of the points; the direction of any length.
    height_px : float
        Of the picture.
    fov_y_rad : float
        Vertical field of view.
    """
    unit = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    offsets = np.asarray(points, np.float64) - origin
    along = offsets @ unit
    rows = np.flatnonzero(along > 0)
    along = along[rows]
    across = np.linalg.norm(offsets[rows] - along[:, None] * unit, axis=1)
    pixels = height_px / 2 / np.tan(fov_y_rad / 2) * across / along
    for radius in _RADII_PX:
        close = np.flatnonzero(pixels <= radius)
        if len(close):
            return int(rows[close[np.argmin(along[close])]])
    return None


def distance_text(scene: ViewerScene, first: np.ndarray, second: np.ndarray) -> str:
    """How far two points of the world are from each other, in metres where the scene has them.

    Parameters
    ----------
    scene : ViewerScene
    first, second : (3,)
        World.
    """
    step = np.asarray(second, np.float64) - first
    length = float(np.linalg.norm(step))
    # Four digits of the distance, and as many behind the point of the others.
    digits = min(9, max(0, 3 - int(np.floor(np.log10(length))))) if length else 0
    unit = "m" if scene.metres else "units"
    words = [f"{length:.{digits}f} {unit}"]
    if scene.level:
        words.append(f"level {np.hypot(step[0], step[1]):.{digits}f}, height {step[2]:+.{digits}f}")
    if not scene.metres:
        words.append("the scale is arbitrary")
    elif np.isfinite(scene.scale_std):
        words.append(f"scale ± {100 * scene.scale_std:.2g} %")
    return "; ".join(words)
