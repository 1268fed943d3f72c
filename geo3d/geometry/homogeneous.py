"""Homogeneous coordinates: (x, 1) stands for x, and (x, w) for x / w."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def to_homogeneous(points: ArrayLike) -> np.ndarray:
    """(..., n + 1) points (..., n) with a 1 appended.

    Raises
    ------
    ValueError
        If a single number is given.

    Examples
    --------
    >>> to_homogeneous([[2.0, 3.0]]).tolist()
    [[2.0, 3.0, 1.0]]
    """
    x = np.asarray(points, np.float64)
    if x.ndim == 0:
        raise ValueError("points: expected shape (..., n), got a single number")
    return np.concatenate([x, np.ones((*x.shape[:-1], 1))], -1)


def from_homogeneous(points: ArrayLike) -> np.ndarray:
    """(..., n) points (..., n + 1) divided by their last coordinate; points at infinity (w = 0) become NaN.

    Raises
    ------
    ValueError
        If the last dimension is less than 2.
    """
    x = np.asarray(points, np.float64)
    if x.ndim == 0 or x.shape[-1] < 2:
        raise ValueError(f"points: expected shape (..., n + 1) with n >= 1, got {x.shape}")
    w = x[..., -1:]
    return x[..., :-1] / np.where(w == 0, np.nan, w)
