"""Gaussians as INRIA's PLY, which every program of splats reads. Kerbl et al., SIGGRAPH 2023.

One vertex a Gaussian, floats, binary little-endian:

    x y z   nx ny nz (zero)   f_dc_0..2   f_rest_0..(3 K - 4)   opacity (logit)   scale_0..2 (log)   rot_0..3 (wxyz)

`f_rest` is channel-major: all coefficients above degree 0 of red, then green, then blue. Every number is written as
`Gaussians` holds it. Two comments are ours: `geo3d world {...}` (see `geo3d.io.world_frame`) and `geo3d antialiased`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from geo3d.io.ply_elements import PlyElement, PlyHeader, read_ply_header
from geo3d.io.splat_file import SplatFile, numpy_gaussians, sound_rows
from geo3d.io.world_frame import COMMENT, WorldFrame
from geo3d.scene import Gaussians
from geo3d.util.files import atomic_path

_ANTIALIASED = "geo3d antialiased"
_BLOCK = 8192  # rows that stay in the cache while their columns are picked
_COEFFICIENTS = {0: 1, 9: 4, 24: 9, 45: 16}  # f_rest properties to K
_BASE = ("x", "y", "z", "rot_0", "rot_1", "rot_2", "rot_3", "scale_0", "scale_1", "scale_2", "opacity",
         "f_dc_0", "f_dc_1", "f_dc_2")  # fmt: skip


def read_splat_ply(path: str | os.PathLike) -> SplatFile:
    """Read INRIA's PLY: properties in any order and of any type, SH degree 0 to 3, other properties passed over.

    Rows that are no Gaussians (NaN, a zero quaternion) are left out and counted.

    Raises
    ------
    ValueError
        If the file is no PLY of Gaussians, is truncated, or holds less than it claims.
    """
    path = Path(path)
    data = path.read_bytes()
    header = read_ply_header(data, path)
    body = header.body(data, path)
    for element in header.elements:
        if element.name == "vertex":
            names = _properties(element, header, path)
            return _gaussians(_columns(body.rows(element), names), header, path)
        if any(p.count_kind for p in element.properties):
            body.lists(element)
        elif element.properties:
            body.rows(element)
    raise ValueError(f"{path}: the PLY has no vertices; expected Gaussians as `geo3d train` writes them")


def write_splat_ply(path: str | os.PathLike, gaussians: Gaussians, frame: WorldFrame | None = None) -> None:
    """Write INRIA's PLY, atomically.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    gaussians : Gaussians
        Rows with NaN and the like are left out, with a warning.
    frame : WorldFrame, optional
        Unit and place of their world.

    Raises
    ------
    ValueError
        If there are rows and none is a Gaussian.
    """
    g, _ = sound_rows(numpy_gaussians(gaussians), path)
    rest = [f"f_rest_{i}" for i in range(3 * (g.sh.shape[1] - 1))]
    names = ["x", "y", "z", "nx", "ny", "nz", *_BASE[11:], *rest, "opacity", *_BASE[7:10], *_BASE[3:7]]
    table = np.zeros((len(g), len(names)), "<f4")
    end = 9 + len(rest)
    table[:, 0:3], table[:, 6:9] = g.means, g.sh[:, 0]
    table[:, 9:end] = g.sh[:, 1:].transpose(0, 2, 1).reshape(len(g), len(rest))
    table[:, end], table[:, end + 1 : end + 4], table[:, end + 4 :] = (
        g.logit_opacities,
        g.log_scales,
        g.quaternions,
    )
    lines = ["ply", "format binary_little_endian 1.0", *comment_lines(frame, g.antialiased)]
    lines += [f"element vertex {len(g)}", *(f"property float {name}" for name in names), "end_header", ""]
    with atomic_path(path) as scratch, scratch.open("wb") as file:
        file.write("\n".join(lines).encode())
        table.tofile(file)


def comment_lines(frame: WorldFrame | None, antialiased: bool) -> list[str]:
    """Lines of a PLY header that keep the world `frame` and the flag `antialiased`."""
    lines = [f"comment {COMMENT}{json.dumps(frame.to_json())}"] if frame not in (None, WorldFrame()) else []
    return [*lines, f"comment {_ANTIALIASED}"] if antialiased else lines


def read_comments(comments: Iterable[str]) -> tuple[WorldFrame, bool]:
    """World frame and antialiased flag that the `comments` of a PLY header tell."""
    frame, antialiased = WorldFrame(), False
    for comment in comments:
        antialiased |= comment == _ANTIALIASED
        if comment.startswith(COMMENT):
            try:
                frame = WorldFrame.from_json(json.loads(comment[len(COMMENT) :]))
            except (ValueError, RecursionError):
                continue  # a comment is no reason to refuse a file
    return frame, antialiased


def _properties(element: PlyElement, header: PlyHeader, path: Path) -> list[str]:
    """Names of the columns to read: `_BASE`, then f_rest in order."""
    found = {p.name for p in element.properties}
    if any(p.count_kind for p in element.properties):
        raise ValueError(f"{path}: a vertex with lists is no Gaussian")
    missing = [name for name in _BASE if name not in found]
    if missing:
        hint = (
            "a point cloud; `geo3d train` makes Gaussians of photos"
            if "rot_0" in missing
            else "not INRIA's layout"
        )
        if any(e.name == "chunk" for e in header.elements):
            hint = "a compressed PLY; read it with `read_compressed_ply`"
        raise ValueError(f"{path}: no Gaussians: the vertices have no {', '.join(missing)}; it is {hint}")
    count = sum(bool(re.fullmatch(r"f_rest_\d+", name)) for name in found)
    rest = [f"f_rest_{i}" for i in range(count)]
    if count not in _COEFFICIENTS or not found.issuperset(rest):
        raise ValueError(
            f"{path}: expected f_rest_0 to f_rest_8, 23 or 44 (SH degree 1, 2, 3) or none, found {count} of them"
        )
    return [*_BASE, *rest]


def _columns(rows: np.ndarray, names: list[str]) -> np.ndarray:
    """(N, len(names)) float32 of the columns of a structured array."""
    table = np.empty((len(rows), len(names)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            for i, name in enumerate(names):
                table[start : start + _BLOCK, i] = block[name]
    return table


def _gaussians(table: np.ndarray, header: PlyHeader, path: Path) -> SplatFile:
    frame, antialiased = read_comments(header.comments)
    above = (table.shape[1] - 14) // 3  # coefficients above degree 0
    sh = np.empty((len(table), above + 1, 3), np.float32)
    sh[:, 0] = table[:, 11:14]
    sh[:, 1:] = table[:, 14:].reshape(len(table), 3, above).transpose(0, 2, 1)
    means, quaternions, log_scales = (
        np.ascontiguousarray(table[:, a:b]) for a, b in ((0, 3), (3, 7), (7, 10))
    )
    made = Gaussians(means, quaternions, log_scales, np.ascontiguousarray(table[:, 10]), sh, antialiased)
    gaussians, dropped = sound_rows(made, path)
    return SplatFile(gaussians, frame, dropped)
