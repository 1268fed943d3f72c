"""Optical flow in and out, by the ending of the name: .flo (Middlebury), .png (KITTI), .pfm (FlyingThings)."""

import os
from pathlib import Path

import numpy as np

from geo3d.io.flow_flo import read_flo, write_flo
from geo3d.io.flow_kitti import read_kitti_flow, write_kitti_flow
from geo3d.io.pfm import read_pfm, write_pfm

FLOW_ENDINGS = (".flo", ".png", ".pfm")
"""Of the files that `read_flow` and `write_flow` take."""

_LIMIT = 1e9


def read_flow(path: str | os.PathLike) -> np.ndarray:
    """Read a flow from a .flo, KITTI's .png or a .pfm of three channels.

    Returns
    -------
    (H, W, 2) float32
        x and y, pixels; NaN where not known.

    Raises
    ------
    ValueError
        If the ending is another, or the file is damaged or of another kind.
    OSError
        If it cannot be read.
    """
    ending = _ending(path)
    if ending == ".flo":
        return read_flo(path)
    if ending == ".png":
        return read_kitti_flow(path)
    values = read_pfm(path)
    if values.ndim != 3:
        raise ValueError(f"{path}: expected a PFM of three channels, u, v and 0, found one channel")
    flow = values[..., :2]
    with np.errstate(invalid="ignore"):
        known = (np.abs(flow) <= _LIMIT).all(axis=2, keepdims=True)
    return np.where(known, flow, np.float32(np.nan))


def write_flow(path: str | os.PathLike, flow: np.ndarray) -> int:
    """Write a flow as .flo, KITTI's .png or a .pfm of three channels, of which the last is 0; atomically.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    flow : (H, W, 2)
        x and y, pixels; NaN where not known.

    Returns
    -------
    int
        Number of pixels whose flow was too large to be held: a PNG reaches to 512 px.

    Raises
    ------
    ValueError
        If the shape or the ending is another.
    """
    ending = _ending(path)
    if ending == ".png":
        return write_kitti_flow(path, flow)
    if ending == ".flo":
        write_flo(path, flow)
        return 0
    flow = np.asarray(flow, np.float32)
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(f"flow: expected (H, W, 2), got shape {flow.shape}")
    write_pfm(path, np.concatenate([flow, np.zeros_like(flow[..., :1])], axis=2))
    return 0


def _ending(path: str | os.PathLike) -> str:
    ending = Path(path).suffix.lower()
    if ending not in FLOW_ENDINGS:
        raise ValueError(f"{path}: expected a name that ends with {', '.join(FLOW_ENDINGS)}")
    return ending
