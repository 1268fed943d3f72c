"""Compressed data of untrusted files, expanded to no more than its header says and its size makes believable.

A real file of Gaussians shrinks 2 to 10 times. One that claims more than `_RATIO` times its size and is not small
anyway is a bomb, and is refused before anything is expanded.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from geo3d.util.require import require

_ALWAYS_FINE = 1 << 26  # bytes
_RATIO = 100


def check_expansion(claimed: int, compressed: int, path: Path) -> None:
    """Raise ValueError if `compressed` bytes of the file `path` can hardly hold the `claimed` ones."""
    if claimed > max(_ALWAYS_FINE, _RATIO * compressed):
        raise ValueError(
            f"{path}: claims {claimed:,} bytes in {compressed:,}, more than {_RATIO} to 1; it is corrupt or a bomb"
        )


class Gunzip:
    """A gzip stream `data` of the file `path`, expanded part by part.

    Raises
    ------
    ValueError
        When a part is asked for that is not there, or the stream is damaged.
    """

    def __init__(self, data: bytes, path: Path) -> None:
        self._stream, self._left, self._path = zlib.decompressobj(16 + zlib.MAX_WBITS), data, path

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        parts, missing = [], size
        while missing > 0:
            try:
                part = self._stream.decompress(self._left, missing)
            except zlib.error as error:
                raise ValueError(f"{self._path}: the gzip stream is damaged ({error})") from None
            self._left = self._stream.unconsumed_tail
            parts.append(part)
            missing -= len(part)
            if not part:
                raise ValueError(f"{self._path}: expected {missing:,} bytes more; it is truncated")
        return b"".join(parts)


def unzstd(data: bytes, size: int, path: Path) -> bytes:
    """The ZSTD frame `data` of the file `path`, expanded to exactly `size` bytes.

    Raises
    ------
    ValueError
        If it is damaged or holds another number of bytes.
    ImportError
        If the package zstandard is missing.
    """
    zstandard = require("zstandard")
    wrong = f"{path}: a ZSTD stream does not hold the {size:,} bytes that the header says; it is corrupt"
    try:
        if zstandard.frame_content_size(data) not in (size, -1):
            raise ValueError(wrong)
        found = zstandard.ZstdDecompressor().decompress(data, max_output_size=size) if size else b""
    except zstandard.ZstdError as error:
        raise ValueError(f"{path}: a ZSTD stream is damaged ({error})") from None
    if len(found) != size:
        raise ValueError(wrong)
    return found


def zstd(data: bytes) -> bytes:
    """`data` as a ZSTD frame that tells its size, at the level that SPZ's own library uses; the same on any machine.

    Raises
    ------
    ImportError
        If the package zstandard is missing.
    """
    return require("zstandard").ZstdCompressor(level=12, threads=-1).compress(data)
