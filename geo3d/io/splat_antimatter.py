"""Gaussians as .splat, of antimatter15's viewer: 32 bytes each, without header or spherical harmonics.

    position 3 x f32, standard deviations 3 x f32, r, g, b, opacity 4 x u8, rotation w, x, y, z 4 x u8 (x 128 + 128)

The largest and most opaque come first, since viewers show the file while it loads. The world's unit and place lie
beside it, in `NAME.splat.georeference.json`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from geo3d.geometry import SH_C0
from geo3d.io.splat_file import SplatFile, logit, numpy_gaussians, sigmoid, sound_rows
from geo3d.io.splat_order import by_importance, rows
from geo3d.io.world_frame import WorldFrame, read_world_file, write_world_file
from geo3d.scene import Gaussians
from geo3d.util.files import write_bytes

_ROW = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("color", "u1", 4), ("rotation", "u1", 4)])


def write_antimatter_splat(
    path: str | os.PathLike, gaussians: Gaussians, frame: WorldFrame | None = None
) -> None:
    """Write .splat, atomically; colour that depends on the direction is lost.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    gaussians : Gaussians
        Rows with NaN and the like are left out, with a warning.
    frame : WorldFrame, optional
        Unit and place of their world, written beside it.

    Raises
    ------
    ValueError
        If there are rows and none is a Gaussian.
    """
    g, _ = sound_rows(numpy_gaussians(gaussians), path)
    g = rows(g, by_importance(g))
    table = np.empty(len(g), _ROW)
    table["means"], table["scales"] = g.means, np.exp(g.log_scales)
    color = np.column_stack([0.5 + SH_C0 * g.sh[:, 0], sigmoid(g.logit_opacities)])
    table["color"] = np.clip(np.rint(color * 255), 0, 255)
    q = g.quaternions / np.linalg.norm(g.quaternions, axis=1, keepdims=True)
    table["rotation"] = np.clip(np.rint(q * 128) + 128, 0, 255)
    write_bytes(path, table.tobytes())
    write_world_file(path, frame or WorldFrame(), g.antialiased)


def read_antimatter_splat(path: str | os.PathLike) -> SplatFile:
    """Read .splat.

    Raises
    ------
    ValueError
        If its size is no multiple of 32 bytes.
    """
    path = Path(path)
    data = path.read_bytes()
    if len(data) % _ROW.itemsize:
        raise ValueError(
            f"{path}: expected {_ROW.itemsize} bytes a Gaussian, found {len(data):,}; it is truncated or no .splat"
        )
    table = np.frombuffer(data, _ROW)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_scales = np.log(table["scales"])
    sh = ((table["color"][:, :3] / np.float32(255) - np.float32(0.5)) / np.float32(SH_C0))[:, None]
    q = table["rotation"].astype(np.float32) - 128
    logits = logit(table["color"][:, 3] / np.float32(255))
    frame, antialiased = read_world_file(path)
    found = Gaussians(
        np.ascontiguousarray(table["means"], np.float32), q, log_scales, logits, sh, antialiased
    )
    gaussians, dropped = sound_rows(found, path)
    return SplatFile(gaussians, frame, dropped)
