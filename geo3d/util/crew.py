"""Threads that share out the pieces of one kernel among them.

A kernel that can be shared takes `counter`, an array of one int64, and asks `next_item(counter)` for its next piece
until there is none. Each thread calls the same kernel on the same arrays; no piece depends on who takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from geo3d.util.threads import cpu_count


class Crew:
    """The calling thread and `threads - 1` helpers."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or cpu_count()
        self._helpers = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None

    def run(self, kernel: Callable[[np.ndarray, int], Any]) -> None:
        """Call `kernel(counter, thread)` once in each thread, with the counter at 0, and wait for all."""
        counter = np.zeros(1, np.int64)
        waiting = []
        if self._helpers is not None:
            waiting = [self._helpers.submit(kernel, counter, i) for i in range(1, self.threads)]
        kernel(counter, 0)
        for helper in waiting:
            helper.result()


@cache
def everyone() -> Crew:
    """The crew of all cores, which all share."""
    return Crew()
