"""Camera paths: around a scene, through its own views, towards it.

A path is a camera and a pose `cam_from_world` for each frame of a video. The paths about a scene are smooth in
position and direction; those that are closed end one frame before they begin again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from geo3d.cameras import Camera, pinhole_for, pinhole_like
from geo3d.geometry import SE3, look_at
from geo3d.render.path_spline import spline_path
from geo3d.render.scene_shape import SceneShape

_SPIRAL_TURNS = 2
_VIEWS_A_SECOND = 3


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Cameras and poses, one each a frame.

    Attributes
    ----------
    cameras : tuple of Camera
        All of one size.
    poses : tuple of SE3
        `cam_from_world`.
    fps : float
        Frames a second.

    Raises
    ------
    ValueError
        If there is none, the numbers differ, the sizes differ, or `fps` is not positive.
    """

    cameras: tuple[Camera, ...]
    poses: tuple[SE3, ...]
    fps: float = 30.0

    def __post_init__(self) -> None:
        if not self.cameras or len(self.cameras) != len(self.poses):
            raise ValueError(
                f"cameras, poses: expected one of each a frame, got {len(self.cameras)} and {len(self.poses)}"
            )
        sizes = {(camera.width, camera.height) for camera in self.cameras}
        if len(sizes) > 1:
            raise ValueError(f"cameras: expected one size for all frames, got {sorted(sizes)}")
        if not self.fps > 0:
            raise ValueError(f"fps: expected a positive number of frames a second, got {self.fps}")

    def __len__(self) -> int:
        return len(self.poses)


def path_camera(camera: Camera, size: tuple[int, int] | None = None) -> Camera:
    """A PINHOLE camera for a path: that of the photos without its distortion, cut to the proportions of `size`.

    It never sees more than the photos did: where the proportions differ the longer side is cut off.

    Parameters
    ----------
    camera : Camera
        Of the photos.
    size : (width, height), optional
        Of the frames, pixels; that of the photos where none is given.
    """
    plain = camera.model in ("PINHOLE", "SIMPLE_PINHOLE")
    pinhole = pinhole_like(camera) if plain else pinhole_for(camera)
    if size is None:
        return pinhole
    zoom = max(size[0] / pinhole.width, size[1] / pinhole.height)
    fx, fy = pinhole.focal * zoom
    return Camera("PINHOLE", *size, [fx, fy, size[0] / 2, size[1] / 2])


def orbit_path(shape: SceneShape, camera: Camera, frames: int, fps: float = 30.0) -> CameraPath:
    """A circle about the focus at the median height and distance of the cameras, closed.

    Where the cameras leave more than 120 degrees out, the path swings over the arc that they cover, there and back.

    Parameters
    ----------
    shape : SceneShape
    camera : Camera
        Of all frames.
    frames : int
    fps : float
    """
    radius, height = float(np.median(shape.radii)), float(np.median(shape.heights))
    turn = 2 * np.pi * _steps(frames)
    return _around(
        shape, np.full(frames, radius), np.full(frames, height), _swing(shape, turn, 1), camera, fps
    )


def spiral_path(shape: SceneShape, camera: Camera, frames: int, fps: float = 30.0) -> CameraPath:
    """Two turns about the focus that rise and sink between the lower and the upper cameras, closed.

    Of cameras that do not go all around (a forward-facing scene) it is the spiral of LLFF (Mildenhall et al. 2019): two
    small turns about the mean camera, as wide as nine tenths of the cameras go, with a slow movement to and fro.

    Parameters
    ----------
    shape : SceneShape
    camera : Camera
        Of all frames.
    frames : int
    fps : float
    """
    turn = 2 * np.pi * _steps(frames)
    arc = shape.arc()
    lower, upper = np.quantile(shape.heights, [0.1, 0.9])
    if arc is None:
        heights = (lower + upper) / 2 - (upper - lower) / 2 * np.cos(turn)
        reach = np.hypot(np.median(shape.radii), np.median(shape.heights))
        radii = np.sqrt(np.maximum(reach**2 - heights**2, (0.3 * reach) ** 2))
        return _around(shape, radii, heights, _SPIRAL_TURNS * turn, camera, fps)
    middle, half = (arc[0] + arc[1]) / 2, 0.9 * (arc[1] - arc[0]) / 2
    radius, spread = np.median(shape.radii), np.ptp(np.quantile(shape.radii, [0.1, 0.9])) / 2
    azimuths = middle + half * np.cos(_SPIRAL_TURNS * turn)
    heights = (lower + upper) / 2 + (upper - lower) / 2 * np.sin(_SPIRAL_TURNS * turn)
    return _around(shape, radius + spread * np.sin(turn), heights, azimuths, camera, fps)


def dolly_path(
    pose: SE3, camera: Camera, focus: np.ndarray, frames: int, fps: float = 30.0, nearer: float = 0.5
) -> CameraPath:
    """Straight towards a point and no turn, starting and ending slowly.

    Parameters
    ----------
    pose : SE3
        `cam_from_world` of the first frame.
    camera : Camera
        Of all frames.
    focus : (3,)
        What the camera moves towards, world.
    frames : int
    fps : float
    nearer : float
        What is left of the distance in the last frame, above 0; more than 1 moves away.
    """
    if not nearer > 0:
        raise ValueError(f"nearer: expected a share of the distance above 0, got {nearer}")
    start = pose.center()
    at = 0.5 - 0.5 * np.cos(np.pi * np.linspace(0.0, 1.0, frames))
    centers = start + np.outer(at * (1.0 - nearer), np.asarray(focus) - start)
    poses = tuple(SE3(pose.rotation, -pose.rotation @ center) for center in centers)
    return CameraPath((camera,) * frames, poses, fps)


def views_path(poses: Sequence[SE3], camera: Camera, frames: int, fps: float = 30.0) -> CameraPath:
    """Smoothly through the poses at an even pace.

    They are passed in their order, or where that is more than twice as long as the way from each to the nearest one
    that is left, in the order of that.

    Where there are many, three a second are passed, evenly chosen, the first and the last among them.

    Parameters
    ----------
    poses : sequence of SE3
        `cam_from_world`, two or more.
    camera : Camera
        Of all frames.
    frames : int
    fps : float

    Raises
    ------
    ValueError
        If there are fewer than two poses.
    """
    if len(poses) < 2:
        raise ValueError(f"poses: a path leads through two views or more, got {len(poses)}")
    order = _order(np.array([pose.center() for pose in poses]))
    count = min(len(poses), max(2, round(_VIEWS_A_SECOND * frames / fps) + 1))
    chosen = [poses[order[i]] for i in np.linspace(0, len(poses) - 1, count).round().astype(int)]
    times = _pace(chosen)
    at = np.linspace(0.0, times[-1], frames)
    return CameraPath((camera,) * frames, spline_path(chosen, times, at), fps)


def _order(centers: np.ndarray) -> list[int]:
    """As they are, or where that jumps to and fro, from the first to the nearest one that is left, and so on."""
    gaps = np.linalg.norm(centers[:, None] - centers, axis=-1)
    plain, tour = list(range(len(centers))), [0]
    left = np.ones(len(centers), bool)
    for _ in plain[1:]:
        left[tour[-1]] = False
        tour.append(int(np.argmin(np.where(left, gaps[tour[-1]], np.inf))))
    lengths = [sum(gaps[a, b] for a, b in pairwise(order)) for order in (plain, tour)]
    return tour if lengths[0] > 2 * lengths[1] else plain


def _pace(poses: Sequence[SE3]) -> np.ndarray:
    """Times at which poses are passed, so that moving and turning are even: a radian counts as the mean step."""
    centers = np.array([pose.center() for pose in poses])
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    turns = np.array([np.linalg.norm((b @ a.inverse()).log()[3:]) for a, b in pairwise(poses)])
    lengths = steps / (steps.mean() or 1.0) + turns
    # A pose that is there twice takes a moment too, so that times ascend.
    return np.concatenate([[0.0], np.cumsum(np.maximum(lengths, 0.05 * lengths.mean() or 1.0))])


def _steps(frames: int) -> np.ndarray:
    """(frames,) from 0 to just before 1."""
    if frames < 1:
        raise ValueError(f"frames: expected at least 1, got {frames}")
    return np.arange(frames) / frames


def _swing(shape: SceneShape, turn: np.ndarray, turns: int) -> np.ndarray:
    """Azimuths: all around, or to and fro over the arc of the cameras, from the middle on."""
    arc = shape.arc()
    if arc is None:
        return turns * turn
    return (arc[0] + arc[1]) / 2 + (arc[1] - arc[0]) / 2 * np.sin(turn)


def _around(
    shape: SceneShape,
    radii: np.ndarray,
    heights: np.ndarray,
    azimuths: np.ndarray,
    camera: Camera,
    fps: float,
) -> CameraPath:
    """Cameras at cylindrical coordinates that look at the focus."""
    eyes = (shape.point(*where) for where in zip(radii, heights, azimuths))
    poses = tuple(look_at(eye, shape.focus, shape.up) for eye in eyes)
    return CameraPath((camera,) * len(poses), poses, fps)
