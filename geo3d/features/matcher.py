"""Matching: mutual nearest neighbours that pass Lowe's ratio test in both directions.

The distance of two RootSIFT descriptors is their angle, `arccos(a . b / 512^2)`, in radians. A match (i, j)
is kept when j is i's nearest, i is j's nearest, the angle is at most `max_distance`, and it is less than
`ratio` times the angle to the second nearest, seen from both sides (so that `match(a, b)` and `match(b, a)`
agree). Lowe 2004.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.features.dot_tiles import ITEMS, interleave
from geo3d.features.match_kernels import search_lists
from geo3d.features.sift import QUANTUM
from geo3d.features.word_index import DescriptorIndex, check_descriptors, padded

_CHUNK = (
    64  # blocks that exact search compares with one photo's descriptors before it goes on: they fit a cache
)

_FEW, _FEATURES_A_CHANCE = 20, 2048  # matches by chance: 20, and one more for every 2,048 features


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

    Every descriptor is compared with every other, which for two photos takes ten times as long as `match_indexed`.
    Runs on the calling thread and releases the GIL.

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
    check_descriptors("d1", d1)
    check_descriptors("d2", d2)
    items = padded(d2)
    blocks = len(items) // ITEMS
    chunk_start = np.append(np.arange(0, blocks, _CHUNK), blocks)
    chunks = len(chunk_start) - 1
    probes = np.tile(np.arange(len(d1), dtype=np.int32), chunks)
    forward, backward = _nothing(len(d1)), _nothing(len(items))
    queries = np.ascontiguousarray(d1).ravel()
    probe_start = len(d1) * np.arange(chunks + 1)
    search_lists(
        queries, probes, probe_start, interleave(items), chunk_start, forward.ravel(), backward.ravel()
    )
    return select_matches(forward, backward, options or MatchOptions())


def match_indexed(
    index1: DescriptorIndex, index2: DescriptorIndex, options: MatchOptions | None = None
) -> np.ndarray:
    """Match two photos by searching the lists of similar visual words only.

    Finds about 98 in 100 of the matches of `match`, and one or two in 100 that it refuses because it knows of a second
    neighbour. Runs on the calling thread and releases the GIL.

    Parameters
    ----------
    index1, index2 : DescriptorIndex
        From `index_descriptors` with the same words.
    options : MatchOptions, optional

    Returns
    -------
    (K, 2) uint32
        Rows of the features of both photos, sorted by the first.

    Raises
    ------
    ValueError
        If the indices have different numbers of words.
    """
    matches = _search(index1, index2, options or MatchOptions(), 0)
    assert matches is not None
    return matches


def match_overlapping(
    index1: DescriptorIndex, index2: DescriptorIndex, options: MatchOptions | None = None
) -> np.ndarray | None:
    """`match_indexed`, given up early where two photos clearly do not overlap.

    First each descriptor looks in the list of its own word alone. That takes a fifth of the time and finds half of the
    matches and more. Two photos that have nothing in common give 10 to 140 by chance, most where walls repeat; pairs
    with fewer than 20, and one more for every 2,048 features, are given up. Measured on 621 pairs of six sets at 8,192,
    3,000 and 1,000 features: of the pairs with at least 15 inliers none was given up, of photos of different places
    half, of drone photos that do not overlap three of four.

    Parameters
    ----------
    index1, index2 : DescriptorIndex
        From `index_descriptors` with the same words.
    options : MatchOptions, optional

    Returns
    -------
    (K, 2) uint32 or None
        Rows of the features of both photos, sorted by the first; None where the photos do not overlap.

    Raises
    ------
    ValueError
        If the indices have different numbers of words.
    """
    count = min(int(np.count_nonzero(index.rows >= 0)) for index in (index1, index2))
    return _search(index1, index2, options or MatchOptions(), _FEW + count // _FEATURES_A_CHANCE)


def _search(
    index1: DescriptorIndex, index2: DescriptorIndex, options: MatchOptions, least: int
) -> np.ndarray | None:
    """Matches; None if in the lists of the same words alone there are less than `least`."""
    if len(index1.block_start) != len(index2.block_start):
        raise ValueError(
            f"index1 and index2 must be made with the same words, got {len(index1.block_start) - 1} and "
            f"{len(index2.block_start) - 1}"
        )
    forward, backward = _nothing(len(index1.rows)), _nothing(len(index2.rows))
    queries, blocks, starts = index1.descriptors.ravel(), index2.blocks, index2.block_start
    own = np.arange(len(index1.rows), dtype=np.int32)
    search_lists(queries, own, ITEMS * index1.block_start, blocks, starts, forward.ravel(), backward.ravel())
    if least and len(select_matches(forward, backward, options)) < least:
        return None
    search_lists(
        queries, index1.probes, index1.probe_start, blocks, starts, forward.ravel(), backward.ravel()
    )
    slots = select_matches(forward, backward, options)
    matches = np.stack([index1.rows[slots[:, 0]], index2.rows[slots[:, 1]]], axis=1).astype(np.uint32)
    return matches[np.argsort(matches[:, 0], kind="stable")]


def _nothing(count: int) -> np.ndarray:
    """(3, count) int32: the state of a search that has not begun."""
    state = np.zeros((3, count), np.int32)
    state[2] = -1
    return state


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


def _top_two(similarity: np.ndarray) -> np.ndarray:
    """(3, N): largest, second largest and column of the largest of each row; a similarity of 0 is none."""
    padded = np.concatenate([similarity, np.zeros((len(similarity), 2), np.int64)], axis=1)
    order = np.argsort(-padded, axis=1, kind="stable")
    rows = np.arange(len(padded))
    best, second = padded[rows, order[:, 0]], padded[rows, order[:, 1]]
    return np.stack([best, second, np.where(best > 0, order[:, 0], -1)])


def select_matches(forward: np.ndarray, backward: np.ndarray, options: MatchOptions) -> np.ndarray:
    """Matches from the neighbours of either side.

    Parameters
    ----------
    forward, backward : (3, N) and (3, M) integers
        Largest and second largest product of each descriptor with those of the other photo, and the row of the
        largest or -1.
    options : MatchOptions

    Returns
    -------
    (K, 2) uint32
    """
    rows = np.flatnonzero(forward[2] >= 0)
    index = forward[2][rows]
    if options.mutual:
        same = backward[2][index] == rows
        rows, index = rows[same], index[same]
    passed = _passes(forward[0, rows], forward[1, rows], options)
    if options.mutual:
        passed &= _passes(backward[0, index], backward[1, index], options)
    return np.stack([rows[passed], index[passed]], axis=1).astype(np.uint32)


def _passes(best: np.ndarray, second: np.ndarray, options: MatchOptions) -> np.ndarray:
    nearest, next_nearest = (np.arccos(np.clip(s / QUANTUM**2, -1, 1)) for s in (best, second))
    return (nearest <= options.max_distance) & (
        (nearest < options.ratio * next_nearest) | (options.ratio == 1)
    )
