"""Corners where black and white meet by turns: refined to sub-pixel, checked, and found where a detector missed them.

A detector of markers gives some corners roughly. Each is refined in a window that touches nothing else that is printed,
and compared with what the corners near it say (`board_map`); then the corners that are still missing are predicted from
those, ring by ring, refined, and kept if the four fields round them have the colours of the print.

Pixels here are OpenCV's, the centre of the top-left pixel at (0, 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.calibration.board_map import BoardMap, fit_board_map
from geo3d.calibration.subpixel import refine_corners
from geo3d.util.require import require

_WINDOW = 0.7  # half side of the window, of the clear distance: its corners stay inside
_LEAST_CLEAR_PX = 4.0
_LOOK = 0.42  # where the four fields are looked at, of the clear distance along both axes of the board
_LEAST_CONTRAST = 12.0  # grey levels between dark and bright fields
_LEAST_SHARE = 0.35  # of the usual contrast
_MOST_OFF_PX, _MOST_OFF = 1.0, 0.2  # from what the others say: pixels, or of the clear distance


@dataclass(frozen=True, eq=False)
class SaddleGrid:
    """The corners of a print.

    Attributes
    ----------
    places : (N, 2) float64
        On the board, metres.
    falling : (N,) bool
        Whether the two fields towards +x +y and -x -y are the black ones, else the two others.
    clear_m : float
        Distance from a corner within which nothing but its four fields is printed, metres.
    reach_m : float
        Distance to neighbours from which a corner may be predicted, metres.
    """

    places: np.ndarray
    falling: np.ndarray
    clear_m: float
    reach_m: float


def find_saddles(image: np.ndarray, grid: SaddleGrid, ids: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """All corners that the photo shows, from some that are known roughly.

    Parameters
    ----------
    image : (H, W) uint8
    grid : SaddleGrid
    ids : (M,) int
        Rows of `grid.places`.
    pixels : (M, 2) float
        About where they are.

    Returns
    -------
    (N, 2) float64
        NaN where no corner is seen.
    """
    found = np.full_like(grid.places, np.nan)
    near = fit_board_map(grid.places[ids], pixels, image.shape)
    if near is None:
        return found
    found[ids] = _refined(image, grid, ids, pixels, near, None)
    while True:
        found = _agreeing(image, grid, found)
        known = np.flatnonzero(np.isfinite(found[:, 0]))
        near = fit_board_map(grid.places[known], found[known], image.shape)
        missing = np.flatnonzero(~np.isfinite(found[:, 0]))
        if near is None or not len(missing):
            return found
        apart = np.linalg.norm(grid.places[missing, None] - grid.places[known][None], axis=2)
        missing = missing[apart.min(axis=1) <= 1.01 * grid.reach_m]
        contrast = _contrast(image, grid, known, found[known], near)
        grown = found.copy()
        predicted = near.predict(grid.places[missing])
        grown[missing] = _refined(image, grid, missing, predicted, near, float(np.median(contrast)))
        grown = _agreeing(image, grid, grown)
        if np.isfinite(grown[:, 0]).sum() <= len(known):
            return found
        found = grown


def _refined(
    image: np.ndarray,
    grid: SaddleGrid,
    ids: np.ndarray,
    pixels: np.ndarray,
    near: BoardMap,
    usual: float | None,
) -> np.ndarray:
    """(M, 2) corners to sub-pixel, NaN for what is none; `usual` is the contrast of the corners that are known."""
    clear = grid.clear_m * near.least_scale(grid.places[ids])
    height, width = image.shape
    half = np.clip(np.floor(_WINDOW * clear), 2, 40).astype(int)
    inside = np.all((pixels >= half[:, None]) & (pixels <= [width - 1, height - 1] - half[:, None]), axis=1)
    usable = inside & (clear >= _LEAST_CLEAR_PX)
    refined = np.full((len(ids), 2), np.nan)
    refined[usable] = refine_corners(image, pixels[usable], half[usable])
    with np.errstate(invalid="ignore"):
        moved = np.linalg.norm(refined - pixels, axis=1) > np.maximum(clear, 2)
        contrast = _contrast(image, grid, ids, refined, near)
        if usual is None:
            seen = contrast[contrast > 0]
            usual = float(np.median(seen)) if len(seen) else 0.0
        poor = ~(contrast >= max(_LEAST_CONTRAST, _LEAST_SHARE * usual))
    refined[moved | poor] = np.nan
    return refined


def _agreeing(image: np.ndarray, grid: SaddleGrid, found: np.ndarray) -> np.ndarray:
    """Without the corners that stand elsewhere than those near them say; the worst of each neighbourhood first."""
    found = found.copy()
    while True:
        ids = np.flatnonzero(np.isfinite(found[:, 0]))
        places = grid.places[ids]
        near = fit_board_map(places, found[ids], image.shape)
        if near is None or len(ids) < 6:
            return found
        most = np.maximum(_MOST_OFF_PX, _MOST_OFF * grid.clear_m * near.least_scale(places))
        off = np.linalg.norm(found[ids] - near.predict(places, without_own=True), axis=1) / most
        off = np.nan_to_num(off, nan=np.inf)
        apart = np.linalg.norm(places[:, None] - places[None], axis=2)
        worst = off >= np.where(apart <= 1.5 * grid.reach_m, off[None], 0).max(axis=1)
        wrong = ids[(off > 1) & worst]
        if not len(wrong):
            return found
        found[wrong] = np.nan


def _contrast(
    image: np.ndarray, grid: SaddleGrid, ids: np.ndarray, corners: np.ndarray, near: BoardMap
) -> np.ndarray:
    """(M,) grey levels from the black fields of print up to the white ones, at their nearest; 0 if not by turns."""
    cv2 = require("cv2")
    signs = np.array([(1, 1), (-1, -1), (1, -1), (-1, 1)], np.float64)
    steps = _LOOK * grid.clear_m * near.affine(grid.places[ids])
    places = corners[:, None] + np.einsum("nij,kj->nki", steps, signs)
    flat = np.nan_to_num(places, nan=-1e4).astype(np.float32)
    grey = cv2.remap(image, flat, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float64)
    a, b = grey[:, :2], grey[:, 2:]
    gap = np.maximum(a.min(1) - b.max(1), 0) - np.maximum(b.min(1) - a.max(1), 0)
    found = gap * np.where(grid.falling[ids], -1.0, 1.0)
    return np.where(np.isfinite(places).all(axis=(1, 2)), found, np.nan)
