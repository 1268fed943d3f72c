"""A house of flat, richly textured facades on a square, photographed in milliseconds: for the tests of whole chains.

A facade spans `corner + u right + v down`, 0 <= u, v <= 1, and bears a picture. World: z up, metres, the house in
the middle. With `twins` opposite facades bear the same picture, as buildings do that look alike from both sides: what
then matches is not the same place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, look_at
from geo3d.synthetic.rays import pixel_rays
from geo3d.util.require import require

WIDTH_M, HEIGHT_M, SQUARE_M = 8.0, 5.0, 40.0
_TEXELS_PER_M = 80
_SKY = (206, 222, 240)


@dataclass(frozen=True, eq=False)
class Facade:
    """A flat rectangle with a picture on it, seen from both sides."""

    corner: np.ndarray  # (3,) world, metres: the top left
    right: np.ndarray  # (3,) along the top edge
    down: np.ndarray  # (3,) along the left edge
    picture: np.ndarray  # (h, w, 3) uint8, RGB


def make_house(twins: bool = False, seed: int = 0) -> list[Facade]:
    """A house with a garden wall on one side, and the ground around it.

    Parameters
    ----------
    twins : bool
        Opposite facades bear the same picture, there is no garden wall, and the ground is bare.
    seed : int
        Of the pictures.

    Returns
    -------
    list of Facade
    """
    rng = np.random.default_rng([seed, 17])
    half, up = WIDTH_M / 2, np.array([0.0, 0.0, HEIGHT_M])
    pictures = [_facade_picture(rng) for _ in range(4)]
    facades = []
    for k in range(4):
        turn = np.pi / 2 * k
        out = np.array([np.sin(turn), -np.cos(turn), 0.0])  # south, east, north, west
        right = np.array([np.cos(turn), np.sin(turn), 0.0])
        corner = half * out - half * right + up
        facades.append(Facade(corner, WIDTH_M * right, -up, pictures[k % 2 if twins else k]))
    side = SQUARE_M * np.array([1.0, 0.0, 0.0])
    corner = np.array([-SQUARE_M / 2, SQUARE_M / 2, 0.0])
    ground = _rough(rng, round(SQUARE_M * 20), round(SQUARE_M * 20), 2.0 if twins else 22.0)
    facades.append(Facade(corner, side, SQUARE_M * np.array([0.0, -1.0, 0.0]), ground))
    if not twins:
        picture = _rough(rng, round(1.5 * _TEXELS_PER_M), round(6 * _TEXELS_PER_M), 30.0)
        wall = np.array([half + 3.0, -3.0, 1.5]), np.array([0.0, 6.0, 0.0]), np.array([0.0, 0.0, -1.5])
        facades.append(Facade(*wall, picture))
    return facades


def house_poses(photos: int, first_deg: float = 0.0, last_deg: float = 360.0, seed: int = 0) -> list[SE3]:
    """Poses on a walk round the house, looking at it.

    Parameters
    ----------
    photos : int
    first_deg, last_deg : float
        Where the walk begins and ends, counterclockwise from the south; 360 degrees apart the end is not repeated.
    seed : int
        Of the unsteadiness.

    Returns
    -------
    list of SE3
        `cam_from_world`.
    """
    rng = np.random.default_rng([seed, 18])
    whole = abs(last_deg - first_deg) >= 360
    turns = np.deg2rad(np.linspace(first_deg, last_deg, photos, endpoint=not whole))
    poses = []
    for turn in turns:
        eye = np.array([12 * np.sin(turn), -12 * np.cos(turn), 2.2]) + 0.1 * rng.standard_normal(3)
        poses.append(look_at(eye, np.array([0.0, 0.0, 2.2]) + 0.2 * rng.standard_normal(3)))
    return poses


def photograph_facades(
    facades: list[Facade],
    camera: Camera,
    poses: list[SE3],
    samples: int = 1,
    noise: float = 1.0,
    seed: int = 0,
) -> list[np.ndarray]:
    """Photograph facades from each of some poses.

    Parameters
    ----------
    facades : list of Facade
    camera : Camera
        Of any model; its size is the photo's.
    poses : list of SE3
        `cam_from_world`.
    samples : int
        Rays a pixel, along each side.
    noise : float
        Standard deviation of the image noise in grey levels of 255.
    seed : int
        Of the noise.

    Returns
    -------
    list of (H, W, 3) uint8
        RGB; the sky is plain.
    """
    rays = pixel_rays(camera, samples).reshape(-1, 3)
    rng = np.random.default_rng([seed, 19])
    images = []
    for pose in poses:
        depth = np.full(len(rays), np.inf)
        color = np.empty((len(rays), 3), np.float32)
        color[:] = _SKY
        for facade in facades:
            _paint(facade, pose, rays, 1 / camera.mean_focal, depth, color)
        image = color.reshape(camera.height, camera.width, samples**2, 3).mean(axis=2)
        image += noise * rng.standard_normal(image.shape, np.float32)
        images.append(np.clip(image + 0.5, 0, 255).astype(np.uint8))
    return images


def _paint(
    facade: Facade, pose: SE3, rays: np.ndarray, pixel_angle: float, depth: np.ndarray, color: np.ndarray
) -> None:
    """Paint one facade over what is behind it; `depth` (N,) and `color` (N, 3) change in place."""
    cv2 = require("cv2")
    axes = np.linalg.inv(np.stack([facade.right, facade.down, np.cross(facade.right, facade.down)], axis=1))
    u0, v0, w0 = axes @ (pose.center() - facade.corner)
    du, dv, dw = (axes @ pose.rotation.T) @ rays.T
    with np.errstate(divide="ignore", invalid="ignore"):
        t = -w0 / dw
        u, v = u0 + t * du, v0 + t * dv
        seen = (t > 1e-3) & (t < depth) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
    if not seen.any():
        return
    depth[seen] = t[seen]
    picture = facade.picture
    texel = np.linalg.norm(facade.right) / picture.shape[1]
    while min(picture.shape[:2]) > 8 and 2 * texel < float(np.median(t[seen])) * pixel_angle:
        picture, texel = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 2 * texel
    x = (u[seen] * picture.shape[1] - 0.5).astype(np.float32).reshape(-1, 1)
    y = (v[seen] * picture.shape[0] - 0.5).astype(np.float32).reshape(-1, 1)
    parts = [
        cv2.remap(
            picture, x[i : i + 30_000], y[i : i + 30_000], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        for i in range(0, len(x), 30_000)  # remap takes at most 32767 rows
    ]
    color[seen] = np.concatenate(parts)[:, 0]


def _facade_picture(rng: np.random.Generator) -> np.ndarray:
    """Plaster with windows of different sizes, their bars, and posters."""
    height, width = round(HEIGHT_M * _TEXELS_PER_M), round(WIDTH_M * _TEXELS_PER_M)
    picture = _rough(rng, height, width, 26.0).astype(np.float32)
    for _ in range(9):
        w, h = rng.integers(50, 110), rng.integers(50, 110)
        x, y = rng.integers(0, width - w), rng.integers(0, height - h)
        picture[y : y + h, x : x + w] = rng.uniform(20, 110, 3)
        picture[y : y + h, x + w // 2 : x + w // 2 + 4] = 235
        picture[y + h // 3 : y + h // 3 + 4, x : x + w] = 235
    for _ in range(60):
        s = rng.integers(5, 16)
        x, y = rng.integers(0, width - s), rng.integers(0, height - s)
        picture[y : y + s, x : x + s] = rng.uniform(0, 255, 3)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _rough(rng: np.random.Generator, height: int, width: int, contrast: float) -> np.ndarray:
    """A mottled surface, detailed at every scale from 2 to 64 texels."""
    cv2 = require("cv2")
    image = np.empty((height, width, 3), np.float32)
    image[:] = rng.uniform(90, 165, 3)
    for size in (2, 4, 8, 16, 32, 64):
        coarse = rng.standard_normal((height // size + 3, width // size + 3, 1), np.float32)
        image += contrast / 2 * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)
