"""Snapshots of a long computation: named sets of arrays, from which a killed one goes on.

A step is saved when the last save is long enough ago, so that short computations write nothing. What is saved must
be all that the rest depends on; then the resumed computation ends with the same bits as one that was never killed.
"""

from __future__ import annotations

import copy
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from geo3d.util.files import atomic_path

Arrays = Mapping[str, np.ndarray]


class Snapshots:
    """Snapshots in a folder, one file a name.

    Parameters
    ----------
    folder : Path or None
        Made when the first is saved; None keeps nothing.
    key : str
        Of what the computation depends on; snapshots with another key are not there.
    interval_s : float
        Least time between two saves.
    """

    def __init__(self, folder: Path | None = None, key: str = "", interval_s: float = 20.0) -> None:
        self.folder, self.key, self.interval_s = folder, key, interval_s
        self._prefix = ""
        self._last = [time.monotonic()]

    def within(self, prefix: str) -> Snapshots:
        """The same snapshots, for a part of the computation whose names begin with `prefix`."""
        part = copy.copy(self)
        part._prefix = f"{self._prefix}{prefix}-"
        return part

    def _path(self, name: str) -> Path | None:
        return self.folder and self.folder / f"{self._prefix}{name}.npz"

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays last saved under `name`; None where there are none or the file is damaged."""
        path = self._path(name)
        if path is None:
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {k: file[k] for k in file.files}
        except (
            OSError,
            ValueError,
            EOFError,
            RuntimeError,
            zipfile.BadZipFile,
        ):
            return None
        return arrays if str(arrays.pop("snapshot_key", "")) == self.key else None

    def save(self, name: str, make: Callable[[], Arrays]) -> None:
        """Save what `make` returns under `name`, if the last save is long enough ago."""
        path = self._path(name)
        if path is None or time.monotonic() - self._last[0] < self.interval_s:
            return
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, snapshot_key=np.array(self.key), **make())  # pyright: ignore[reportArgumentType]
        self._last[0] = time.monotonic()

    def step(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays saved under `name`, or what `compute` returns, which is saved if it is time."""
        found = self.load(name)
        if found is None:
            made = compute()
            self.save(name, lambda: made)
            return made
        return found
