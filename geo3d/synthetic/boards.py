"""Photographs of a checkerboard with exact corners, flat or bowed, through any camera: data for calibration.

Board frame: the origin is the first inner corner, x along a row of corners, y along a column, z away from the
viewer; corner (i, j) is at square_m (i, j). A bowed board is the paraboloid
z = bow_m (x'^2 / X^2 + y'^2 / Y^2) / 2 about its middle, its half axes X, Y reaching to the outermost corners: the
middle is nearer to the viewer than the corners by `bow_m`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3
from geo3d.synthetic.rays import expose
from geo3d.synthetic.scenes import random_direction


@dataclass(frozen=True)
class BoardOptions:
    """A checkerboard and how it is photographed.

    Attributes
    ----------
    columns, rows : int
        Inner corners along x and along y.
    square_m : float
        Edge of a square, metres.
    bow_m : float
        By how much the outermost corners are behind the middle, metres; negative: in front of it.
    samples : int
        Rays a pixel, along each side.
    blur_px : float
        Standard deviation of the blur of the lens.
    noise : float
        Standard deviation of the image noise in grey levels of 255.
    """

    columns: int = 9
    rows: int = 6
    square_m: float = 0.03
    bow_m: float = 0.0
    samples: int = 4
    blur_px: float = 0.8
    noise: float = 2.0


@dataclass(frozen=True)
class BoardPhoto:
    """A photo of a board and its truth; corners row by row, x running fastest."""

    image: np.ndarray  # (H, W) uint8
    corners: np.ndarray  # (N, 2) float64 pixels, NaN where the camera cannot see
    points: np.ndarray  # (N, 3) float64, board frame, metres
    cam_from_board: SE3


def board_points(options: BoardOptions) -> np.ndarray:
    """(rows * columns, 3) inner corners in the board frame, metres, row by row."""
    j, i = np.divmod(np.arange(options.rows * options.columns), options.columns)
    xy = options.square_m * np.stack([i, j], axis=1).astype(np.float64)
    middle, half = _middle(options)
    return np.column_stack([xy, options.bow_m * np.sum(((xy - middle) / half) ** 2, axis=1) / 2])


def render_board(
    camera: Camera, cam_from_board: SE3, options: BoardOptions | None = None, seed: int = 0
) -> BoardPhoto:
    """Photograph a board, ray by ray: anti-aliased, blurred, noisy.

    Parameters
    ----------
    camera : Camera
        Of any model; its size is the photo's.
    cam_from_board : SE3
        Metres; the first inner corner is the board's origin, x along a row of corners, y along a column.
    options : BoardOptions, optional
    seed : int
        Of the noise.

    Returns
    -------
    BoardPhoto
        The image and its true corners.

    Raises
    ------
    ValueError
        For a board of fewer than 2 x 2 inner corners or of no size.
    """
    options = options or BoardOptions()
    if min(options.columns, options.rows) < 2 or options.square_m <= 0:
        raise ValueError(
            f"a board has at least 2 x 2 inner corners and squares of positive size; got {options.columns} x "
            f"{options.rows} of {options.square_m} m"
        )
    board, rng = options, np.random.default_rng(seed)
    image = expose(
        camera,
        lambda rays: _light(rays, cam_from_board, board),
        board.samples,
        board.blur_px,
        board.noise,
        rng,
    )
    points = board_points(options)
    return BoardPhoto(image, camera.project(cam_from_board.act(points)), points, cam_from_board)


def board_poses(
    camera: Camera,
    count: int,
    options: BoardOptions | None = None,
    max_tilt_deg: float = 35.0,
    margin_px: float = 8.0,
    seed: int = 0,
) -> list[SE3]:
    """Poses of a board for photos that show it whole, all over the image, tilted this way and that.

    Parameters
    ----------
    camera : Camera
    count : int
        Number of poses.
    options : BoardOptions, optional
    max_tilt_deg : float
        Largest angle of a turn away from facing the camera, degrees.
    margin_px : float
        Least distance of the board's rim from the edge of the image, pixels.
    seed : int
        The same seed gives the same poses.

    Returns
    -------
    list of SE3
        `cam_from_board`, metres.

    Raises
    ------
    ValueError
        If no such poses are found: the image is too small for the board.
    """
    options = options or BoardOptions()
    rng = np.random.default_rng(seed)
    square = options.square_m
    rim = np.array([(x, y) for x in (-2, options.columns + 1) for y in (-2, options.rows + 1)]) * square
    rim = np.concatenate([np.column_stack([rim, np.zeros(4)]), board_points(options)])
    middle = np.array([*_middle(options)[0], 0.0])
    size = square * (options.columns + 3)
    poses: list[SE3] = []
    for _ in range(2000 * count):
        ray = camera.unproject(rng.random(2) * [camera.width, camera.height])
        if not np.isfinite(ray).all():
            continue
        forward = ray  # the board faces the camera, then it is turned and tilted
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        facing = np.stack([right, np.cross(forward, right), forward], axis=1)
        tilt = SO3.exp(np.deg2rad(max_tilt_deg) * rng.random() * random_direction(rng)).matrix
        rotation = facing @ tilt
        centre = ray * size * rng.uniform(0.6, 2.2) * camera.mean_focal / camera.width
        pose = SE3(rotation, centre - rotation @ middle)
        pixels = camera.project(pose.act(rim))
        with np.errstate(invalid="ignore"):
            low, high = pixels.min(axis=0), pixels.max(axis=0)
            inside = (low > margin_px).all() and (
                high < np.array([camera.width, camera.height]) - margin_px
            ).all()
        if inside:
            poses.append(pose)
        if len(poses) == count:
            return poses
    raise ValueError(f"found {len(poses)} of {count} poses; make max_tilt_deg or margin_px smaller")


def _middle(options: BoardOptions) -> tuple[np.ndarray, np.ndarray]:
    """Middle of the corners and half of their extent, each (2,), metres."""
    half = options.square_m * np.array([options.columns - 1, options.rows - 1]) / 2
    return half, half


def _light(rays: np.ndarray, cam_from_board: SE3, options: BoardOptions) -> np.ndarray:
    """(...,) light in [0, 1] that comes along rays (..., 3) of the camera: board, paper margin or background."""
    board_from_cam = cam_from_board.inverse()
    o, d = board_from_cam.translation, rays @ board_from_cam.rotation.T
    middle, half = _middle(options)
    # z = k (x'^2 / X^2 + y'^2 / Y^2) along o + t d: a t^2 + b t + c = 0
    k = options.bow_m / 2
    p, q = (o[:2] - middle) / half, d[..., :2] / half
    a = k * np.sum(q * q, axis=-1)
    b = 2 * k * np.sum(q * p, axis=-1) - d[..., 2]
    c = k * np.sum(p * p) - o[2]
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(b * b - 4 * a * c)
        t = 2 * c / (-b + np.copysign(root, -b))  # the root that stays finite when the board is flat
        x = (o[0] + t * d[..., 0]) / options.square_m + 1
        y = (o[1] + t * d[..., 1]) / options.square_m + 1
        hit = (t > 0) & (d[..., 2] > 0)
        paper = hit & (x > -1) & (y > -1) & (x < options.columns + 2) & (y < options.rows + 2)
        checks = paper & (x > 0) & (y > 0) & (x < options.columns + 1) & (y < options.rows + 1)
        dark = checks & ((np.floor(x) + np.floor(y)) % 2 == 0)
    background = 0.38 + 0.08 * np.sin(9 * rays[..., 0]) * np.cos(7 * rays[..., 1])
    return np.where(paper, np.where(dark, 0.07, 0.86), np.nan_to_num(background, nan=0.0))
