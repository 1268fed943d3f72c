"""Which photos look alike, by one vector a photo: for sets too large to compare every pair.

Of each visual word w, the descriptors d that are most similar to it say what is there by the direction of

    v_w = sum (d - w)

and a photo's signature is all these directions one behind the other (VLAD; each word counts the same, however often it
occurs). Two photos are as alike as the mean cosine over the words that either has.

Jegou et al., "Aggregating local descriptors into a compact image representation", CVPR 2010; Arandjelovic and
Zisserman, "All about VLAD", CVPR 2013.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from geo3d.features.dot_tiles import interleave
from geo3d.features.match_kernels import nearest_words
from geo3d.features.pairs import Pair, sorted_pairs
from geo3d.features.word_index import check_descriptors, padded
from geo3d.features.words import visual_words

_UNIT = (
    127  # of the directions, rounded to int8: their products are integers, and sums of them exact in float32
)
_BLOCK = 512  # signatures compared at once


def signature(descriptors: np.ndarray) -> np.ndarray:
    """What a photo shows, as one vector.

    Parameters
    ----------
    descriptors : (N, 128) uint8
        RootSIFT, as `Features.descriptors`.

    Returns
    -------
    (256, 128) int8
        Direction of the residuals of each visual word, times 127; zeros where the photo does not have the word.

    Raises
    ------
    ValueError
        If the shape or type is another.
    """
    check_descriptors("descriptors", descriptors)
    words = visual_words()
    nearest = np.empty((len(descriptors), 1), np.int16)
    nearest_words(padded(descriptors).ravel(), interleave(words), 0, nearest)
    order = np.argsort(nearest[:, 0], kind="stable")
    counts = np.bincount(nearest[:, 0], minlength=len(words))
    used = np.flatnonzero(counts)
    residual = np.zeros(words.shape)
    if len(used):
        start = (np.cumsum(counts) - counts)[used]
        total = np.add.reduceat(descriptors[order].astype(np.int32), start)
        residual[used] = total - counts[used, None] * words[used].astype(np.int64)
    length = np.linalg.norm(residual, axis=1, keepdims=True)
    return np.rint(_UNIT * residual / np.maximum(length, 1)).astype(np.int8)


def likeness(signatures: np.ndarray) -> np.ndarray:
    """Mean cosine of the words of every two photos.

    Parameters
    ----------
    signatures : (V, 256, 128) int8
        As from `signature`.

    Returns
    -------
    (V, V) float32
        Symmetric, from -1 to 1.
    """
    count = len(signatures)
    used = np.count_nonzero(signatures.any(axis=2), axis=1).reshape(-1)
    flat = signatures.reshape(count, -1)
    result = np.zeros((count, count), np.float32)
    for i in range(0, count, _BLOCK):
        left = flat[i : i + _BLOCK].astype(np.float32)
        for j in range(i, count, _BLOCK):
            products = left @ flat[j : j + _BLOCK].astype(np.float32).T
            words = np.sqrt(np.outer(used[i : i + _BLOCK], used[j : j + _BLOCK]))
            result[i : i + _BLOCK, j : j + _BLOCK] = products / np.maximum(_UNIT**2 * words, 1)
            result[j : j + _BLOCK, i : i + _BLOCK] = result[i : i + _BLOCK, j : j + _BLOCK].T
    return result


def retrieval_pairs(signatures: Mapping[str, np.ndarray], max_neighbours: int = 30) -> list[Pair]:
    """Each photo with those that look most like it.

    Parameters
    ----------
    signatures : mapping of name to (256, 128) int8
        As from `signature`.
    max_neighbours : int
        How many of each photo are taken (a pair is taken when either wants it).

    Raises
    ------
    ValueError
        If `max_neighbours` is less than 1.
    """
    if max_neighbours < 1:
        raise ValueError(f"max_neighbours must be at least 1, got {max_neighbours}")
    names = sorted(signatures)
    if len(names) < 2:
        return []
    alike = likeness(np.stack([signatures[name] for name in names]))
    np.fill_diagonal(alike, -np.inf)
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, : min(max_neighbours, len(names) - 1)]
    return sorted_pairs((names[i], names[j]) for i, row in enumerate(nearest) for j in row)
