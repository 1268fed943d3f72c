"""Gaussians as compressed PLY, of PlayCanvas and SuperSplat: 16 bytes a Gaussian and one for each number of its SH.

Three elements. `chunk`, one for 256 Gaussians: least and largest of position, log scale and colour (0.5 + Y_0 sh_0).
`vertex`, four words: between these bounds

    packed_position, packed_scale  11, 10, 11 bits of x, y, z
    packed_color                   8 bits of r, g, b, opacity
    packed_rotation                2 bits which of w, x, y, z is largest (made positive, left out), 10 bits of the
                                   others / sqrt(2) + 1/2

`sh`: f_rest_*, channel-major, of bytes from -4 to 4. The rows are in Morton order, so that chunks are small.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from geo3d.geometry import SH_C0
from geo3d.io.ply_elements import PlyElement, read_ply_header
from geo3d.io.splat_file import SplatFile, logit, numpy_gaussians, sigmoid, sound_rows
from geo3d.io.splat_order import by_place, rows
from geo3d.io.splat_ply import comment_lines, read_comments
from geo3d.io.world_frame import WorldFrame
from geo3d.scene import Gaussians
from geo3d.util.files import write_bytes

_CHUNK = 256
_BOUNDS = [f"{end}_{name}" for part in (("x", "y", "z"), ("scale_x", "scale_y", "scale_z"), ("r", "g", "b"))
           for end in ("min", "max") for name in part]  # fmt: skip
_WORDS = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_REST = {0: 1, 9: 4, 24: 9, 45: 16}  # numbers above degree 0 to K
_AXES = (11, 10, 11)  # bits


def write_compressed_ply(
    path: str | os.PathLike, gaussians: Gaussians, frame: WorldFrame | None = None
) -> None:
    """Write compressed PLY, atomically, in Morton order.

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
    g = rows(g, by_place(g))
    positions, bounds_p = _within(g.means)
    scales, bounds_s = _within(np.clip(g.log_scales, -20, 20))
    colors, bounds_c = _within(0.5 + SH_C0 * g.sh[:, 0])
    words = np.stack(
        [
            _pack(positions, _AXES),
            _pack_rotations(g.quaternions),
            _pack(scales, _AXES),
            _pack(np.column_stack([colors, sigmoid(g.logit_opacities)]), (8, 8, 8, 8)),
        ],
        1,
    )
    count = 3 * (g.sh.shape[1] - 1)
    rest = g.sh[:, 1:].transpose(0, 2, 1).reshape(len(g), count)
    lines = ["ply", "format binary_little_endian 1.0", *comment_lines(frame, g.antialiased)]
    lines += [f"element chunk {len(bounds_p)}", *(f"property float {name}" for name in _BOUNDS)]
    lines += [f"element vertex {len(g)}", *(f"property uint {name}" for name in _WORDS)]
    if count:
        lines += [f"element sh {len(g)}", *(f"property uchar f_rest_{i}" for i in range(count))]
    parts = [
        "\n".join([*lines, "end_header", ""]).encode(),
        np.concatenate([bounds_p, bounds_s, bounds_c], 1).astype("<f4").tobytes(),
        words.astype("<u4").tobytes(),
        np.clip((rest / 8 + 0.5) * 256, 0, 255).astype(np.uint8).tobytes(),
    ]
    write_bytes(path, b"".join(parts))


def _within(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) from 0 to 1 between the bounds of its chunk, and (C, 6) these bounds as float32."""
    n = len(values)
    if not n:
        return np.zeros((0, 3)), np.zeros((0, 6), np.float32)
    chunks = -(-n // _CHUNK)
    filled = np.concatenate([values, np.repeat(values[-1:], chunks * _CHUNK - n, 0)]).reshape(
        chunks, _CHUNK, 3
    )
    low, high = filled.min(1), filled.max(1)
    size = np.maximum(high.astype(np.float64) - low, 1e-30)
    return ((filled - low[:, None]) / size[:, None]).reshape(-1, 3)[:n], np.concatenate([low, high], 1)


def _pack(values: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    """(N,) uint32 of (N, len(bits)) numbers from 0 to 1, the first in the highest bits."""
    code = np.zeros(len(values), np.uint32)
    for column, width in zip(values.T, bits, strict=True):
        most = (1 << width) - 1
        code = code << np.uint32(width) | np.clip(np.floor(column * most + 0.5), 0, most).astype(np.uint32)
    return code


def _unpack(code: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    """(N, len(bits)) float64 from 0 to 1."""
    found, code = [], code.astype(np.uint32)
    for width in reversed(bits):
        most = (1 << width) - 1
        found.append((code & np.uint32(most)) / most)
        code = code >> np.uint32(width)
    return np.stack(found[::-1], 1)


def _pack_rotations(wxyz: np.ndarray) -> np.ndarray:
    q = wxyz.astype(np.float64)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    largest = np.abs(q).argmax(1)
    q *= np.where(np.take_along_axis(q, largest[:, None], 1) < 0, -1, 1)
    others = q[np.arange(4) != largest[:, None]].reshape(-1, 3)
    return largest.astype(np.uint32) << np.uint32(30) | _pack(others * np.sqrt(0.5) + 0.5, (10, 10, 10))


def _unpack_rotations(code: np.ndarray) -> np.ndarray:
    """(N, 4) float64 wxyz."""
    others = (_unpack(code & np.uint32((1 << 30) - 1), (10, 10, 10)) - 0.5) * np.sqrt(2)
    largest = (code >> np.uint32(30)).astype(np.int64)
    stored = np.arange(4) != largest[:, None]
    q = np.zeros((len(code), 4))
    q[stored] = others.ravel()
    q[~stored] = np.sqrt(np.maximum(0, 1 - np.square(others).sum(1)))
    return q


def read_compressed_ply(path: str | os.PathLike) -> SplatFile:
    """Read compressed PLY, with or without bounds of colour and SH.

    Raises
    ------
    ValueError
        If it is no compressed PLY, is truncated, or its elements do not fit each other.
    """
    path = Path(path)
    data = path.read_bytes()
    header = read_ply_header(data, path)
    elements = {element.name: element for element in header.elements}
    if not {"chunk", "vertex"} <= set(elements) or any(
        p.count_kind for element in header.elements for p in element.properties
    ):
        raise ValueError(
            f"{path}: expected a compressed PLY with chunk and vertex, found {', '.join(elements)}"
        )
    body = header.body(data, path)
    tables = {e.name: body.rows(e) for e in header.elements if e.properties}
    with_colors = _check(elements, path)
    code = {name: tables["vertex"][name].astype(np.uint32) for name in _WORDS}
    names = _BOUNDS if with_colors else _BOUNDS[:12]
    bounds = np.stack([tables["chunk"][name].astype(np.float64) for name in names], 1)
    bounds = np.repeat(bounds, _CHUNK, 0)[: len(tables["vertex"])]

    def between(values: np.ndarray, first: int) -> np.ndarray:
        low, high = bounds[:, first : first + 3], bounds[:, first + 3 : first + 6]
        return (low * (1 - values) + high * values).astype(np.float32)

    color = _unpack(code["packed_color"], (8, 8, 8, 8))
    count = len(elements["sh"].properties) if "sh" in elements else 0
    sh = np.empty((len(bounds), _REST[count], 3), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        sh[:, 0] = ((between(color[:, :3], 12) if with_colors else color[:, :3]) - 0.5) / SH_C0
        means, scales = (
            between(_unpack(code["packed_position"], _AXES), 0),
            between(_unpack(code["packed_scale"], _AXES), 6),
        )
    if count:
        rest = np.stack([tables["sh"][f"f_rest_{i}"] for i in range(count)], 1).astype(np.float32)
        level = np.where(rest == 0, 0, np.where(rest == 255, 1, (rest + 0.5) / 256))
        sh[:, 1:] = ((level - 0.5) * 8).reshape(len(rest), 3, count // 3).transpose(0, 2, 1)
    frame, antialiased = read_comments(header.comments)
    rotations = _unpack_rotations(code["packed_rotation"]).astype(np.float32)
    logits = logit(color[:, 3]).astype(np.float32)
    gaussians, dropped = sound_rows(Gaussians(means, rotations, scales, logits, sh, antialiased), path)
    return SplatFile(gaussians, frame, dropped)


def _check(elements: dict[str, PlyElement], path: Path) -> bool:
    """Whether chunks have bounds of colour; ValueError where the elements do not fit each other."""
    chunk, vertex = elements["chunk"], elements["vertex"]
    has = {p.name for p in chunk.properties}
    words = {p.name: p.kind for p in vertex.properties}
    if not has.issuperset(_BOUNDS[:12]) or any(words.get(name) not in ("u4", "i4") for name in _WORDS):
        raise ValueError(
            f"{path}: expected bounds in chunk and four packed words in vertex, as SuperSplat writes them"
        )
    if chunk.count != -(-vertex.count // _CHUNK):
        raise ValueError(f"{path}: {vertex.count:,} Gaussians need {-(-vertex.count // _CHUNK):,} chunks, "
                         f"found {chunk.count:,}; it is corrupt")  # fmt: skip
    if "sh" in elements:
        sh = elements["sh"]
        names = {p.name for p in sh.properties if p.kind == "u1"}
        if (
            len(names) not in _REST
            or names != {f"f_rest_{i}" for i in range(len(names))}
            or sh.count != vertex.count
        ):
            raise ValueError(
                f"{path}: expected 9, 24 or 45 bytes f_rest for each of {vertex.count:,} Gaussians"
            )
    return has.issuperset(_BOUNDS)
