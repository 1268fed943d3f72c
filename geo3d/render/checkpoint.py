"""Checkpoints of a training: named arrays and a JSON header in one file, whole or not at all.

The file is a NumPy .npz without compression: a zip archive with one .npy an array, and the header as one more,
`header`, the bytes of a JSON object. Reading runs no code (no pickle), and takes no more memory than the file has
bytes, whatever it says.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from geo3d.util.files import atomic_path

_HEADER = "header"
_VERSION = 1
# What zipfile, NumPy and JSON raise at bytes that are not what they expect.
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Of numbers.
    header : dict
        What JSON can hold.
    """

    arrays: dict[str, np.ndarray]
    header: dict[str, Any]


def write_checkpoint(
    path: str | os.PathLike, kind: str, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]
) -> None:
    """Write a checkpoint in place of an older one, atomically: at every moment one of the two is there.

    Parameters
    ----------
    path : path-like
    kind : str
        What was being trained, in a word; whoever reads it has to name the same.
    arrays : mapping of str to ndarray
        Of numbers. The name `header` is taken.
    header : mapping
        What JSON can hold: step, seconds, state of the random numbers, key of the options.

    Raises
    ------
    ValueError
        If an array is not of numbers, or its name cannot be used.
    """
    for name, array in arrays.items():
        if name == _HEADER or not name.replace("_", "").replace(".", "").isalnum():
            raise ValueError(f"arrays: {name!r} cannot be the name of an array")
        if array.dtype.kind not in "biufc":
            raise ValueError(f"arrays: {name} is of {array.dtype}, expected numbers")
    record = {"geo3d_checkpoint": _VERSION, "kind": kind, "header": dict(header)}
    words = np.frombuffer(json.dumps(record).encode(), np.uint8)
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_HEADER: words}, **arrays)  # pyright: ignore[reportArgumentType]


def read_checkpoint(path: str | os.PathLike, kind: str) -> Checkpoint:
    """Read a checkpoint.

    Parameters
    ----------
    path : path-like
    kind : str
        That it has to be of.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, no checkpoint, or of another kind.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            arrays = _arrays(file, path.stat().st_size)
            record = json.loads(arrays.pop(_HEADER).tobytes())
            found = record["kind"], record["geo3d_checkpoint"]
            header = dict(record["header"])
        except _DAMAGE as error:
            raise ValueError(
                f"{path}: not a checkpoint of geo3d, or damaged ({error}); remove it to begin again"
            ) from error
    if found != (kind, _VERSION):
        raise ValueError(
            f"{path}: expected a checkpoint of {kind!r}, version {_VERSION}, found {found[0]!r}, version {found[1]!r}; "
            "remove it to begin again"
        )
    return Checkpoint(arrays, header)


def _arrays(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """The arrays of an archive of `size` bytes; refused if they would take more."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        check_stored(members, size)
        return {info.filename.removesuffix(".npy"): _array(archive, info) for info in members}


def check_stored(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Refuse an archive of `size` bytes whose `members` are compressed, or would take more memory than that.

    Raises
    ------
    ValueError
        That says how much they claim.
    """
    claimed = sum(member.file_size for member in members)
    if claimed > size or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError(
            f"its parts are said to have {claimed} bytes, in a file of {size}, or are compressed"
        )


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{info.filename[:80]!r} is of .npy version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        data = file.read()
    if dtype.hasobject or dtype.kind not in "biufc":
        raise ValueError(f"{info.filename[:80]!r} is of {dtype}, expected numbers")
    values = np.frombuffer(bytearray(data), dtype)
    return values.reshape(shape, order="F" if fortran else "C")
