"""PLY: points with colours and normals, and triangle meshes; ASCII and binary of both byte orders.

Faces of more than three corners are read as fans of triangles. Elements and properties that are not points,
normals, colours or faces are passed over.
"""

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from geo3d.util.files import write_bytes

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_LARGEST_HEADER = 1 << 20
_FACE_LISTS = ("vertex_indices", "vertex_index")


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


@dataclass(frozen=True)
class _Property:
    name: str
    kind: str  # NumPy code without byte order
    count_kind: str | None = None  # of a list


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]


def read_ply(path: str | os.PathLike) -> PlyMesh:
    """Read a PLY file.

    Raises
    ------
    ValueError
        If the file is not PLY, is truncated or corrupt, or a face refers to a point that is not there.
    """
    path = Path(path)
    data = path.read_bytes()
    order, elements, start = _read_header(data, path)
    body = _AsciiBody(data, start, path) if order == "" else _BinaryBody(data, start, path, order)
    columns: dict[str, np.ndarray] = {}
    faces: np.ndarray | None = None
    for element in elements:
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


def _read_header(data: bytes, path: Path) -> tuple[str, list[_Element], int]:
    """Byte order, elements, and where the body begins."""
    match = re.match(rb"ply\s*\n(.*?)\nend_header[ \t]*(\r\n|\n|\r)", data[:_LARGEST_HEADER], re.DOTALL)
    if match is None:
        raise ValueError(
            f"{path}: expected a PLY header from 'ply' to 'end_header', found {data[:16]!r}..., truncated or not PLY"
        )
    order: str | None = None
    elements: list[tuple[str, int, list[_Property]]] = []
    for line in match[1].decode("ascii", "replace").splitlines():
        words = line.split()
        try:
            if words[:1] == ["format"]:
                order = _ORDERS[words[1]]
            elif words[:1] == ["element"]:
                elements.append((words[1], int(words[2]), []))
                if elements[-1][1] < 0:
                    raise ValueError
            elif words[:2] == ["property", "list"]:
                elements[-1][2].append(_Property(words[4], _TYPES[words[3]], _TYPES[words[2]]))
            elif words[:1] == ["property"]:
                elements[-1][2].append(_Property(words[2], _TYPES[words[1]]))
            elif words and words[0] not in ("comment", "obj_info"):
                raise ValueError
        except (ValueError, KeyError, IndexError):
            raise ValueError(f"{path}: expected a line of a PLY header, found {line[:80]!r}") from None
    if order is None:
        raise ValueError(f"{path}: the PLY header has no format line")
    for name, _, properties in elements:
        if len({p.name for p in properties}) < len(properties):
            raise ValueError(f"{path}: a property of {name} is there twice")
    return order, [_Element(name, count, tuple(p)) for name, count, p in elements], match.end()


class _BinaryBody:
    def __init__(self, data: bytes, start: int, path: Path, order: str) -> None:
        self.data, self.at, self.path, self.order = data, start, path, order

    def _need(self, size: int, what: str) -> None:
        left = len(self.data) - self.at
        if size > left:
            raise ValueError(
                f"{self.path}: expected {size} bytes of {what} at byte {self.at}, found {left}; it is truncated"
            )

    def table(self, element: _Element) -> dict[str, np.ndarray]:
        dtype = np.dtype([(p.name, self.order + p.kind) for p in element.properties])
        self._need(dtype.itemsize * element.count, f"{element.count} of {element.name}")
        rows = np.frombuffer(self.data, dtype, element.count, self.at)
        self.at += dtype.itemsize * element.count
        return {p.name: rows[p.name].astype(p.kind) for p in element.properties}

    def lists(self, element: _Element) -> np.ndarray | None:
        """(F, 3) triangles of a face element, None where it has none."""
        smallest = sum(np.dtype(p.count_kind or p.kind).itemsize for p in element.properties)
        self._need(smallest * element.count, f"{element.count} of {element.name}")
        fast = self._triangles(element)
        if fast is not None:
            return fast
        polygons: list[tuple[int, ...]] = []
        layouts = {
            p: struct.Struct(self.order + np.dtype(p.count_kind or p.kind).char) for p in element.properties
        }
        for _ in range(element.count):
            for p in element.properties:
                self._need(layouts[p].size, element.name)
                value = layouts[p].unpack_from(self.data, self.at)[0]
                self.at += layouts[p].size
                if p.count_kind is None:
                    continue
                if not 0 <= value <= len(self.data) or value != int(value):
                    raise ValueError(
                        f"{self.path}: a list of {element.name} claims {value} items; it is corrupt"
                    )
                dtype = np.dtype(self.order + p.kind)
                self._need(dtype.itemsize * int(value), f"a list of {element.name}")
                if p.name in _FACE_LISTS:
                    polygons.append(tuple(np.frombuffer(self.data, dtype, int(value), self.at).tolist()))
                self.at += dtype.itemsize * int(value)
        return _fans(polygons, element, self.path)

    def _triangles(self, element: _Element) -> np.ndarray | None:
        """The case that nearly every file is: one list, three corners in each."""
        if (
            len(element.properties) != 1
            or element.properties[0].name not in _FACE_LISTS
            or element.count == 0
        ):
            return None
        p = element.properties[0]
        dtype = np.dtype([("count", f"{self.order}{p.count_kind}"), ("corners", self.order + p.kind, 3)])
        if p.kind[0] == "f" or dtype.itemsize * element.count > len(self.data) - self.at:
            return None
        rows = np.frombuffer(self.data, dtype, element.count, self.at)
        if not (rows["count"] == 3).all():
            return None
        self.at += dtype.itemsize * element.count
        return rows["corners"].astype(np.int64)


class _AsciiBody:
    def __init__(self, data: bytes, start: int, path: Path) -> None:
        self.tokens, self.at, self.path = data[start:].split(), 0, path

    def _take(self, count: int, what: str) -> list[float]:
        part = self.tokens[self.at : self.at + count]
        if len(part) < count:
            raise ValueError(
                f"{self.path}: expected {count} numbers of {what}, found {len(part)}; it is truncated"
            )
        self.at += count
        try:
            return list(map(float, part))
        except ValueError:
            raise ValueError(
                f"{self.path}: expected numbers of {what}, found {part[:8]}; it is corrupt"
            ) from None

    def table(self, element: _Element) -> dict[str, np.ndarray]:
        width = len(element.properties)
        values = np.array(self._take(width * element.count, element.name)).reshape(-1, width)
        columns = {}
        for p, column in zip(element.properties, values.T, strict=True):
            if p.kind[0] != "f":
                limits = np.iinfo(p.kind)
                if not ((column >= limits.min) & (column <= limits.max)).all():
                    raise ValueError(
                        f"{self.path}: {element.name} {p.name} does not fit its type; it is corrupt"
                    )
            with np.errstate(over="ignore"):
                columns[p.name] = column.astype(p.kind)
        return columns

    def lists(self, element: _Element) -> np.ndarray | None:
        """(F, 3) triangles of a face element, None where it has none."""
        polygons = []
        if element.count * len(element.properties) > len(self.tokens) - self.at:
            raise ValueError(
                f"{self.path}: claims {element.count} of {element.name}, more than is left; truncated"
            )
        for _ in range(element.count):
            for p in element.properties:
                value = self._take(1, element.name)[0]
                if p.count_kind is None:
                    continue
                if not 0 <= value <= len(self.tokens) or value != int(value):
                    raise ValueError(
                        f"{self.path}: a list of {element.name} claims {value} items; it is corrupt"
                    )
                items = self._take(int(value), f"a list of {element.name}")
                if p.name in _FACE_LISTS:
                    polygons.append(tuple(items))
        return _fans(polygons, element, self.path)


def _fans(polygons: list[tuple], element: _Element, path: Path) -> np.ndarray | None:
    """(F, 3) int64, each polygon as triangles around its first corner."""
    if not any(p.name in _FACE_LISTS for p in element.properties):
        return None
    triangles = [(c[0], c[i], c[i + 1]) for c in polygons for i in range(1, len(c) - 1)]
    values = np.array(triangles, np.float64).reshape(-1, 3)
    if not (np.abs(values) < 2**53).all() or (values != np.floor(values)).any():
        raise ValueError(f"{path}: expected integers as corners of faces; it is corrupt")
    return values.astype(np.int64)
