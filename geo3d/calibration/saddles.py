"""Corners where black and white meet by turns: refined to sub-pixel and checked, each by what is near it.

How the board lies in the photo round a corner is the affine map x = x0 + A u that fits the nearest known points, u on
the board in metres. From it follow how far the window of refinement may reach without touching anything else that is
printed, and where the four fields round the corner are to be looked at.

Pixels here are OpenCV's, the centre of the top-left pixel at (0, 0).
"""

from __future__ import annotations

import numpy as np

from geo3d.util.require import require

_NEIGHBOURS = 8
_WINDOW = 0.7  # half side of the window, of the clear distance: its corners stay inside
_LOOK = 0.55  # of the clear distance, along both axes of the board
_MOST_MOVED = 1.0  # of the clear distance
_LEAST_CONTRAST = 12.0  # grey levels between dark and bright fields
_LEAST_SHARE = 0.35  # of the usual contrast


def local_affine(at: np.ndarray, places: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Pixels per metre round points of the board, from the nearest points that are known.

    Parameters
    ----------
    at : (N, 2) float
        Points on the board, metres.
    places : (M, 2) float
        Known points on the board, metres.
    pixels : (M, 2) float
        Where the photo shows them.

    Returns
    -------
    (N, 2, 2) float64
        NaN where the nearest points lie on a line.
    """
    found = np.full((len(at), 2, 2), np.nan)
    distance = np.linalg.norm(at[:, None] - places[None], axis=2)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :_NEIGHBOURS]
    for k, rows in enumerate(nearest):
        u, x = places[rows], pixels[rows]
        u, x = u - u.mean(axis=0), x - x.mean(axis=0)
        size = np.linalg.svd(u, compute_uv=False)
        if len(size) == 2 and size[1] > 0.1 * size[0]:
            found[k] = np.linalg.lstsq(u, x, rcond=None)[0].T
    return found


def least_scale(affine: np.ndarray) -> np.ndarray:
    """(N,) pixels per metre in the direction in which they are fewest."""
    scale = np.full(len(affine), np.nan)
    good = np.isfinite(affine).all(axis=(1, 2))
    scale[good] = np.linalg.svd(affine[good], compute_uv=False)[:, 1]
    return scale


def refine_saddles(
    image: np.ndarray, corners: np.ndarray, affine: np.ndarray, clear_m: float, falling: np.ndarray
) -> np.ndarray:
    """Corners to sub-pixel, NaN for what is none.

    Parameters
    ----------
    image : (H, W) uint8
    corners : (N, 2) float
        Rough places, OpenCV's pixels.
    affine : (N, 2, 2) float
        Of `local_affine`.
    clear_m : float
        Distance from a corner within which nothing but its four fields is printed, metres.
    falling : (N,) bool
        Whether the two fields towards +x +y and -x -y are the black ones, else the two others.

    Returns
    -------
    (N, 2) float64
    """
    cv2 = require("cv2")
    clear = clear_m * least_scale(affine)
    height, width = image.shape
    half = np.clip(np.floor(_WINDOW * np.nan_to_num(clear)), 2, 40).astype(int)
    inside = np.all((corners >= half[:, None]) & (corners <= [width - 1, height - 1] - half[:, None]), axis=1)
    usable = inside & np.isfinite(clear)
    refined = np.full((len(corners), 2), np.nan)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-3)
    for size in np.unique(half[usable]):
        rows = np.flatnonzero(usable & (half == size))
        points = np.ascontiguousarray(corners[rows, None], np.float32)
        refined[rows] = cv2.cornerSubPix(image, points, (int(size), int(size)), (-1, -1), stop)[:, 0]
    with np.errstate(invalid="ignore"):
        moved = np.linalg.norm(refined - corners, axis=1) > np.maximum(_MOST_MOVED * clear, 2)
        contrast = _contrast(image, refined, _LOOK * clear_m * affine) * np.where(falling, -1.0, 1.0)
        seen = contrast[np.isfinite(contrast)]
        usual = np.median(seen) if len(seen) else 0.0
        poor = ~(contrast >= max(_LEAST_CONTRAST, _LEAST_SHARE * usual))
    refined[moved | poor] = np.nan
    return refined


def _contrast(image: np.ndarray, corners: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(N,) grey levels by which the fields towards +x +y and -x -y are brighter; zero where not by turns."""
    cv2 = require("cv2")
    signs = np.array([(1, 1), (-1, -1), (1, -1), (-1, 1)], np.float64)
    places = corners[:, None] + np.einsum("nij,kj->nki", steps, signs)
    flat = np.nan_to_num(places, nan=-1e4).astype(np.float32)
    grey = cv2.remap(image, flat, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    a, b = grey[:, :2].astype(np.float64), grey[:, 2:].astype(np.float64)
    gap = np.maximum(a.min(1) - b.max(1), b.min(1) - a.max(1))
    found = np.where(gap > 0, a.mean(1) - b.mean(1), 0.0)
    return np.where(np.isfinite(places).all(axis=(1, 2)), found, np.nan)
