"""The shape of a board that is not quite flat: a printed sheet bows by a millimetre, which costs a tenth of a pixel.

With u, v in [-1, 1] over the target, a point at (x, y) lies at

    z = b1 (1 - u^2) + b2 (1 - v^2) + b3 u v
      + b4 (1 - u^2) (1 - v^2) + b5 u v (u^2 - v^2)
      + b6 u^2 (1 - u^2) + b7 v^2 (1 - v^2) + b8 u v (u^2 + v^2)
      + b9 u (1 - u^2) + b10 v (1 - u^2) + b11 u (1 - v^2) + b12 v (1 - v^2)

metres. The first two are those of mrcal (Kogan, "mrcal: camera calibration and SFM", deformations of the board), with
the third, a twist, they are every surface of second degree; the first eight are every one of fourth degree that is the
same after half a turn, so that it does not matter which way round a board was taken to be; all twelve are every one of
fourth degree. (A plane is the board's pose.) That the board's shape can be found together with the camera is known from
Strobl and Hirzinger, "More accurate pinhole camera calibration with imperfect planar target", 2011.
"""

from __future__ import annotations

import numpy as np

SHAPES = (3, 5, 8, 12)  # how many terms are worth trying
MOST_TERMS = 12


def shape_terms(points: np.ndarray, count: int) -> np.ndarray:
    """The terms at points of a target.

    Parameters
    ----------
    points : (N, 3)
        Board frame, metres.
    count : int
        How many of the terms, 0 to 12.

    Returns
    -------
    (N, count) float64
        By which the coefficients, metres, are multiplied.

    Raises
    ------
    ValueError
        If there are no such terms.
    """
    if not 0 <= count <= MOST_TERMS:
        raise ValueError(f"count must be 0 to {MOST_TERMS}, got {count}")
    xy = np.asarray(points, np.float64)[:, :2]
    low, high = xy.min(axis=0), xy.max(axis=0)
    u, v = (2 * (xy - low) / (high - low) - 1).T
    p, q = 1 - u * u, 1 - v * v
    even = [p, q, u * v, p * q, u * v * (u * u - v * v), u * u * p, v * v * q, u * v * (u * u + v * v)]
    return np.stack([*even, u * p, v * p, u * q, v * q], axis=1)[:, :count]


def depths(points: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """How far the points of a bent board are off the plane that is nearest to them all.

    Parameters
    ----------
    points : (N, 3)
        Board frame, metres.
    shape : (B,)
        Coefficients, metres.

    Returns
    -------
    (N,) float64
        Along z, metres.
    """
    z = shape_terms(points, len(shape)) @ shape
    plane = np.column_stack([np.ones(len(points)), np.asarray(points)[:, :2]])
    return z - plane @ np.linalg.lstsq(plane, z, rcond=None)[0]


def shapes_told(points: np.ndarray, seen: np.ndarray) -> tuple[int, ...]:
    """Which of `SHAPES` the points that were seen tell apart: three rows of corners say nothing of a fourth degree.

    Parameters
    ----------
    points : (N, 3)
        Of the whole target, board frame, metres.
    seen : (K,) int
        Rows of those seen.

    Returns
    -------
    tuple of int
        Counts of terms, ascending; 0 alone if they tell none.
    """
    plane = np.column_stack([np.ones(len(points)), points[:, :2] / np.abs(points[:, :2]).max()])
    told = []
    for count in SHAPES:
        surface = np.column_stack([plane, shape_terms(points, count)])[seen]
        if np.linalg.matrix_rank(surface, tol=1e-3) == 3 + count:
            told.append(count)
    return tuple(told) or (0,)
