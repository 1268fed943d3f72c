"""PFM: floating point images, one or three channels; the usual file of disparities, depths and flow.

    Pf                 one channel; PF: three
    741 500            width and height
    -1.0               below zero: little-endian
    ...                float32, rows from the bottom up

What is not known is NaN in files that geo3d writes and infinite in Middlebury's; values are given as they are stored.
"""

import os
import re
from pathlib import Path

import numpy as np

from geo3d.util.files import write_bytes

# after the scale comes exactly one white character, then the data
_HEADER = re.compile(rb"(P[Ff])\s+(\d{1,9})\s+(\d{1,9})\s+([-+]?[\d.]+(?:[eE][-+]?\d+)?)(?:\r\n|\s)")


def read_pfm(path: str | os.PathLike) -> np.ndarray:
    """Read a PFM file.

    Returns
    -------
    (H, W) or (H, W, 3) float32

    Raises
    ------
    ValueError
        If the file is no PFM, or has fewer or more bytes than its header says.
    OSError
        If it cannot be read.
    """
    data = Path(path).read_bytes()
    found = _HEADER.match(data)
    if found is None:
        raise ValueError(f"{path}: expected a PFM file (Pf or PF, width, height, scale), found {data[:24]!r}")
    channels = 3 if found[1] == b"PF" else 1
    width, height = int(found[2]), int(found[3])
    try:
        scale = float(found[4])
    except ValueError:
        scale = 0.0
    if not (width and height and scale and np.isfinite(scale)):
        raise ValueError(
            f"{path}: expected a positive size and a scale that is not 0, found {found[0]!r}; it is corrupt"
        )
    expected, have = 4 * width * height * channels, len(data) - found.end()
    if expected != have:
        raise ValueError(
            f"{path}: {width}x{height} pixels need {expected} bytes, found {have}; it is truncated or corrupt"
        )
    values = np.frombuffer(data, "<f4" if scale < 0 else ">f4", offset=found.end())
    values = values.reshape((height, width, 3) if channels == 3 else (height, width))
    return np.ascontiguousarray(values[::-1]).astype(np.float32)


def write_pfm(path: str | os.PathLike, values: np.ndarray) -> None:
    """Write a PFM file, little-endian, atomically.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    values : (H, W) or (H, W, 3)
        Written as float32.

    Raises
    ------
    ValueError
        If the shape is another.
    """
    values = np.asarray(values)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3) or 0 in values.shape:
        raise ValueError(f"values: expected (H, W) or (H, W, 3), got shape {values.shape}")
    header = f"{'PF' if values.ndim == 3 else 'Pf'}\n{values.shape[1]} {values.shape[0]}\n-1.0\n"
    write_bytes(path, header.encode() + np.ascontiguousarray(values[::-1], "<f4").tobytes())
