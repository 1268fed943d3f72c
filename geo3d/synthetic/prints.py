"""Photographs of a flat print of black rectangles and discs on white paper, through any camera.

Light is gathered ray by ray, several in a pixel: where the ray through the pixel meets the plane z = 0 of the board
frame it is black or white. Metres; x to the right, y down, z away from the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.synthetic.rays import expose

_BLACK, _WHITE = 0.07, 0.86


@dataclass(frozen=True)
class PrintOptions:
    """How a print is photographed.

    Attributes
    ----------
    samples : int
        Rays a pixel, along each side.
    blur_px : float
        Standard deviation of the blur of the lens.
    noise : float
        Standard deviation of the image noise in grey levels of 255.
    """

    samples: int = 4
    blur_px: float = 0.8
    noise: float = 2.0


def render_print(
    camera: Camera,
    cam_from_board: SE3,
    rectangles: np.ndarray,
    discs: np.ndarray,
    paper: np.ndarray,
    options: PrintOptions | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Photograph a print, ray by ray: anti-aliased, blurred, noisy.

    Parameters
    ----------
    camera : Camera
        Of any model; its size is the photo's.
    cam_from_board : SE3
        Metres.
    rectangles : (N, 4) float
        Black: x and y of the top left corner, width, height; board frame, metres.
    discs : (M, 3) float
        Black: x and y of the centre, radius; metres.
    paper : (4,) float
        The white sheet, as a rectangle.
    options : PrintOptions, optional
    seed : int
        Of the noise.

    Returns
    -------
    (H, W) uint8
    """
    options = options or PrintOptions()
    ink = _Ink(np.asarray(rectangles, np.float64), np.asarray(discs, np.float64))
    sheet = np.asarray(paper, np.float64)
    rng = np.random.default_rng(seed)
    return expose(
        camera,
        lambda rays: _light(rays, cam_from_board, ink, sheet),
        options.samples,
        options.blur_px,
        options.noise,
        rng,
    )


class _Ink:
    """Answers which points are black: rectangles by the cells between all their edges, discs one by one."""

    def __init__(self, rectangles: np.ndarray, discs: np.ndarray) -> None:
        low, high = rectangles[:, :2], rectangles[:, :2] + rectangles[:, 2:]
        self.edges = [np.unique(np.concatenate([low[:, k], high[:, k]])) for k in (0, 1)]
        self.cells = np.zeros([len(edges) + 1 for edges in self.edges], bool)
        first, last = (
            [np.searchsorted(self.edges[k], side[:, k]) + 1 for k in (0, 1)] for side in (low, high)
        )
        for x0, y0, x1, y1 in zip(*first, *last):
            self.cells[x0:x1, y0:y1] = True
        self.discs = discs

    def is_black(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        black = self.cells[tuple(np.searchsorted(e, v, side="right") for e, v in zip(self.edges, (x, y)))]
        for cx, cy, radius in self.discs:
            black |= (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        return black


def _light(rays: np.ndarray, cam_from_board: SE3, ink: _Ink, paper: np.ndarray) -> np.ndarray:
    """(...,) light in [0, 1] that comes along rays (..., 3) of the camera."""
    board_from_cam = cam_from_board.inverse()
    origin, d = board_from_cam.translation, rays @ board_from_cam.rotation.T
    with np.errstate(invalid="ignore", divide="ignore"):
        t = -origin[2] / d[..., 2]
        x, y = origin[0] + t * d[..., 0], origin[1] + t * d[..., 1]
        hit = (t > 0) & (d[..., 2] > 0)
        hit &= (x > paper[0]) & (y > paper[1]) & (x < paper[0] + paper[2]) & (y < paper[1] + paper[3])
    light = 0.38 + 0.08 * np.sin(9 * rays[..., 0]) * np.cos(7 * rays[..., 1])
    light = np.nan_to_num(light, nan=0.0)
    light[hit] = np.where(ink.is_black(x[hit], y[hit]), _BLACK, _WHITE)
    return light
