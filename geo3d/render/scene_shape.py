"""What the cameras of a scene look at, which way is up, and from which sides it was photographed.

The focus is the point nearest to all optical axes in the sense of least squares, drawn a little towards a point in
front of the mean camera, which decides where the axes are parallel:

    min_x  sum_i |(I - f_i f_i^T) (x - c_i)|^2 + 0.0001 n |x - p|^2        c_i centre, f_i direction of view

Up is, where the scene does not tell, the direction that the horizontal axes x_i of level photos are perpendicular to,
and towards which their tops are:

    min_u  u^T (sum_i x_i x_i^T / n + 0.05 (I - m m^T)) u                 m mean of the directions of the tops

Where the tops cancel, as in photos of the ground from lanes there and back, m is the mean direction from what is seen
to the cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo3d.geometry import SE3

_PULL = 1e-4  # towards the point in front of the mean camera
_TOPS = 0.05  # weight of the tops of the photos
_AGREED = 0.3  # length of the mean direction of the tops below which they tell nothing
_WIDEST_GAP = np.radians(120.0)  # without a camera, of a scene that counts as seen from all around
_NARROWEST_ARC = np.radians(20.0)


@dataclass(frozen=True, eq=False)
class SceneShape:
    """A scene as its cameras see it: cylindrical coordinates about the focus.

    Attributes
    ----------
    focus : (3,) float64
        What the cameras look at, world.
    axes : (3, 3) float64
        Rows: unit vectors of the world. The third is up, the first leads horizontally from the focus to the first
        camera.
    radii, heights, azimuths : (V,) float64
        Of the cameras: horizontal distance from the focus, height above it, angle from the first axis towards the
        second, radians.
    """

    focus: np.ndarray
    axes: np.ndarray
    radii: np.ndarray
    heights: np.ndarray
    azimuths: np.ndarray

    def point(self, radius: float, height: float, azimuth: float) -> np.ndarray:
        """(3,) the point of the world at a `radius`, a `height` and an `azimuth` about the focus."""
        local = np.array([radius * np.cos(azimuth), radius * np.sin(azimuth), height])
        return self.focus + local @ self.axes

    @property
    def up(self) -> np.ndarray:
        """(3,) unit vector."""
        return self.axes[2]

    @property
    def distance(self) -> float:
        """Median distance of the cameras from the focus."""
        return float(np.median(np.hypot(self.radii, self.heights)))

    def arc(self) -> tuple[float, float] | None:
        """Where the arc of azimuths with cameras begins and ends, radians, begin < end; None if they go all around.

        Cameras go all around if no gap between them is wider than 120 degrees. An arc of less than 20 degrees is
        widened to that.
        """
        turns = np.sort(np.mod(self.azimuths, 2 * np.pi))
        gaps = np.diff(turns, append=turns[0] + 2 * np.pi)
        widest = int(np.argmax(gaps))
        if gaps[widest] <= _WIDEST_GAP:
            return None
        begin = turns[(widest + 1) % len(turns)]
        length = 2 * np.pi - gaps[widest]
        extra = max(0.0, _NARROWEST_ARC - length) / 2
        return float(begin - extra), float(begin + length + extra)


def scene_shape(
    poses: Sequence[SE3], up: np.ndarray | None = None, points: np.ndarray | None = None
) -> SceneShape:
    """The shape of a scene from the poses of its cameras.

    Parameters
    ----------
    poses : sequence of SE3
        `cam_from_world`, one or more.
    up : (3,), optional
        To the sky, in the world, where it is known.
    points : (P, 3), optional
        Sparse points, world: their median distance tells how far the point in front of the mean camera is.

    Raises
    ------
    ValueError
        If there is no pose, or the cameras look away from each other (a room from its middle): there is nothing that
        one could go around.
    """
    if not poses:
        raise ValueError("poses: expected one or more, got none")
    rotations = np.array([pose.rotation for pose in poses])
    centers = np.array([pose.center() for pose in poses])
    forward = rotations[:, 2]
    focus = _focus(centers, forward, points)
    if np.mean(np.sum((focus - centers) * forward, axis=1) < 0.0) > 0.5:
        raise ValueError(
            "the cameras look away from each other, so there is no point to go around; take the path through the "
            "scene's own views"
        )
    top = _up(rotations) if up is None else np.asarray(up, np.float64) / np.linalg.norm(up)
    offset = centers - focus
    heights = offset @ top
    flat = offset - heights[:, None] * top
    radii = np.linalg.norm(flat, axis=1)
    first = flat[0] if radii[0] > 1e-9 * (1.0 + abs(heights[0])) else np.eye(3)[np.argmin(np.abs(top))]
    first = first - (first @ top) * top
    first /= np.linalg.norm(first)
    axes = np.stack([first, np.cross(top, first), top])
    return SceneShape(focus, axes, radii, heights, np.arctan2(flat @ axes[1], flat @ axes[0]))


def _focus(centers: np.ndarray, forward: np.ndarray, points: np.ndarray | None) -> np.ndarray:
    count = len(centers)
    middle, ahead = centers.mean(axis=0), forward.mean(axis=0)
    if points is not None and len(points):
        reach = float(np.median(np.linalg.norm(points - middle, axis=1)))
    else:
        reach = float(np.linalg.norm(centers - middle, axis=1).max()) or 1.0
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    matrix = across.sum(axis=0) + _PULL * count * np.eye(3)
    right = np.einsum("nij,nj->i", across, centers) + _PULL * count * (middle + reach * ahead)
    return np.linalg.solve(matrix, right)


def _up(rotations: np.ndarray) -> np.ndarray:
    sides, tops, forward = rotations[:, 0], -rotations[:, 1], rotations[:, 2]
    sense = tops.mean(axis=0)
    if np.linalg.norm(sense) < _AGREED:
        sense = -forward.mean(axis=0)
    matrix = sides.T @ sides / len(sides) + _TOPS * (np.eye(3) - np.outer(sense, sense))
    up = np.linalg.eigh(matrix)[1][:, 0]
    return up if up @ sense >= 0.0 else -up
