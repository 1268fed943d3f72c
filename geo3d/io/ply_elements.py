"""What a PLY file is made of: the header's elements and properties, and the bodies that hold their values.

Counts are checked against the size of the file before anything of that size is made.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_LARGEST_HEADER = 1 << 20
_FACE_LISTS = ("vertex_indices", "vertex_index")


@dataclass(frozen=True)
class PlyProperty:
    """One number or list of numbers that every row of an element has."""

    name: str
    kind: str  # NumPy code without byte order
    count_kind: str | None = None  # of a list


@dataclass(frozen=True)
class PlyElement:
    """Rows of the same properties; `count` is what the header claims."""

    name: str
    count: int
    properties: tuple[PlyProperty, ...]


@dataclass(frozen=True)
class PlyHeader:
    """What stands before the numbers.

    Attributes
    ----------
    order : "", "<" or ">"
        Of bytes; empty for ASCII.
    elements : tuple of PlyElement
        In the order of the body.
    comments : tuple of str
        Without the word `comment`.
    start : int
        Byte at which the body begins.
    """

    order: str
    elements: tuple[PlyElement, ...]
    comments: tuple[str, ...]
    start: int

    def body(self, data: bytes, path: Path) -> "BinaryBody | AsciiBody":
        """What reads the elements of the file `path`, whose content is `data`, one after the other."""
        if self.order == "":
            return AsciiBody(data, self.start, path)
        return BinaryBody(data, self.start, path, self.order)


def read_ply_header(data: bytes, path: Path) -> PlyHeader:
    """The header of a file's content `data`; `path` is named in errors.

    Raises
    ------
    ValueError
        If it is no PLY header, or a property is there twice.
    """
    match = re.match(rb"ply\s*\n(.*?)\nend_header[ \t]*(\r\n|\n|\r)", data[:_LARGEST_HEADER], re.DOTALL)
    if match is None:
        raise ValueError(
            f"{path}: expected a PLY header from 'ply' to 'end_header', found {data[:16]!r}..., truncated or not PLY"
        )
    order: str | None = None
    elements: list[tuple[str, int, list[PlyProperty]]] = []
    comments: list[str] = []
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
                elements[-1][2].append(PlyProperty(words[4], _TYPES[words[3]], _TYPES[words[2]]))
            elif words[:1] == ["property"]:
                elements[-1][2].append(PlyProperty(words[2], _TYPES[words[1]]))
            elif words[:1] == ["comment"]:
                comments.append(line.strip()[len("comment") :].strip())
            elif words and words[0] != "obj_info":
                raise ValueError
        except (ValueError, KeyError, IndexError):
            raise ValueError(f"{path}: expected a line of a PLY header, found {line[:80]!r}") from None
    if order is None:
        raise ValueError(f"{path}: the PLY header has no format line")
    for name, _, properties in elements:
        if len({p.name for p in properties}) < len(properties):
            raise ValueError(f"{path}: a property of {name} is there twice")
    parts = tuple(PlyElement(name, count, tuple(p)) for name, count, p in elements)
    return PlyHeader(order, parts, tuple(comments), match.end())


class BinaryBody:
    """Reads the elements of a binary file in their order."""

    def __init__(self, data: bytes, start: int, path: Path, order: str) -> None:
        self.data, self.at, self.path, self.order = data, start, path, order

    def _need(self, size: int, what: str) -> None:
        left = len(self.data) - self.at
        if size > left:
            raise ValueError(
                f"{self.path}: expected {size} bytes of {what} at byte {self.at}, found {left}; it is truncated"
            )

    def rows(self, element: PlyElement) -> np.ndarray:
        """(count,) structured, a view of the file's bytes."""
        dtype = np.dtype([(p.name, self.order + p.kind) for p in element.properties])
        self._need(dtype.itemsize * element.count, f"{element.count} of {element.name}")
        rows = np.frombuffer(self.data, dtype, element.count, self.at)
        self.at += dtype.itemsize * element.count
        return rows

    def table(self, element: PlyElement) -> dict[str, np.ndarray]:
        """Name to (count,) of each property."""
        rows = self.rows(element)
        return {p.name: rows[p.name].astype(p.kind) for p in element.properties}

    def lists(self, element: PlyElement) -> np.ndarray | None:
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

    def _triangles(self, element: PlyElement) -> np.ndarray | None:
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


class AsciiBody:
    """Reads the elements of an ASCII file in their order."""

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

    def rows(self, element: PlyElement) -> np.ndarray:
        """(count,) structured."""
        columns = self.table(element)
        rows = np.empty(element.count, [(p.name, p.kind) for p in element.properties])
        for name, column in columns.items():
            rows[name] = column
        return rows

    def table(self, element: PlyElement) -> dict[str, np.ndarray]:
        """Name to (count,) of each property."""
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

    def lists(self, element: PlyElement) -> np.ndarray | None:
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


def _fans(polygons: list[tuple], element: PlyElement, path: Path) -> np.ndarray | None:
    """(F, 3) int64, each polygon as triangles around its first corner."""
    if not any(p.name in _FACE_LISTS for p in element.properties):
        return None
    triangles = [(c[0], c[i], c[i + 1]) for c in polygons for i in range(1, len(c) - 1)]
    values = np.array(triangles, np.float64).reshape(-1, 3)
    if not (np.abs(values) < 2**53).all() or (values != np.floor(values)).any():
        raise ValueError(f"{path}: expected integers as corners of faces; it is corrupt")
    return values.astype(np.int64)
