"""Corners of a checkerboard to hundredths of a pixel, by the symmetry of what is round them.

After half a turn about a corner the four squares that meet there look the same. With steps u, v to the next corners
along row and column, and the changes of these steps uu, uv, vv, the corner c

    minimises  sum w(s, t) (I(c + even + odd) - I(c + even - odd))^2
    odd = s u + t v,   even = s^2 uu / 2 + s t uv + t^2 vv / 2

over a window of s, t round it, by Gauss-Newton: the window follows to second order what lens and perspective do to the
board, and a symmetric blur changes nothing. Schops, Larsson, Pollefeys and Sattler, "Why having 10,000 parameters in
your camera model is better than twelve", 2020, 3.1, have this cost; the second order is ours.

Pixels here are OpenCV's, the centre of the top-left pixel at (0, 0).
"""

from __future__ import annotations

import numpy as np

from geo3d.calibration.lattice import step_along
from geo3d.util.require import require

_SHARE = 0.6  # half side of the window, of the step to the next corner
_LARGEST_HALF, _LEAST_HALF = 12.0, 2.0  # pixels
_SAMPLES = 15  # along each side
_SMOOTH_PX = 0.7
_MARGIN_PX = 32  # of the part of the photo that is looked at
_ROUNDS = 2  # of window and corners
_ITERATIONS = 8
_MOST_MOVED_PX = 1.5


def refine_by_symmetry(image: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Corners to where the image is most symmetric round them.

    Parameters
    ----------
    image : (H, W) uint8
    lattice : (rows, columns, 2) float64
        To a few tenths of a pixel; NaN where no corner is known.

    Returns
    -------
    (rows, columns, 2) float64
        As it came where a corner has no neighbour along row or column, is within two pixels of the edge of the photo,
        or would move by more than 1.5 pixels.
    """
    if not np.isfinite(lattice).any():
        return lattice
    corner = np.maximum(np.nanmin(lattice, axis=(0, 1)).astype(int) - _MARGIN_PX, 0)
    end = np.nanmax(lattice, axis=(0, 1)).astype(int) + _MARGIN_PX
    part = image[corner[1] : end[1], corner[0] : end[0]]
    return _refine(part, lattice - corner) + corner


def _refine(image: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    cv2 = require("cv2")
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), _SMOOTH_PX)
    images = [
        smooth,
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8),
        cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8),
    ]
    side = np.linspace(-1, 1, _SAMPLES)
    window = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)[
        : _SAMPLES**2 // 2
    ]  # the other half mirrors it
    weight = np.exp(-2 * np.sum(window**2, axis=1))
    refined = lattice
    for _ in range(_ROUNDS):
        known, odd, even = _windows(refined, window, image.shape)
        moved = _most_symmetric(images, refined[known], odd, even, weight)
        close = np.linalg.norm(moved - lattice[known], axis=1) <= _MOST_MOVED_PX
        refined = refined.copy()
        refined[known] = np.where(close[:, None], moved, lattice[known])
    return refined


def _windows(
    lattice: np.ndarray, window: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which corners have a window (rows, columns), and its odd and even parts, each (N, K, 2)."""
    steps = [step_along(lattice, axis) for axis in (1, 0)]
    size = np.array(shape[::-1])
    room = np.minimum(lattice + 0.5, size - 0.5 - lattice).min(axis=2) - 1.0
    half = np.minimum(room, _LARGEST_HALF)
    lengths = [np.linalg.norm(step, axis=2) for step in steps]
    with np.errstate(invalid="ignore"):
        known = np.isfinite(lengths[0] + lengths[1]) & (half >= _LEAST_HALF)
    (u, v), (uu, uv, vv) = (s[known] for s in steps), (c[known] for c in _changes(lattice))
    shares = [np.minimum(_SHARE, half[known] / length[known])[:, None] for length in lengths]
    s, t = (share * window[:, k] for k, share in enumerate(shares))
    odd = s[..., None] * u[:, None] + t[..., None] * v[:, None]
    even = 0.5 * s[..., None] ** 2 * uu[:, None] + 0.5 * t[..., None] ** 2 * vv[:, None]
    return known, odd, even + (s * t)[..., None] * uv[:, None]


def _changes(lattice: np.ndarray) -> list[np.ndarray]:
    """Second differences along rows, of rows along columns, along columns: at the rim those next to it; else zero."""
    p = np.pad(lattice, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    along = p[1:-1, 2:] + p[1:-1, :-2] - 2 * lattice
    across = (p[2:, 2:] - p[2:, :-2] - p[:-2, 2:] + p[:-2, :-2]) / 4
    down = p[2:, 1:-1] + p[:-2, 1:-1] - 2 * lattice
    return [np.nan_to_num(_spread(found)) for found in (along, across, down)]


def _spread(values: np.ndarray) -> np.ndarray:
    """(rows, columns, 2) with what is not known taken from a neighbour that is."""
    for axis in (0, 1):
        for by in (1, -1):
            pad = [(0, 0), (0, 0), (0, 0)]
            pad[axis] = (1, 0) if by > 0 else (0, 1)
            kept = np.delete(values, -1 if by > 0 else 0, axis=axis)
            values = np.where(np.isfinite(values), values, np.pad(kept, pad, constant_values=np.nan))
    return values


def _most_symmetric(
    images: list[np.ndarray], corners: np.ndarray, odd: np.ndarray, even: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """(N, 2) Gauss-Newton from the corners, `images` being grey levels and their slopes along x and y."""
    cv2 = require("cv2")
    corners, count = corners.copy(), len(weight)
    for _ in range(_ITERATIONS):
        middle = corners[:, None] + even
        places = np.concatenate([middle + odd, middle - odd], axis=1).astype(np.float32)
        seen = [
            cv2.remap(level, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(
                np.float64
            )
            for level in images
        ]
        differ, *slopes = (level[:, :count] - level[:, count:] for level in seen)
        J = np.stack(slopes, axis=-1)
        normal = np.einsum("nki,k,nkj->nij", J, weight, J) + 1e-6 * np.eye(2)
        step = np.linalg.solve(normal, -np.einsum("nki,k,nk->ni", J, weight, differ)[..., None])[..., 0]
        corners += step
        if np.abs(step).max(initial=0.0) < 1e-3:
            break
    return corners
