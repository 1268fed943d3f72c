"""Two-view and resection data with exact truth, for the tests of solvers and of RANSAC.

Points are in the frame of the first camera (two views) or of the world (resection), metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3
from geo3d.synthetic.scenes import default_camera, random_direction

STRUCTURES = ("general", "plane")
MOTIONS = ("general", "sideways", "forward", "rotation")


@dataclass(frozen=True)
class TwoViewData:
    """Correspondences of two views.

    Attributes
    ----------
    camera1, camera2 : Camera
    cam2_from_cam1 : SE3
        Its translation has unit length, or is zero for motion "rotation".
    points : (N, 3) float64
        In the frame of camera 1, depth 4 to 12.
    x1, x2 : (N, 2) float64
        Pixels as measured.
    inliers : (N,) bool
        False where x2 was moved to a random place.
    E : (3, 3) float64
        True essential matrix [t]x R (zero for motion "rotation"): bearing2^T E bearing1 = 0.
    """

    camera1: Camera
    camera2: Camera
    cam2_from_cam1: SE3
    points: np.ndarray
    x1: np.ndarray
    x2: np.ndarray
    inliers: np.ndarray
    E: np.ndarray


@dataclass(frozen=True)
class ResectionData:
    """Points of the world and where one camera sees them."""

    camera: Camera
    cam_from_world: SE3
    points: np.ndarray  # (N, 3) float64, world
    pixels: np.ndarray  # (N, 2) float64, as measured
    inliers: np.ndarray  # (N,) bool, False where the pixel was moved to a random place


def make_two_view(
    points: int = 200,
    camera1: Camera | None = None,
    camera2: Camera | None = None,
    structure: str = "general",
    motion: str = "general",
    rotation_deg: float = 10.0,
    noise_px: float = 0.0,
    outlier_ratio: float = 0.0,
    seed: int = 0,
) -> TwoViewData:
    """Correspondences of two views with exact truth.

    Parameters
    ----------
    points : int
        Number of points, all in view of both.
    camera1, camera2 : Camera, optional
        `default_camera()` if not given; camera2 as camera1.
    structure : "general" or "plane"
        Points in a volume, or on one random plane.
    motion : "general", "sideways", "forward" or "rotation"
        Unit translation in a random direction, along x, along z, or none.
    rotation_deg : float
        Angle of the rotation, about a random axis.
    noise_px : float
        Standard deviation of the pixels in x and in y, in both views.
    outlier_ratio : float
        Share of the pixels of the second view that are moved to a random place of the image, in [0, 1).
    seed : int
        The same seed gives the same data.

    Returns
    -------
    TwoViewData
        Points in the frame of camera 1, pixels, the true pose and essential matrix.

    Raises
    ------
    ValueError
        For unknown names, or when the two cameras do not see enough in common.
    """
    _check_choice("structure", structure, STRUCTURES)
    _check_choice("motion", motion, MOTIONS)
    rng = np.random.default_rng(seed)
    camera1 = camera1 or default_camera()
    camera2 = camera2 or camera1
    rotation = SO3.exp(np.deg2rad(rotation_deg) * random_direction(rng)).matrix
    fixed = {"sideways": np.array([-1.0, 0, 0]), "forward": np.array([0, 0, -1.0]), "rotation": np.zeros(3)}
    translation = fixed[motion] if motion in fixed else random_direction(rng)
    pose = SE3(rotation, translation)
    plane = _random_plane(rng) if structure == "plane" else None

    xyz, x1, x2 = np.zeros((0, 3)), np.zeros((0, 2)), np.zeros((0, 2))
    for _ in range(50):
        drawn = _draw_in_view(camera1, 2 * points + 20, plane, rng)
        seen1, seen2 = camera1.project(drawn), camera2.project(pose.act(drawn))
        keep = _inside(camera1, seen1) & _inside(camera2, seen2)
        xyz, x1, x2 = (np.concatenate(p) for p in ((xyz, drawn[keep]), (x1, seen1[keep]), (x2, seen2[keep])))
        if len(xyz) >= points:
            break
    else:
        raise ValueError(f"the cameras see only {len(xyz)} of {points} points in common; turn them less")
    x1, _ = _measure(x1[:points], camera1, noise_px, 0.0, rng)
    x2, inliers = _measure(x2[:points], camera2, noise_px, outlier_ratio, rng)
    tx, ty, tz = translation
    essential = np.array([[0, -tz, ty], [tz, 0, -tx], [-ty, tx, 0]]) @ rotation
    return TwoViewData(camera1, camera2, pose, xyz[:points], x1, x2, inliers, essential)


def make_resection(
    points: int = 100,
    camera: Camera | None = None,
    structure: str = "general",
    noise_px: float = 0.0,
    outlier_ratio: float = 0.0,
    seed: int = 0,
) -> ResectionData:
    """Points of the world and their pixels in a camera with a random pose.

    Parameters
    ----------
    points : int
        Number of points, all in view.
    camera : Camera, optional
        `default_camera()` if not given.
    structure : "general" or "plane"
        Points in a volume, or on one random plane.
    noise_px : float
        Standard deviation of the pixels in x and in y.
    outlier_ratio : float
        Share of the pixels that are moved to a random place of the image, in [0, 1).
    seed : int
        The same seed gives the same data.

    Returns
    -------
    ResectionData
        With the true `cam_from_world`.

    Raises
    ------
    ValueError
        For an unknown structure, or when the camera does not see the points.
    """
    _check_choice("structure", structure, STRUCTURES)
    rng = np.random.default_rng(seed)
    camera = camera or default_camera()
    pose = SE3(SO3.exp(rng.uniform(0, np.pi) * random_direction(rng)).matrix, rng.uniform(-5, 5, 3))
    plane = _random_plane(rng) if structure == "plane" else None
    xyz, pixels = np.zeros((0, 3)), np.zeros((0, 2))
    for _ in range(50):
        drawn = _draw_in_view(camera, 2 * points + 20, plane, rng)
        seen = camera.project(drawn)
        keep = _inside(camera, seen)
        xyz, pixels = np.concatenate([xyz, drawn[keep]]), np.concatenate([pixels, seen[keep]])
        if len(xyz) >= points:
            break
    else:
        raise ValueError(f"the camera sees only {len(xyz)} of {points} points")
    pixels, inliers = _measure(pixels[:points], camera, noise_px, outlier_ratio, rng)
    return ResectionData(camera, pose, pose.inverse().act(xyz[:points]), pixels, inliers)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(choices)}")


def _random_plane(rng: np.random.Generator) -> np.ndarray:
    """(4,) n, d of a plane n.x = d about 7 m ahead, tilted by at most about 35 degrees."""
    normal = np.array([*rng.uniform(-0.5, 0.5, 2), 1.0])
    normal /= np.linalg.norm(normal)
    return np.array([*normal, 7.0 * normal[2]])


def _draw_in_view(
    camera: Camera, count: int, plane: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """(M, 3) points on the rays of random pixels: at distances 4 to 12, or on the plane."""
    rays = camera.unproject(rng.random((count, 2)) * [camera.width, camera.height])
    distance = rng.uniform(4, 12, count)
    if plane is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = plane[3] / (rays @ plane[:3])
    with np.errstate(invalid="ignore"):
        keep = (distance > 0) & (distance < 50) & np.isfinite(rays).all(axis=1)
    return rays[keep] * distance[keep, None]


def _inside(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.all((pixels >= 0) & (pixels <= [camera.width, camera.height]), axis=1)


def _measure(
    exact: np.ndarray, camera: Camera, noise_px: float, outlier_ratio: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    moved = rng.random(len(exact)) < outlier_ratio
    noisy = exact + noise_px * rng.standard_normal(exact.shape)
    elsewhere = rng.random(exact.shape) * [camera.width, camera.height]
    return np.where(moved[:, None], elsewhere, noisy), ~moved
