"""Depth and disparity as 16-bit PNG: value = round(scale * what is measured), 0 where it is not known.

Depth cameras and most programs use a scale of 1000 for depth in metres (millimetres), KITTI 256 for disparity.
"""

import os
import struct
from pathlib import Path

import numpy as np

from geo3d.util.files import write_bytes
from geo3d.util.require import require

_LARGEST = 65_535
_HEADER = struct.Struct(">8s4x4sIIBB")  # signature, IHDR, width, height, bits, kind of colour
_GRAY = 0  # PNG's colour type
_MOST_BYTES_A_BYTE = 1032  # that a PNG's compression can stand for


def write_png16(path: str | os.PathLike, values: np.ndarray, scale: float) -> int:
    """Write a map as 16-bit PNG, atomically.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    values : (H, W)
        What is NaN, infinite, not positive, or too large to be held (above 65535 / scale) is written as not known.
    scale : float
        Steps of the file in one unit of the values.

    Returns
    -------
    int
        Number of values that were too large or too small to be held.

    Raises
    ------
    ValueError
        If the shape or the scale is not valid.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"values: expected (H, W), got shape {values.shape}")
    if not (np.isfinite(scale) and scale > 0.0):
        raise ValueError(f"scale: expected a positive number, got {scale}")
    known = np.isfinite(values) & (values > 0.0)
    steps = np.round(np.where(known, values, 0.0) * scale)
    held = known & (steps >= 1.0) & (steps <= _LARGEST)
    cv2 = require("cv2")
    done, data = cv2.imencode(".png", np.where(held, steps, 0.0).astype(np.uint16))
    assert done
    write_bytes(path, data.tobytes())
    return int(np.count_nonzero(known & ~held))


def read_png16(path: str | os.PathLike, scale: float) -> np.ndarray:
    """Read a map from a 16-bit PNG.

    Parameters
    ----------
    path : path
    scale : float
        Steps of the file in one unit of the values.

    Returns
    -------
    (H, W) float32
        NaN where the file has 0.

    Raises
    ------
    ValueError
        If the file is no grey 16-bit PNG or damaged, or the scale is not positive.
    """
    if not (np.isfinite(scale) and scale > 0.0):
        raise ValueError(f"scale: expected a positive number, got {scale}")
    steps = decode_png16(path, _GRAY)
    return np.where(steps > 0, steps / np.float32(scale), np.float32(np.nan)).astype(np.float32)


def decode_png16(path: str | os.PathLike, kind: int) -> np.ndarray:
    """What a PNG of 16 bits holds, (H, W) uint16, or (H, W, 3) in the order blue, green, red.

    Parameters
    ----------
    path : path
    kind : int
        PNG's colour type: 0 grey, 2 three channels.

    Raises
    ------
    ValueError
        If the file is of another kind, claims more than it can hold, or is damaged.
    """
    data = Path(path).read_bytes()
    if len(data) < _HEADER.size:
        raise ValueError(f"{path}: expected a PNG file, found {len(data)} bytes")
    signature, chunk, width, height, bits, found = _HEADER.unpack_from(data)
    if signature != b"\x89PNG\r\n\x1a\n" or chunk != b"IHDR":
        raise ValueError(f"{path}: expected a PNG file, found {data[:8]!r}")
    channels = 1 if kind == _GRAY else 3
    if (bits, found) != (16, kind):
        raise ValueError(
            f"{path}: expected {'one channel' if kind == _GRAY else 'three channels'} of 16 bits, found {bits} bits "
            f"and PNG's colour type {found}"
        )
    if 2 * channels * width * height > _MOST_BYTES_A_BYTE * len(data):
        raise ValueError(
            f"{path}: claims {width}x{height} pixels in {len(data)} bytes; it is truncated or corrupt"
        )
    cv2 = require("cv2")
    try:
        steps = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        steps = None
    shape = (height, width) if kind == _GRAY else (height, width, 3)
    if steps is None or steps.dtype != np.uint16 or steps.shape != shape:
        raise ValueError(f"{path}: the image can't be decoded; it is truncated or corrupt")
    return steps
