"""A photo's descriptors in lists by visual word, for matching.

Each descriptor lies in the list of the word that it is most similar to. When it looks for its neighbours in another
photo, it searches the lists of all words that are nearly as similar to it (multi-probe: where the nearest word is
clearly the nearest, few lists are enough).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.features.dot_tiles import ITEMS, interleave
from geo3d.features.match_kernels import nearest_words
from geo3d.features.sift import DESCRIPTOR_LENGTH, QUANTUM
from geo3d.features.words import visual_words

_MARGIN = int(0.05 * QUANTUM**2)  # of similarity, within which words are searched
_MOST_PROBES = 16


@dataclass(frozen=True, eq=False)
class DescriptorIndex:
    """Descriptors in one list a word, each list filled up with zeros to whole blocks of 16.

    Attributes
    ----------
    rows : (S,) int32
        Row of the photo's features in each slot, -1 where it is filled up.
    descriptors : (S, 128) uint8
    blocks : flat uint8
        The descriptors interleaved (`dot_tiles.interleave`).
    block_start : (K + 1,) int64
        At which block each list begins.
    probes, probe_start : (P,) int32 and (K + 1,) int64
        Slots that search each list of another photo besides those in the list of the same word, and where those of
        each list begin.
    """

    rows: np.ndarray
    descriptors: np.ndarray
    blocks: np.ndarray
    block_start: np.ndarray
    probes: np.ndarray
    probe_start: np.ndarray


def index_descriptors(descriptors: np.ndarray, words: np.ndarray | None = None) -> DescriptorIndex:
    """Put the descriptors of a photo into the lists of visual words.

    Parameters
    ----------
    descriptors : (N, 128) uint8
        RootSIFT, as `Features.descriptors`.
    words : (K, 128) uint8, optional
        K a multiple of 16. By default those that come with geo3d; photos that are matched must have the same.

    Raises
    ------
    ValueError
        If the shape or type is another.
    """
    words = visual_words() if words is None else words
    check_descriptors("descriptors", descriptors)
    check_descriptors("words", words)
    if len(words) % ITEMS or not len(words):
        raise ValueError(f"words: their number must be a multiple of {ITEMS}, got {len(words)}")
    ranked = np.empty((len(descriptors), _MOST_PROBES), np.int16)
    nearest_words(padded(descriptors).ravel(), interleave(words), _MARGIN, ranked)
    counts = np.bincount(ranked[:, 0], minlength=len(words))
    block_start = _starts(-(-counts // ITEMS))
    order = np.argsort(ranked[:, 0], kind="stable")
    slots = np.arange(len(order)) + np.repeat(ITEMS * block_start[:-1] - _starts(counts)[:-1], counts)
    rows = np.full(ITEMS * block_start[-1], -1, np.int32)
    rows[slots] = order
    listed = np.zeros((len(rows), DESCRIPTOR_LENGTH), np.uint8)
    listed[slots] = descriptors[order]
    lists = ranked[order, 1:].ravel()
    by_list = np.argsort(lists, kind="stable")[np.count_nonzero(lists < 0) :]
    probe_start = _starts(np.bincount(lists[by_list], minlength=len(words)))
    probes = slots[by_list // (_MOST_PROBES - 1)].astype(np.int32)
    return DescriptorIndex(rows, listed, interleave(listed), block_start, probes, probe_start)


def check_descriptors(name: str, descriptors: np.ndarray) -> None:
    """Raise ValueError if they are not (N, 128) uint8."""
    if descriptors.ndim != 2 or descriptors.shape[1] != DESCRIPTOR_LENGTH or descriptors.dtype != np.uint8:
        raise ValueError(
            f"{name} must be (N, {DESCRIPTOR_LENGTH}) uint8 RootSIFT, "
            f"got {descriptors.shape} {descriptors.dtype}"
        )


def padded(descriptors: np.ndarray) -> np.ndarray:
    """(S, 128): filled up with zeros to whole blocks."""
    result = np.zeros((-(-len(descriptors) // ITEMS) * ITEMS, DESCRIPTOR_LENGTH), np.uint8)
    result[: len(descriptors)] = descriptors
    return result


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
