"""Codebooks of a file of Gaussians: 256 numbers that stand for all, and up to 65,536 rows that stand for all rows.

Both lessen the sum of squared errors. Numbers: Lloyd's iteration on the sorted values (Lloyd 1982). Rows: the set with
the largest error is split in two, at the mean of its widest column, until there are as many sets as wanted; each is
stood for by its mean.
"""

from __future__ import annotations

import heapq

import numpy as np

_ITERATIONS = 30
_SAMPLES = 1 << 18  # numbers that a codebook is made of


def number_codebook(values: np.ndarray, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """(size,) float32 ascending, and for each of `values` which one stands for it, uint8 in the shape of `values`."""
    flat = np.sort(values, axis=None)
    levels = np.unique(flat)
    if len(levels) <= size:
        filling = levels[-1:] if len(levels) else np.zeros(1, flat.dtype)
        levels = np.concatenate([levels, np.repeat(filling, size - len(levels))])
        return levels.astype(np.float32), _nearest(levels, values)
    # Half of the first guess by frequency, half even, for the outliers; an empty cell goes where the error is largest.
    flat = flat[np.linspace(0, len(flat) - 1, min(len(flat), _SAMPLES)).round().astype(np.int64)].astype(
        np.float64
    )
    where = np.linspace(0, len(flat) - 1, size // 2).round().astype(np.int64)
    levels = np.sort(np.concatenate([flat[where], np.linspace(flat[0], flat[-1], size - size // 2)]))
    sums, squares = (np.concatenate([[0.0], np.cumsum((flat - flat.mean()) ** power)]) for power in (1, 2))
    for _ in range(_ITERATIONS):
        edges = np.concatenate([[0], np.searchsorted(flat, (levels[1:] + levels[:-1]) / 2), [len(flat)]])
        counts = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(counts, 1)
        errors = np.diff(squares[edges]) - counts * means**2
        levels = np.where(counts > 0, means + flat.mean(), levels)
        empty = np.flatnonzero(counts == 0)
        worst = np.argsort(-errors, kind="stable")[: len(empty)]
        levels[empty] = flat[edges[worst] + 3 * counts[worst] // 4]
        levels.sort()
    return levels.astype(np.float32), _nearest(levels, values)


def _nearest(levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, values).astype(np.uint8)


def row_codebook(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(K, D) float32 with K at most `size`, and for each row of `values` (N, D) which one stands for it, (N,) int64."""
    distinct, labels = np.unique(values, axis=0, return_inverse=True) if len(values) <= size else (None, None)
    if distinct is not None and labels is not None:
        return distinct.astype(np.float32), labels.reshape(-1)
    members = np.arange(len(values))
    heap = [(-_error(values), 0, len(values))]
    while len(heap) < size and heap[0][0] < 0:
        _, start, end = heapq.heappop(heap)
        part = members[start:end]
        axis = values[part].var(0).argmax()
        column = values[part, axis]
        low = column <= column.mean(dtype=np.float64)
        middle = start + int(np.count_nonzero(low))
        members[start:end] = np.concatenate([part[low], part[~low]])
        for a, b in ((start, middle), (middle, end)):
            heapq.heappush(heap, (-_error(values[members[a:b]]), a, b))
    labels = np.empty(len(values), np.int64)
    codebook = np.empty((len(heap), values.shape[1]), np.float32)
    for i, (_, start, end) in enumerate(sorted(heap, key=lambda part: part[1])):
        labels[members[start:end]] = i
        codebook[i] = values[members[start:end]].mean(0, dtype=np.float64)
    return codebook, labels


def _error(rows: np.ndarray) -> float:
    """Sum of squares about the mean; exactly zero where all rows are equal, so that they are not split."""
    if len(rows) < 2 or not np.ptp(rows, axis=0).any():
        return 0.0
    return float(rows.var(0, dtype=np.float64).sum() * len(rows))
