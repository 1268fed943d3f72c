"""The state of a training on disk: arrays by name and a JSON object, in one .npz that holds no pickled object.

It is there whole or not at all; a training that is killed goes on from the last one.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo3d.util.files import atomic_path

_META = "meta.json"


@dataclass(frozen=True)
class Checkpoint:
    """A state of a training.

    Attributes
    ----------
    arrays : dict of str to numpy.ndarray
        Numbers and booleans only, no objects.
    meta : dict
        What JSON can say.
    """

    arrays: dict[str, np.ndarray]
    meta: dict


def write_checkpoint(path: str | os.PathLike, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to the file `path`, atomically.

    Raises
    ------
    OSError
        If it cannot be written; the file of before stays.
    """
    text = np.frombuffer(json.dumps(checkpoint.meta).encode(), np.uint8)
    with atomic_path(path) as scratch, scratch.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_META: text}, **checkpoint.arrays)


def read_checkpoint(path: str | os.PathLike) -> Checkpoint | None:
    """The checkpoint at `path`; None where there is none, or what is there is damaged or no checkpoint."""
    if not Path(path).is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop(_META).tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return Checkpoint(arrays, meta) if isinstance(meta, dict) else None
