"""A cursor over the bytes of an untrusted little-endian file: no count is believed.

Whatever does not fit is a ValueError that names the file, the byte, what was expected and what was found.
"""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np


class BinaryFile:
    """The bytes of a file and the place where reading stands.

    Parameters
    ----------
    path : path-like
        File to read. Its size bounds every array that is made from it.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.data = self.path.read_bytes()
        self.offset = 0

    @property
    def remaining(self) -> int:
        return len(self.data) - self.offset

    def error(self, message: str) -> ValueError:
        return ValueError(f"{self.path}: {message} (at byte {self.offset} of {len(self.data)})")

    def need(self, size: int, what: str) -> None:
        """Raise unless `size` bytes are left."""
        if size > self.remaining:
            raise self.error(
                f"expected {size} bytes of {what}, found {self.remaining}; the file is truncated or corrupt"
            )

    def unpack(self, layout: struct.Struct, what: str) -> tuple[Any, ...]:
        self.need(layout.size, what)
        values = layout.unpack_from(self.data, self.offset)
        self.offset += layout.size
        return values

    def count(self, layout: struct.Struct, smallest: int, what: str) -> int:
        """Number of records of at least `smallest` bytes each, checked against the bytes that are left."""
        number = self.unpack(layout, f"the number of {what}")[0]
        if number * smallest > self.remaining:
            raise self.error(
                f"claims {number} {what} of at least {smallest} bytes each, but {self.remaining} "
                "bytes are left; "
                "the file is truncated or corrupt"
            )
        return number

    def array(self, dtype: np.dtype | str, count: int, what: str) -> np.ndarray:
        """`count` items as a read-only view of the file's bytes."""
        dtype = np.dtype(dtype)
        self.need(dtype.itemsize * count, what)
        values = np.frombuffer(self.data, dtype, count, self.offset)
        self.offset += dtype.itemsize * count
        return values

    def text(self, what: str) -> str:
        """A UTF-8 string that ends with a zero byte."""
        end = self.data.find(b"\0", self.offset)
        if end < 0:
            raise self.error(
                f"expected {what} that ends with a zero byte, found none; the file is truncated or corrupt"
            )
        try:
            value = self.data[self.offset : end].decode()
        except UnicodeDecodeError:
            raise self.error(
                f"expected {what} in UTF-8, found {self.data[self.offset : end][:80]!r}"
            ) from None
        self.offset = end + 1
        return value

    def finish(self) -> None:
        """Raise if anything is left."""
        if self.remaining:
            raise self.error(
                f"expected the end of the file, found {self.remaining} more bytes; it is corrupt"
            )
