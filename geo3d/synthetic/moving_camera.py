"""Two photos by a moving camera of boards before a wall, some of which move: exact depth, flow and occlusion.

Everything is in the frame of camera 0, metres: x right, y down, z forward. A pixel p of photo 0 sees the point X of a
board, which is at X + m when photo 1 is taken (m = 0 but for boards that move), so that

    flow(p) = pi(R (X + m) + t) - p

It is occluded if another board is before X + m in photo 1, or that is outside of the photo.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.synthetic.facades import Facade, photograph_facades
from geo3d.synthetic.rays import pixel_rays
from geo3d.synthetic.textures import noise_texture, repeating_texture

_NEAREST_M, _FARTHEST_M, _WALL_M = 4.0, 8.0, 11.0


@dataclass(frozen=True)
class MovingCameraOptions:
    """What two photos show, and how the camera moves between them.

    Attributes
    ----------
    width, height : int
        Pixels; the focal length is the width.
    translation_m : (3,) tuple
        Centre of camera 1 in the frame of camera 0, metres.
    rotation_deg : (3,) tuple
        Turn of camera 1 about the axes of camera 0, degrees.
    boards : int
        Slanted boards at 4 to 8 m before the wall, which is at 11 m.
    movers : int
        Boards before all others, at 4 m, that move by themselves.
    mover_m : (3,) tuple
        How far, metres.
    texture : "noise" or "repeating"
        Of wall and boards: noise of all scales, or patterns that repeat themselves every few pixels.
    noise : float
        Standard deviation of the noise of each photo, grey levels of 255.
    """

    width: int = 320
    height: int = 240
    translation_m: tuple[float, float, float] = (0.4, 0.05, 0.1)
    rotation_deg: tuple[float, float, float] = (0.5, -1.0, 0.5)
    boards: int = 5
    movers: int = 0
    mover_m: tuple[float, float, float] = (0.05, -0.25, 0.0)
    texture: Literal["noise", "repeating"] = "noise"
    noise: float = 1.5


@dataclass(frozen=True, eq=False)
class MovingCameraPair:
    """Two photos and what is true of them.

    Attributes
    ----------
    image0, image1 : (H, W, 3) uint8
    camera : Camera
        Of both, PINHOLE.
    cam1_from_cam0 : SE3
        Metres.
    depth : (H, W) float64
        z of what each pixel of image0 shows, in the frame of camera 0, metres.
    flow : (H, W, 2) float32
    occlusion : (H, W) bool
        What of image0 is hidden in image1, or outside of it.
    moving : (H, W) bool
        What moves by itself.
    """

    image0: np.ndarray
    image1: np.ndarray
    camera: Camera
    cam1_from_cam0: SE3
    depth: np.ndarray
    flow: np.ndarray
    occlusion: np.ndarray
    moving: np.ndarray


def make_moving_camera_pair(options: MovingCameraOptions | None = None, seed: int = 0) -> MovingCameraPair:
    """Two photos of a made-up place.

    Parameters
    ----------
    options : MovingCameraOptions, optional
    seed : int
        The same gives the same pair.
    """
    options = options or MovingCameraOptions()
    rng = np.random.default_rng([seed, 23])
    camera = Camera.from_focal("PINHOLE", options.width, options.height, options.width)
    turn = SE3.exp([0, 0, 0, *np.deg2rad(options.rotation_deg)]).rotation
    pose = SE3(turn, -turn @ np.array(options.translation_m))
    before = [_wall(options, rng)]
    before += [_board(options, rng, rng.uniform(_NEAREST_M + 1, _FARTHEST_M)) for _ in range(options.boards)]
    before += [_board(options, rng, _NEAREST_M, 0.15) for _ in range(options.movers)]
    still = len(before) - options.movers
    move = np.array(options.mover_m)
    after = [replace(b, corner=b.corner + move) if i >= still else b for i, b in enumerate(before)]
    image0, image1 = (
        photograph_facades(boards, camera, [at], 2, options.noise, 2 * seed + k)[0]
        for k, (boards, at) in enumerate(((before, SE3.identity()), (after, pose)))
    )

    rays = pixel_rays(camera, 1).reshape(-1, 3)
    distance, number = _nearest(before, np.zeros(3), rays)
    points = rays * distance[:, None]
    moving = number >= still
    there = pose.act(points + moving[:, None] * move)
    pixels = camera.project(there)
    towards = pose.inverse()
    back = there / np.linalg.norm(there, axis=1, keepdims=True) @ towards.rotation.T
    seen, _ = _nearest(after, pose.center(), back)
    with np.errstate(invalid="ignore"):
        inside = (pixels >= 0).all(axis=1) & (pixels <= [camera.width, camera.height]).all(axis=1)
    hidden = (seen < np.linalg.norm(there, axis=1) * (1 - 1e-6)) | ~inside
    shape = camera.height, camera.width
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    flow = pixels.reshape(*shape, 2) - np.stack([x, y], axis=-1)
    return MovingCameraPair(
        image0,
        image1,
        camera,
        pose,
        points[:, 2].reshape(shape),
        flow.astype(np.float32),
        hidden.reshape(shape),
        moving.reshape(shape),
    )


def _wall(options: MovingCameraOptions, rng: np.random.Generator) -> Facade:
    """Wide enough to be behind everything; a little askew."""
    side = 3.0 * _WALL_M
    right, down = np.array([side, 0.0, rng.uniform(-0.2, 0.2) * side]), np.array([0.0, side, -0.15 * side])
    return Facade(
        np.array([0.0, 0.0, _WALL_M]) - 0.5 * (right + down),
        right,
        down,
        _picture(options, rng, side, _WALL_M),
    )


def _board(
    options: MovingCameraOptions, rng: np.random.Generator, depth: float, slant: float = 0.5
) -> Facade:
    """A board somewhere in photo 0."""
    aspect = options.height / options.width
    middle = depth * np.array([rng.uniform(-0.35, 0.35), aspect * rng.uniform(-0.3, 0.3), 1.0])
    width, height = depth * rng.uniform(0.2, 0.32, 2) * [1.0, aspect * 1.3]
    right, down = (
        np.array([1.0, 0.0, rng.uniform(-slant, slant)]),
        np.array([0.0, 1.0, rng.uniform(-slant, slant)]),
    )
    side = max(width, height)
    picture = _picture(options, rng, side, depth)
    rows, columns = (max(int(picture.shape[0] * length / side), 2) for length in (height, width))
    return Facade(
        middle - 0.5 * (width * right + height * down), width * right, height * down, picture[:rows, :columns]
    )


def _picture(options: MovingCameraOptions, rng: np.random.Generator, side: float, depth: float) -> np.ndarray:
    """(h, h, 3) uint8 for a square of `side` metres: a texel is a pixel at that depth."""
    base = rng.uniform(70, 185, 3)
    texture = (
        noise_texture(base, rng.uniform(25, 40), rng)
        if options.texture == "noise"
        else repeating_texture(base, rng)
    )
    texels = max(round(side / depth * options.width), 2)
    again = -(-texels // texture.shape[0])
    return np.tile(texture, (again, again, 1))[:texels, :texels].astype(np.uint8)


def _nearest(boards: list[Facade], centre: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of the nearest board along each unit ray (N, 3), infinite where there is none, and its number."""
    distance, number = np.full(len(rays), np.inf), np.zeros(len(rays), np.int64)
    for i, board in enumerate(boards):
        axes = np.linalg.inv(np.stack([board.right, board.down, np.cross(board.right, board.down)], axis=1))
        u0, v0, w0 = axes @ (centre - board.corner)
        du, dv, dw = axes @ rays.T
        with np.errstate(divide="ignore", invalid="ignore"):
            t = -w0 / dw
            u, v = u0 + t * du, v0 + t * dv
            hit = (t > 1e-3) & (t < distance) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
        distance[hit], number[hit] = t[hit], i
    return distance, number
