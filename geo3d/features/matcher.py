"""Matching: mutual nearest neighbours that pass Lowe's ratio test in both directions.

The distance of two RootSIFT descriptors is their angle, `arccos(a . b / 512^2)`, in radians. A match (i, j)
is kept when j is i's nearest, i is j's nearest, the angle is at most `max_distance`, and it is less than
`ratio` times the angle to the second nearest, seen from both sides (so that `match(a, b)` and `match(b, a)`
agree). Lowe 2004.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.features.match_kernels import top_two_both
from geo3d.features.sift import DESCRIPTOR_LENGTH, QUANTUM


@dataclass(frozen=True)
class MatchOptions:
    """Which neighbours are matches.

    Attributes
    ----------
    ratio : float
        Largest ratio of the angles to the nearest and second nearest; 1 turns the test off.
    max_distance : float
        Largest angle in radians.
    mutual : bool
        Each has to be the other's nearest, and to pass the ratio test from both sides.
    """

    ratio: float = 0.8
    max_distance: float = 0.7
    mutual: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio must be in (0, 1], got {self.ratio}")
        if not 0 < self.max_distance <= np.pi:
            raise ValueError(f"max_distance must be in (0, pi] radians, got {self.max_distance}")


def match(d1: np.ndarray, d2: np.ndarray, options: MatchOptions | None = None) -> np.ndarray:
    """Match the descriptors of two photos by exact search.

    Runs on the calling thread if BLAS is held to one (`single_threaded_blas`), and releases the GIL.

    Parameters
    ----------
    d1 : (N, 128) uint8
    d2 : (M, 128) uint8
        RootSIFT, as `Features.descriptors`.
    options : MatchOptions, optional

    Returns
    -------
    (K, 2) uint32
        Rows of d1 and d2, sorted by the first.

    Raises
    ------
    ValueError
        If the descriptors have another shape or type.
    """
    options = options or MatchOptions()
    a, b = as_float("d1", d1), as_float("d2", d2)
    forward, backward = _neighbours(len(a)), _neighbours(len(b))
    top_two_both(a, b, *forward, *backward)
    return select_matches(forward, backward, options)


def match_reference(d1: np.ndarray, d2: np.ndarray, options: MatchOptions | None = None) -> np.ndarray:
    """`match` as the formula: the whole similarity matrix, sorted. For reading and testing.

    Parameters
    ----------
    d1 : (N, 128) uint8
    d2 : (M, 128) uint8
        RootSIFT, as `Features.descriptors`; taken unchecked.
    options : MatchOptions, optional

    Returns
    -------
    (K, 2) uint32
        Rows of d1 and d2, sorted by the first: the same as of `match`.
    """
    options = options or MatchOptions()
    similarity = d1.astype(np.int64) @ d2.astype(np.int64).T
    return select_matches(_top_two(similarity), _top_two(similarity.T), options)


def _top_two(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    padded = np.concatenate([similarity, np.full((len(similarity), 2), -1)], axis=1)
    order = np.argsort(-padded, axis=1, kind="stable")
    rows = np.arange(len(padded))
    best, second = padded[rows, order[:, 0]], padded[rows, order[:, 1]]
    index = np.where(order[:, 0] < similarity.shape[1], order[:, 0], -1)
    return best.astype(np.float32), second.astype(np.float32), index.astype(np.int32)


def _neighbours(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.int32)


def select_matches(
    forward: tuple[np.ndarray, np.ndarray, np.ndarray],
    backward: tuple[np.ndarray, np.ndarray, np.ndarray],
    options: MatchOptions,
) -> np.ndarray:
    """Matches from (best, second, index) of each row seen from either side, (K, 2) uint32."""
    passed, index = _passes(forward, options), forward[2]
    if options.mutual:
        rows = np.nonzero(passed)[0]
        back = backward[2][index[rows]]
        passed[rows] = (back == rows) & _passes(backward, options)[index[rows]]
    rows = np.nonzero(passed)[0]
    return np.stack([rows, index[rows]], axis=1).astype(np.uint32)


def _passes(neighbours: tuple[np.ndarray, np.ndarray, np.ndarray], options: MatchOptions) -> np.ndarray:
    best, second, index = neighbours
    nearest, next_nearest = (np.arccos(np.clip(s / np.float64(QUANTUM**2), -1, 1)) for s in (best, second))
    close = (index >= 0) & (nearest <= options.max_distance)
    return close & ((nearest < options.ratio * next_nearest) | (options.ratio == 1))


def as_float(name: str, descriptors: np.ndarray) -> np.ndarray:
    """Descriptors as contiguous float32, for sgemm.

    Raises
    ------
    ValueError
        If they are not (N, 128) uint8.
    """
    if descriptors.ndim != 2 or descriptors.shape[1] != DESCRIPTOR_LENGTH or descriptors.dtype != np.uint8:
        raise ValueError(
            f"{name} must be (N, {DESCRIPTOR_LENGTH}) uint8 RootSIFT, "
            f"got {descriptors.shape} {descriptors.dtype}"
        )
    return np.ascontiguousarray(descriptors, np.float32)
