"""Middlebury's .flo files of optical flow.

    202021.25            float32, little-endian: "PIEH"
    width, height        int32
    u v u v ...          float32, row by row

A component above 1e9 means that the flow is not known there: NaN in arrays, 1e10 in what geo3d writes.
"""

import os
import struct
from pathlib import Path

import numpy as np

from geo3d.util.files import write_bytes

_HEADER = struct.Struct("<4sii")
_MAGIC = b"PIEH"
_UNKNOWN, _LIMIT = np.float32(1e10), 1e9


def read_flo(path: str | os.PathLike) -> np.ndarray:
    """Read a .flo file.

    Returns
    -------
    (H, W, 2) float32
        x and y, pixels; both NaN where the file says that they are not known.

    Raises
    ------
    ValueError
        If the file is no .flo, or has fewer or more bytes than its header says.
    OSError
        If it cannot be read.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(_MAGIC):
            raise ValueError(
                f"{path}: expected a .flo file, which begins with {_MAGIC!r}, found {head[:4]!r}"
            )
        _, width, height = _HEADER.unpack(head)
        if width < 1 or height < 1:
            raise ValueError(f"{path}: expected a positive size, found {width}x{height}; it is corrupt")
        expected = 8 * width * height
        if size - _HEADER.size != expected:
            raise ValueError(
                f"{path}: {width}x{height} pixels need {expected:,} bytes, found {size - _HEADER.size:,}; it is "
                "truncated or corrupt"
            )
        flow = np.frombuffer(file.read(), "<f4").astype(np.float32).reshape(height, width, 2)
    with np.errstate(invalid="ignore"):
        flow[~(np.abs(flow) <= _LIMIT).all(axis=2)] = np.nan
    return flow


def write_flo(path: str | os.PathLike, flow: np.ndarray) -> None:
    """Write a .flo file, atomically.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    flow : (H, W, 2)
        x and y, pixels; what is NaN, infinite or above 1e9 is written as not known.

    Raises
    ------
    ValueError
        If the shape is another.
    """
    flow = np.asarray(flow, np.float32)
    if flow.ndim != 3 or flow.shape[2] != 2 or 0 in flow.shape:
        raise ValueError(f"flow: expected (H, W, 2), got shape {flow.shape}")
    with np.errstate(invalid="ignore"):
        known = (np.abs(flow) <= _LIMIT).all(axis=2, keepdims=True)
    data = np.where(known, flow, _UNKNOWN).astype("<f4").tobytes()
    write_bytes(path, _HEADER.pack(_MAGIC, flow.shape[1], flow.shape[0]) + data)
