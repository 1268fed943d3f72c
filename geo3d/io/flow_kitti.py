"""KITTI's files of optical flow: PNG of three channels of 16 bits.

    red    round(64 u) + 2^15
    green  round(64 v) + 2^15
    blue   1 where the flow is known, else 0

so u and v are held to 1/128 px, from -512 to 511.98 px.
"""

import os

import numpy as np

from geo3d.io.png16 import decode_png16
from geo3d.util.files import write_bytes
from geo3d.util.require import require

_SCALE, _ZERO = 64.0, 32_768.0
_RGB = 2  # PNG's colour type


def read_kitti_flow(path: str | os.PathLike) -> np.ndarray:
    """Read KITTI's PNG of a flow.

    Returns
    -------
    (H, W, 2) float32
        x and y, pixels; NaN where not known.

    Raises
    ------
    ValueError
        If the file is no PNG of three channels of 16 bits, or damaged.
    OSError
        If it cannot be read.
    """
    blue, green, red = np.moveaxis(decode_png16(path, _RGB), 2, 0)
    flow = (np.stack([red, green], axis=2) - np.float32(_ZERO)) / np.float32(_SCALE)
    return np.where(blue[..., None] > 0, flow, np.float32(np.nan))


def write_kitti_flow(path: str | os.PathLike, flow: np.ndarray) -> int:
    """Write a flow as KITTI's PNG, atomically.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    flow : (H, W, 2)
        x and y, pixels; what is NaN, or does not fit (below -512 px or above 511.98 px), is written as not known.

    Returns
    -------
    int
        Number of pixels whose flow was too large to be held.

    Raises
    ------
    ValueError
        If the shape is another.
    """
    flow = np.asarray(flow, np.float64)
    if flow.ndim != 3 or flow.shape[2] != 2 or 0 in flow.shape:
        raise ValueError(f"flow: expected (H, W, 2), got shape {flow.shape}")
    known = np.isfinite(flow.sum(axis=2))
    steps = np.round(_SCALE * np.where(known[..., None], flow, 0.0)) + _ZERO
    held = known & (steps.min(axis=2) >= 0.0) & (steps.max(axis=2) <= 65_535.0)
    steps = np.where(held[..., None], steps, 0.0)
    cv2 = require("cv2")
    bgr = np.dstack([held, steps[..., 1], steps[..., 0]]).astype(np.uint16)
    done, data = cv2.imencode(".png", bgr)
    assert done
    write_bytes(path, data.tobytes())
    return int(np.count_nonzero(known & ~held))
