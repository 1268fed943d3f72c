"""Scenes of points with exact truth: what the property tests of every step are made of.

World: z up, metres; poses `cam_from_world`; pixels with the top-left centre at (0.5, 0.5). There is no
occlusion: a camera sees every point that projects into its image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3
from geo3d.scene import Points, Reconstruction, View
from geo3d.synthetic.poses import KINDS, scene_poses


@dataclass(frozen=True)
class SyntheticScene:
    """A scene and what is true of its measurements.

    Attributes
    ----------
    reconstruction : Reconstruction
        True cameras, poses, points and tracks; the keypoints are as measured, with noise and outliers.
        View ids count from 1 in the order of the flight; keypoints of a view are in the order of the points.
    exact_keypoints : dict of (N, 2) float64
        By view id: the exact projections.
    outliers : dict of (N,) bool
        By view id: keypoints that were moved to a random place of the image.
    point_rows : dict of (N,) int64
        By view id: the point of each keypoint.
    """

    reconstruction: Reconstruction
    exact_keypoints: dict[int, np.ndarray]
    outliers: dict[int, np.ndarray]
    point_rows: dict[int, np.ndarray]


def default_camera() -> Camera:
    """A camera with a little distortion, 1000 x 750, 58 degrees wide."""
    return Camera("SIMPLE_RADIAL", 1000, 750, [900.0, 500.0, 375.0, -0.05])


def make_scene(
    kind: str = "orbit",
    views: int = 8,
    points: int = 500,
    camera: Camera | Sequence[Camera] | None = None,
    noise_px: float = 0.0,
    outlier_ratio: float = 0.0,
    seed: int = 0,
) -> SyntheticScene:
    """Points seen by cameras, with exact truth.

    Parameters
    ----------
    kind : "orbit", "grid", "walk" or "forward"
        A ring around a cloud; a drone looking down on terrain; along a path beside a wall of points; along
        the optical axis.
    views, points : int
        Every point is seen by at least two views.
    camera : Camera or list of Camera
        One for all views, or several taken in turn; `default_camera()` if not given.
    noise_px : float
        Standard deviation of the keypoints in x and in y.
    outlier_ratio : float
        Share of the keypoints that are moved to a random place of their image, in [0, 1).
    seed : int
        The same seed gives the same scene. Noise and outliers do not change poses and points.

    Raises
    ------
    ValueError
        For an unknown kind, numbers out of range, or cameras that do not see the scene in common.
    """
    _check_scene(kind, views, points, noise_px, outlier_ratio)
    cameras = [camera] if isinstance(camera, Camera) else list(camera or [default_camera()])
    rng = np.random.default_rng(seed)
    poses = scene_poses(kind, views, rng)
    view_cameras = [cameras[i % len(cameras)] for i in range(views)]
    xyz = _points_in_view(kind, poses, view_cameras, points, rng)
    pixels, seen = _observe(xyz, poses, view_cameras)

    reconstruction = Reconstruction(cameras={i + 1: c for i, c in enumerate(cameras)})
    exact, outliers, rows = {}, {}, {}
    error = np.zeros((points, views))
    keypoint_of = np.cumsum(seen, axis=0) - 1  # (P, V) row of the keypoint in its view
    for i in range(views):
        rows[i + 1] = np.flatnonzero(seen[:, i])
        exact[i + 1] = pixels[rows[i + 1], i]
        size = np.array([view_cameras[i].width, view_cameras[i].height], np.float64)
        moved = rng.random(len(exact[i + 1])) < outlier_ratio
        measured = exact[i + 1] + noise_px * rng.standard_normal(exact[i + 1].shape)
        measured = np.where(moved[:, None], rng.random(measured.shape) * size, measured)
        outliers[i + 1] = moved
        error[rows[i + 1], i] = np.linalg.norm(measured - exact[i + 1], axis=1)
        reconstruction.views[i + 1] = View(f"view_{i + 1:04d}.jpg", i % len(cameras) + 1, poses[i], measured)

    point_of, view_of = np.nonzero(seen)
    reconstruction.points = Points(
        xyz=xyz,
        color=rng.integers(40, 216, (points, 3)).astype(np.uint8),
        error_px=error.sum(axis=1) / seen.sum(axis=1),
        offsets=np.concatenate([[0], np.cumsum(seen.sum(axis=1))]).astype(np.int64),
        view_ids=view_of.astype(np.int64) + 1,
        keypoints=keypoint_of[point_of, view_of].astype(np.int64),
    )
    return SyntheticScene(reconstruction, exact, outliers, rows)


def perturbed(
    reconstruction: Reconstruction,
    rotation_deg: float = 0.0,
    translation: float = 0.0,
    point_sigma: float = 0.0,
    seed: int = 0,
) -> Reconstruction:
    """A copy in which every registered view is turned and moved and every point is shaken.

    Parameters
    ----------
    reconstruction : Reconstruction
        Left as it is.
    rotation_deg : float
        Each camera is turned about its centre by this angle, about a random axis.
    translation : float
        Each camera's centre is moved by this length, in a random direction (units of the world).
    point_sigma : float
        Standard deviation of the points in each coordinate (units of the world).
    seed : int
        The same seed gives the same copy.
    """
    rng = np.random.default_rng(seed)
    views = {}
    for i in sorted(reconstruction.views):
        view = reconstruction.views[i]
        pose = view.cam_from_world
        if pose is not None:
            turn = SO3.exp(np.deg2rad(rotation_deg) * random_direction(rng)).matrix
            centre = -pose.rotation.T @ pose.translation + translation * random_direction(rng)
            rotation = turn @ pose.rotation
            pose = SE3(rotation, -rotation @ centre)
        views[i] = View(view.name, view.camera_id, pose, view.keypoints.copy())
    old = reconstruction.points
    points = old.subset(np.ones(len(old), bool))
    points.xyz = points.xyz + point_sigma * rng.standard_normal(points.xyz.shape)
    points.error_px = np.full(len(old), np.nan)
    return Reconstruction(
        dict(reconstruction.cameras), views, points, dict(reconstruction.rigs), dict(reconstruction.frames)
    )


def random_direction(rng: np.random.Generator) -> np.ndarray:
    """(3,) unit vector, uniform on the sphere."""
    direction = rng.standard_normal(3)
    return direction / np.linalg.norm(direction)


def _check_scene(kind: str, views: int, points: int, noise_px: float, outlier_ratio: float) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
    if views < 2 or points < 1:
        raise ValueError(f"a scene needs at least 2 views and 1 point; got views={views}, points={points}")
    if not (np.isfinite(noise_px) and noise_px >= 0 and 0 <= outlier_ratio < 1):
        raise ValueError(
            f"noise_px has to be >= 0 and outlier_ratio in [0, 1); got {noise_px=}, {outlier_ratio=}"
        )


def _points_in_view(
    kind: str, poses: list[SE3], cameras: list[Camera], count: int, rng: np.random.Generator
) -> np.ndarray:
    """(count, 3) points of the scene that at least two cameras see, drawn until there are enough."""
    kept = np.zeros((0, 3))
    for _ in range(20):
        drawn = _draw_points(kind, poses, 2 * count + 20, rng)
        seen = _observe(drawn, poses, cameras)[1]
        kept = np.concatenate([kept, drawn[seen.sum(axis=1) >= 2]])
        if len(kept) >= count:
            return kept[:count]
    raise ValueError(f"only {len(kept)} of {count} points are seen by two views; use a wider camera")


def _draw_points(kind: str, poses: list[SE3], count: int, rng: np.random.Generator) -> np.ndarray:
    centres = np.array([-p.rotation.T @ p.translation for p in poses])
    unit = rng.random((count, 3))
    if kind == "orbit":  # a ball of radius 3 m
        direction = rng.standard_normal((count, 3))
        return 3 * direction / np.linalg.norm(direction, axis=1, keepdims=True) * unit[:, :1] ** (1 / 3)
    low, high = centres.min(axis=0), centres.max(axis=0)
    if kind == "grid":  # rolling terrain below the flight
        xy = low[:2] - 5 + unit[:, :2] * (high[:2] - low[:2] + 10)
        z = 0.8 * np.sin(0.5 * xy[:, 0]) + 0.6 * np.cos(0.7 * xy[:, 1]) + 0.8 * unit[:, 2]
        return np.column_stack([xy, z])
    if kind == "walk":  # a deep wall to the left
        return np.array([low[0], 2.5, -1]) + unit * [high[0] - low[0] + 14, 9.5, 6]
    return np.array([high[0] + 3, -8, -4]) + unit * [20, 16, 11]  # ahead of the last camera


def _observe(xyz: np.ndarray, poses: list[SE3], cameras: list[Camera]) -> tuple[np.ndarray, np.ndarray]:
    """Projections (P, V, 2) and whether they fall into the image (P, V)."""
    pixels = np.stack([c.project(p.act(xyz)) for p, c in zip(poses, cameras)], axis=1)
    size = np.array([[c.width, c.height] for c in cameras], np.float64)
    with np.errstate(invalid="ignore"):
        seen = np.all((pixels >= 0) & (pixels <= size), axis=2)
    return pixels, seen
