"""Random scenes with exact truth for the tests of estimation."""

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3, rotation_angle


def pinhole(width: int = 1000, height: int = 800, focal: float = 900.0) -> Camera:
    return Camera("PINHOLE", width, height, [focal, 1.01 * focal, width / 2, height / 2])


def fisheye() -> Camera:
    """190 degrees across."""
    return Camera("OPENCV_FISHEYE", 1000, 1000, [300.0, 300.0, 500.0, 500.0, 0.01, -0.003, 0.0, 0.0])


@dataclass
class TwoViews:
    pose: SE3  # cam2_from_cam1, unit translation
    points: np.ndarray  # (N, 3) in camera 1
    x1: np.ndarray  # (N, 2)
    x2: np.ndarray
    camera: Camera

    @property
    def K(self) -> np.ndarray:
        return self.camera.K


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def random_pose(rng: np.random.Generator, turn: float = 0.3) -> SE3:
    return SE3(SO3.exp(rng.normal(size=3) * turn).matrix, unit(rng.normal(size=3)))


def bearings(rng: np.random.Generator, count: int, wide: bool = False):
    """Pose, points, and unit rays in both cameras; `wide`: points all around, behind too."""
    pose = random_pose(rng, 0.5)
    if wide:
        points = unit(rng.normal(size=(count, 3))) * rng.uniform(3, 9, size=(count, 1))
    else:
        points = rng.uniform(-3, 3, size=(count, 3)) + np.array([0, 0, 7])
    return pose, points, unit(points), unit(pose.act(points))


def two_views(
    seed: int, count: int = 300, noise: float = 0.5, outliers: float = 0.5, shape: str = "volume", camera=None
) -> TwoViews:
    """Two views of `count` points seen by both; the first `outliers` of the rows are replaced by chance."""
    rng = np.random.default_rng(seed)
    camera = camera or pinhole()
    pose = random_pose(rng, 0.1)
    if shape == "rotation":
        pose = SE3(pose.rotation, np.zeros(3))
    found, x1, x2 = np.zeros((0, 3)), np.zeros((0, 2)), np.zeros((0, 2))
    while len(found) < count:
        points = rng.uniform(-4, 4, size=(count, 3)) + np.array([0, 0, 10])
        if shape == "plane":
            points[:, 2] = 10 + 0.4 * points[:, 0] - 0.2 * points[:, 1]
        if shape == "mostly plane":
            points[: int(0.9 * count), 2] = 10 + 0.4 * points[: int(0.9 * count), 0]
        a, b = camera.project(points), camera.project(pose.act(points))
        inside = ((a > 0) & (a < 1000) & (b > 0) & (b < 1000)).all(axis=1)
        found = np.concatenate([found, points[inside]])
        x1, x2 = np.concatenate([x1, a[inside]]), np.concatenate([x2, b[inside]])
    order = rng.permutation(len(found))[:count]
    found, x1, x2 = found[order], x1[order], x2[order]
    x1, x2 = x1 + noise * rng.normal(size=x1.shape), x2 + noise * rng.normal(size=x2.shape)
    bad = int(outliers * count)
    x2[:bad] = rng.uniform(0, 1, size=(bad, 2)) * [camera.width, camera.height]
    return TwoViews(pose, found, x1, x2, camera)


def pose_errors(found: SE3, true: SE3) -> tuple[float, float]:
    """Degrees: rotation, direction of translation."""
    cosine = found.translation @ true.translation
    cosine /= np.linalg.norm(found.translation) * np.linalg.norm(true.translation)
    turn = float(rotation_angle(found.rotation @ true.rotation.T))
    return np.degrees(turn), float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def matrix_distance(found: np.ndarray, true: np.ndarray) -> float:
    """Least distance of matrices (K, 3, 3) from `true`, all scaled to norm one, whatever the sign."""
    if not len(found):
        return np.inf
    found = found / np.linalg.norm(found, axis=(1, 2), keepdims=True)
    true = true / np.linalg.norm(true)
    return float(
        min(np.abs(found - true).max(axis=(1, 2)).min(), np.abs(found + true).max(axis=(1, 2)).min())
    )
