"""Threads: ours, with BLAS and OpenCV held to one each, results in the order of the inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")


def cpu_count() -> int:
    """Number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def single_threaded_blas() -> AbstractContextManager:
    """Hold the BLAS of NumPy and SciPy to one thread inside the block: small systems are faster so, results the same.

    It costs microseconds: the libraries are looked for once.
    """
    return _blas().limit(limits=1, user_api="blas")


@cache
def _blas() -> ThreadpoolController:
    import scipy.linalg.cython_blas  # noqa: F401  SciPy's own, on which np.dot in a kernel runs too
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def map_threads(function: Callable[[T], R], items: Iterable[T], threads: int | None = None) -> Iterator[R]:
    """Yield `function(item)` in the order of `items`, computed by `threads` threads (default: all cores).

    At most a few results per thread wait in memory. An exception ends the iteration and cancels what has not
    started yet. Only for functions that release the GIL in their hot parts and start no parallel kernel.
    """
    count = threads or cpu_count()
    with ThreadPoolExecutor(count) as pool:
        waiting: list[Future[R]] = []
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 4 * count:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()
