"""Arrays by name whose memory is used again from one picture to the next."""

from __future__ import annotations

from typing import Any

import numpy as np


def aligned(count: int, dtype: Any = np.float32) -> np.ndarray:
    """(count,) numbers, not set, from a cache line's start on, so that no vector lies across two."""
    raw = np.empty(count * np.dtype(dtype).itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * np.dtype(dtype).itemsize].view(dtype)


class Buffers:
    """Arrays by name; `buffers[name]` is the last one of that name."""

    def __init__(self) -> None:
        self._memory: dict[str, np.ndarray] = {}
        self._arrays: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def array(self, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """An array of that shape in the memory kept under `name`, which grows by more than it has to.

        It holds what its memory held, or anything.

        Parameters
        ----------
        name : str
        shape : tuple of int
        dtype : NumPy type
            The same at every call for a name.
        """
        size = int(np.prod(shape))
        memory = self._memory.get(name)
        if memory is None or memory.size < size:
            memory = aligned(size if memory is None else max(size, memory.size + memory.size // 4), dtype)
            self._memory[name] = memory
        self._arrays[name] = array = memory[:size].reshape(shape)
        return array

    def rows(self, n: int, *wanted: tuple) -> list[np.ndarray]:
        """Arrays of `n` rows, each `wanted` as (name, [numbers a row,] [type, float32 if not given])."""
        found = []
        for name, *rest in wanted:
            columns = tuple(r for r in rest if isinstance(r, int))
            types = [r for r in rest if not isinstance(r, int)]
            found.append(self.array(name, (n, *columns), *types))
        return found
