"""The shape of a board that is not quite flat: a printed sheet bows by a millimetre, which costs a tenth of a pixel.

With u, v in [-1, 1] over the target, a point at (x, y) lies at

    z = b1 (1 - u^2) + b2 (1 - v^2) + b3 u v + b4 (1 - u^2) (1 - v^2) + b5 u v (u^2 - v^2)

metres: the first two are those of mrcal (Kogan, "mrcal: camera calibration and SFM", deformations of the board), the
third a twist. All terms are even under half a turn, so that it does not matter which way round a board was taken to be.
"""

from __future__ import annotations

import numpy as np

MOST_TERMS = 5


def shape_terms(points: np.ndarray, count: int) -> np.ndarray:
    """The terms at points of a target.

    Parameters
    ----------
    points : (N, 3)
        Board frame, metres.
    count : int
        How many of the terms, 0 to 5.

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
    terms = [1 - u * u, 1 - v * v, u * v, (1 - u * u) * (1 - v * v), u * v * (u * u - v * v)]
    return np.stack([*terms, u], axis=1)[:, :count]
