"""Fixed chunks of work on a few threads.

The chunks depend on the size of the work only, never on the number of threads, and whoever sums what they yield
does so in their order: results are the same, bit for bit, for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Workers:
    """Runs kernels that release the GIL over chunks; starts threads only when there is more than one chunk.

    Use as a context manager; the threads end with it.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def run(self, function: Callable[[int, int, int], T], bounds: Sequence[int] | np.ndarray) -> list[T]:
        """`[function(i, bounds[i], bounds[i + 1]) for each chunk i]`, in order, computed in any order."""
        chunks = [(i, int(bounds[i]), int(bounds[i + 1])) for i in range(len(bounds) - 1)]
        if self._pool is None or len(chunks) < 2:
            return [function(*chunk) for chunk in chunks]
        futures = [self._pool.submit(function, *chunk) for chunk in chunks]
        return [future.result() for future in futures]


def balanced_bounds(offsets: np.ndarray, chunks: int) -> np.ndarray:
    """Cut rows into contiguous chunks of about equal weight.

    Parameters
    ----------
    offsets : (N + 1,) int
        Cumulative weight before each row.
    chunks : int

    Returns
    -------
    (chunks + 1,) int64
        Row bounds, from 0 to N, not decreasing.
    """
    rows = len(offsets) - 1
    targets = np.linspace(0, offsets[-1], chunks + 1)
    bounds = np.searchsorted(offsets, targets, side="left").astype(np.int64)
    bounds[0], bounds[-1] = 0, rows
    return np.minimum(np.maximum.accumulate(bounds), rows)
