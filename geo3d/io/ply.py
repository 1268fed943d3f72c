"""PLY: points with colours and normals, and triangle meshes; ASCII and binary of both byte orders.

Faces of more than three corners are read as fans of triangles. Elements and properties that are not points,
normals, colours or faces are passed over.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from geo3d.io.ply_elements import read_ply_header
from geo3d.util.files import write_bytes


@dataclass(frozen=True)
class PlyMesh:
    """Points, and faces if there are any.

    Attributes
    ----------
    points : (N, 3) float64, or float32 where the file has that
    colors : (N, 3) uint8 or None
    normals : (N, 3) float64 or None
    faces : (F, 3) int64 or None
        Rows of `points`; None where the file has no faces.
    """

    points: np.ndarray
    colors: np.ndarray | None = None
    normals: np.ndarray | None = None
    faces: np.ndarray | None = None


def read_ply(path: str | os.PathLike) -> PlyMesh:
    """Read a PLY file.

    Raises
    ------
    ValueError
        If the file is not PLY, is truncated or corrupt, or a face refers to a point that is not there.
    """
    path = Path(path)
    data = path.read_bytes()
    header = read_ply_header(data, path)
    body = header.body(data, path)
    columns: dict[str, np.ndarray] = {}
    faces: np.ndarray | None = None
    for element in header.elements:
        if element.name == "vertex" and not any(p.count_kind for p in element.properties):
            columns = body.table(element)
        elif any(p.count_kind for p in element.properties):
            found = body.lists(element)
            if element.name == "face" and found is not None:
                faces = found
        elif element.properties:
            body.table(element)
    if not {"x", "y", "z"} <= set(columns):
        raise ValueError(f"{path}: expected a vertex element with x, y, z, found {sorted(columns) or 'none'}")
    points = _stack(columns, "xyz")
    assert points is not None
    if faces is not None and len(faces) and (faces.min() < 0 or faces.max() >= len(points)):
        raise ValueError(f"{path}: a face refers to point {faces.max()} or {faces.min()} of {len(points)}")
    normals = _stack(columns, ("nx", "ny", "nz"))
    colors = _stack(columns, ("red", "green", "blue"))
    if colors is not None and colors.dtype.kind == "f":
        colors = np.nan_to_num(colors.clip(0, 1) * 255).round()
    return PlyMesh(
        points.astype(np.float32 if points.dtype == np.float32 else np.float64),
        None if colors is None else colors.astype(np.uint8),
        None if normals is None else normals.astype(np.float64),
        faces,
    )


def write_ply(
    path: str | os.PathLike,
    points: np.ndarray,
    colors: np.ndarray | None = None,
    normals: np.ndarray | None = None,
    faces: np.ndarray | None = None,
    format: Literal["binary", "ascii"] = "binary",
) -> None:
    """Write a PLY file, atomically.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    points : (N, 3)
        float32 is written as float, everything else as double.
    colors : (N, 3) uint8, optional
    normals : (N, 3), optional
        Written as float.
    faces : (F, 3) int, optional
        Rows of `points`.
    format : "binary" (little-endian) or "ascii"

    Raises
    ------
    ValueError
        If a shape does not fit, colours are not uint8, or a face refers to a point that is not there.
    """
    if format not in ("binary", "ascii"):
        raise ValueError(f'format must be "binary" or "ascii", got {format!r}')
    points = np.asarray(points)
    kind = "f4" if points.dtype == np.float32 else "f8"
    fields = [(n, f"<{kind}") for n in "xyz"]
    parts = [("points", points, ("x", "y", "z"))]
    if normals is not None:
        fields += [(n, "<f4") for n in ("nx", "ny", "nz")]
        parts.append(("normals", np.asarray(normals), ("nx", "ny", "nz")))
    if colors is not None:
        if np.asarray(colors).dtype != np.uint8:
            raise ValueError(f"colors: expected uint8, got {np.asarray(colors).dtype}")
        fields += [(n, "u1") for n in ("red", "green", "blue")]
        parts.append(("colors", np.asarray(colors), ("red", "green", "blue")))
    table = np.empty(len(points), fields)
    for what, values, names in parts:
        if values.shape != (len(points), 3):
            raise ValueError(f"{what}: expected ({len(points)}, 3), got {values.shape}")
        for i, name in enumerate(names):
            table[name] = values[:, i]
    corners = None
    if faces is not None:
        corners = np.asarray(faces, np.int64).reshape(-1, 3)
        if len(corners) and (corners.min() < 0 or corners.max() >= len(points)):
            raise ValueError(f"faces: expected rows from 0 to {len(points) - 1}, got {corners.max()}")
    header = _header(format, table, corners)
    write_bytes(path, header + (_ascii(table, corners) if format == "ascii" else _binary(table, corners)))


def _header(format: str, table: np.ndarray, faces: np.ndarray | None) -> bytes:
    names = {"f4": "float", "f8": "double", "u1": "uchar"}
    lines = ["ply", f"format {'ascii' if format == 'ascii' else 'binary_little_endian'} 1.0"]
    lines += [f"element vertex {len(table)}"]
    lines += [f"property {names[table.dtype[n].str[1:]]} {n}" for n in table.dtype.names or ()]
    if faces is not None:
        lines += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    return "\n".join([*lines, "end_header", ""]).encode()


def _ascii(table: np.ndarray, faces: np.ndarray | None) -> bytes:
    columns = [map(str, table[n].astype(str) if table[n].dtype == np.float32 else table[n].tolist())
               for n in table.dtype.names or ()]  # fmt: skip
    lines = [" ".join(row) for row in zip(*columns, strict=True)]
    lines += [f"3 {a} {b} {c}" for a, b, c in (() if faces is None else faces.tolist())]
    return "\n".join([*lines, ""]).encode()


def _binary(table: np.ndarray, faces: np.ndarray | None) -> bytes:
    if faces is None:
        return table.tobytes()
    rows = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    rows["count"], rows["corners"] = 3, faces
    return table.tobytes() + rows.tobytes()


def _stack(columns: dict[str, np.ndarray], names: str | tuple[str, ...]) -> np.ndarray | None:
    """(N, 3) of three columns, None where one is missing."""
    if not set(names) <= set(columns):
        return None
    return np.stack([columns[n] for n in names], axis=1)
