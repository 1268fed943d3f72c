"""Gaussians as SPZ, Niantic's compressed format: version 4 written, 2 to 4 read. https://github.com/nianticlabs/spz

Version 4, little-endian:

    0   "NGSP", version u32, count u32, SH degree u8, fractional bits u8, flags u8, streams u8, offset of the table u32,
        12 bytes of zero
    32  where flags & 2: records of type u32, length u32, payload; unknown ones are passed over
    ..  the table: compressed and expanded size of each stream, u64
    ..  ZSTD streams: positions, opacities, colours, scales, rotations, SH above degree 0 where there is any

Versions 2 and 3 are one gzip stream: the first 16 bytes of that header, then the same attributes. A Gaussian has

    position   3 x 24 bits, two's complement, x 2^fractional bits
    opacity    u8, x 255
    colour     3 x u8, (0.15 sh_0 + 0.5) x 255
    scale      3 x u8, (log s + 10) x 16
    rotation   32 bits: which of x, y, z, w is largest (made positive, left out), then sign and 9 bits of the others x
               sqrt(2); in version 2 three bytes x, y, z with w positive
    SH         u8, sh x 128 + 128, rounded to steps of 4, which compress better; RGB innermost

The axes are those of OpenGL (x right, y up, z backward); worlds with z up are turned on the way
(`geo3d.io.splat_axes`). The world's unit and place go into a record of our own.
"""

from __future__ import annotations

import json
import logging
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo3d.io.expand import Gunzip, check_expansion, unzstd, zstd
from geo3d.io.splat_axes import Y_UP_FROM_WORLD, turned
from geo3d.io.splat_file import SplatFile, logit, numpy_gaussians, sigmoid, sound_rows
from geo3d.io.world_frame import WorldFrame
from geo3d.scene import Gaussians
from geo3d.util.files import write_bytes

MAGIC = b"NGSP"
_HEADER = struct.Struct("<4sIIBBBBI12x")
_OLD_HEADER = struct.Struct("<4sIIBBBB")
_RECORD = struct.Struct("<II")
_SIZES = struct.Struct("<QQ")
_ANTIALIASED, _HAS_RECORDS = 1, 2
_WORLD_RECORD = 0x67330001  # vendor "g3", its first record: a WorldFrame as JSON
_COLOR = 0.15
_BITS = 12  # of the fraction, as Niantic's library writes; small worlds get more
_SPARE_BITS = 4
_MOST_BITS = 24  # that readers take
_SH_STEP = 4  # finer than the 8 and 16 of Niantic's library: 6 dB closer, a sixth larger
_ABOVE = (0, 3, 8, 15, 24)  # coefficients above degree 0, by degree; 4 is read to 3

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Header:
    version: int
    count: int
    degree: int
    bits: int
    flags: int

    @property
    def sizes(self) -> list[int]:
        """Bytes of positions, opacities, colours, scales, rotations, SH."""
        rotation = 4 if self.version >= 3 else 3
        return [size * self.count for size in (9, 1, 3, 3, rotation, 3 * _ABOVE[self.degree])]


def read_spz(path: str | os.PathLike) -> SplatFile:
    """Read an SPZ file of version 2, 3 or 4, into a world with z up. Colours of degree 4 are cut to 3.

    Raises
    ------
    ValueError
        If it is no SPZ, is truncated, or claims what its size cannot hold.
    ImportError
        If it is of version 4 and the package zstandard is missing.
    """
    path = Path(path)
    data = path.read_bytes()
    if data[:4] == MAGIC:
        header, parts, frame = _read_streams(data, path)
    elif data[:2] == b"\x1f\x8b":
        (header, parts), frame = _read_gzip(data, path), WorldFrame()
    else:
        raise ValueError(f"{path}: expected SPZ ('NGSP' or a gzip stream), found {data[:8]!r}")
    if header.degree > 3:
        _log.warning("%s: spherical harmonics of degree 4 are read up to degree 3", path)
    gaussians, dropped = sound_rows(turned(_decode(header, parts), Y_UP_FROM_WORLD.T), path)
    return SplatFile(gaussians, frame, dropped)


def write_spz(path: str | os.PathLike, gaussians: Gaussians, frame: WorldFrame | None = None) -> None:
    """Write SPZ version 4, atomically.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    gaussians : Gaussians
        In a world with z up; rows with NaN and the like are left out, with a warning.
    frame : WorldFrame, optional
        Unit and place of their world.

    Raises
    ------
    ValueError
        If a centre is further than 2^23 units from the origin, or no row is a Gaussian.
    ImportError
        If the package zstandard is missing.
    """
    g, _ = sound_rows(numpy_gaussians(gaussians), path)
    g = turned(g, Y_UP_FROM_WORLD)
    bits = _fractional_bits(g.means, path)
    streams = [part.tobytes() for part in _encode(g, bits) if part.size]
    packed = [zstd(stream) for stream in streams]
    record = b""
    if frame not in (None, WorldFrame()):
        text = json.dumps(frame.to_json()).encode()
        record = _RECORD.pack(_WORLD_RECORD, len(text)) + text
    flags = _ANTIALIASED * g.antialiased | _HAS_RECORDS * bool(record)
    start = _HEADER.size + len(record)
    header = _HEADER.pack(MAGIC, 4, len(g), g.sh_degree, bits, flags, len(streams), start)
    table = [_SIZES.pack(len(a), len(b)) for a, b in zip(packed, streams, strict=True)]
    write_bytes(path, b"".join([header, record, *table, *packed]))


def _fractional_bits(means: np.ndarray, path: str | os.PathLike) -> int:
    """As many as leave room for the furthest centre; no more than 12 where those leave 1/2^18 of it or less."""
    furthest = float(np.abs(means).max(initial=0.0))
    room = 23 - int(np.frexp(furthest * (1 + 1e-6))[1]) if furthest > 0 else _BITS
    if room < 0:
        raise ValueError(
            f"{path}: SPZ holds centres up to 2^23 from the origin, one is {furthest:.3g} away; crop or scale"
        )
    return min(room, max(_BITS, room - _SPARE_BITS), _MOST_BITS)


def _encode(g: Gaussians, bits: int) -> list[np.ndarray]:
    """uint8 arrays of the streams, in order."""
    n = len(g)
    fixed = np.rint(g.means.astype(np.float64) * 2.0**bits).astype("<i4")
    colors = _byte(g.sh[:, 0] * (_COLOR * 255) + 127.5)
    scales = _byte((g.log_scales + 10) * 16)
    sh = np.clip(np.rint(g.sh[:, 1:] * 128) + 128, 0, 255).astype(np.uint8)
    sh = np.minimum((np.arange(256) + _SH_STEP // 2) // _SH_STEP * _SH_STEP, 255).astype(np.uint8)[sh]
    return [
        fixed.reshape(-1).view(np.uint8).reshape(3 * n, 4)[:, :3],
        _byte(sigmoid(g.logit_opacities) * 255),
        colors,
        scales,
        _encode_rotations(g.quaternions).view(np.uint8),
        sh,
    ]


def _byte(values: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def _encode_rotations(wxyz: np.ndarray) -> np.ndarray:
    """(N,) '<u4': the smallest three of x, y, z, w."""
    q = np.roll(wxyz.astype(np.float64), -1, 1)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    largest = np.abs(q).argmax(1)
    q *= np.where(np.take_along_axis(q, largest[:, None], 1) < 0, -1, 1)
    magnitude = np.floor(np.abs(q) * (511 * np.sqrt(2)) + 0.5).astype(np.uint32)
    code = largest.astype(np.uint32)
    for i in range(4):
        part = (q[:, i] < 0).astype(np.uint32) << 9 | np.minimum(magnitude[:, i], 511)
        code = np.where(largest == i, code, code << np.uint32(10) | part)
    return code.astype("<u4")


def _decode_rotations(data: bytes, count: int, version: int) -> np.ndarray:
    """(N, 4) float32 wxyz."""
    if version < 3:
        xyz = np.frombuffer(data, np.uint8).reshape(count, 3) / np.float32(127.5) - 1
        w = np.sqrt(np.maximum(0, 1 - np.square(xyz).sum(1, keepdims=True)))
        return np.concatenate([w, xyz], 1).astype(np.float32)
    code = np.frombuffer(data, "<u4").astype(np.uint32)
    largest = code >> 30
    q = np.zeros((count, 4))
    for i in (3, 2, 1, 0):
        stored = largest != i
        value = (code & 511) / (511 * np.sqrt(2)) * np.where(code & 512, -1, 1)
        q[:, i] = np.where(stored, value, 0)
        code = np.where(stored, code >> 10, code)
    left = np.sqrt(np.maximum(0, 1 - np.square(q).sum(1)))
    np.put_along_axis(q, largest[:, None].astype(np.int64), left[:, None], 1)
    return np.roll(q, 1, 1).astype(np.float32)


def _decode(header: _Header, parts: list[bytes]) -> Gaussians:
    n, above = header.count, _ABOVE[header.degree]
    positions, opacities, colors, scales, _, sh = (np.frombuffer(part, np.uint8) for part in parts)
    fixed = np.zeros((3 * n, 4), np.uint8)
    fixed[:, 1:] = positions.reshape(3 * n, 3)  # the sign lands in the highest bit
    means = (fixed.view("<i4").reshape(n, 3) >> 8) * 2.0**-header.bits
    coefficients = np.empty((n, min(above, 15) + 1, 3), np.float32)
    coefficients[:, 0] = (colors.reshape(n, 3) / np.float32(255) - np.float32(0.5)) / np.float32(_COLOR)
    coefficients[:, 1:] = (sh.reshape(n, above, 3)[:, :15].astype(np.float32) - 128) / 128
    return Gaussians(
        means.astype(np.float32),
        _decode_rotations(parts[4], n, header.version),
        scales.reshape(n, 3) / np.float32(16) - 10,
        logit(opacities / np.float32(255)),
        coefficients,
        bool(header.flags & _ANTIALIASED),
    )


def _checked(fields: tuple[int, int, int, int, int], size: int, path: Path) -> _Header:
    header = _Header(*fields)
    if header.degree >= len(_ABOVE) or header.bits > _MOST_BITS:
        raise ValueError(
            f"{path}: expected SH of degree 0 to 4 and up to {_MOST_BITS} fractional bits, found degree {header.degree}"
            f" and {header.bits} bits"
        )
    check_expansion(sum(header.sizes), size, path)
    return header


def _read_gzip(data: bytes, path: Path) -> tuple[_Header, list[bytes]]:
    stream = Gunzip(data, path)
    magic, version, count, degree, bits, flags, _ = _OLD_HEADER.unpack(stream.read(_OLD_HEADER.size))
    if magic != MAGIC or version not in (2, 3):
        raise ValueError(
            f"{path}: expected SPZ version 2 or 3 in a gzip stream, found {magic!r} version {version}"
        )
    header = _checked((version, count, degree, bits, flags), len(data), path)
    return header, [stream.read(size) for size in header.sizes]


def _read_streams(data: bytes, path: Path) -> tuple[_Header, list[bytes], WorldFrame]:
    if len(data) < _HEADER.size:
        raise ValueError(
            f"{path}: expected {_HEADER.size} bytes of header, found {len(data)}; it is truncated"
        )
    _, version, count, degree, bits, flags, streams, table = _HEADER.unpack_from(data)
    if version != 4:
        raise ValueError(f"{path}: expected SPZ version 4, found {version}; convert it with a newer program")
    header = _checked((version, count, degree, bits, flags), len(data), path)
    sizes = [size for size in header.sizes if size]
    at = table + _SIZES.size * streams
    if streams != len(sizes) or table < _HEADER.size or at > len(data):
        raise ValueError(
            f"{path}: expected a table of {len(sizes)} streams, found {streams} at byte {table} of {len(data)}; corrupt"
        )
    frame = _read_records(data[_HEADER.size : table]) if flags & _HAS_RECORDS else WorldFrame()
    parts = []
    for i, size in enumerate(sizes):
        packed, expanded = _SIZES.unpack_from(data, table + i * _SIZES.size)
        if expanded != size or packed > len(data) - at:
            raise ValueError(
                f"{path}: stream {i} claims {expanded:,} bytes in {packed:,}; expected {size:,} in at most "
                f"{len(data) - at:,}: truncated or corrupt"
            )
        parts.append(unzstd(data[at : at + packed], size, path))
        at += packed
    present = iter(parts)
    return header, [next(present) if size else b"" for size in header.sizes], frame


def _read_records(data: bytes) -> WorldFrame:
    """The world frame among the records, if there is one; vendors' records are passed over."""
    at = 0
    while at + _RECORD.size <= len(data):
        kind, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if kind == _WORLD_RECORD:
            try:
                return WorldFrame.from_json(json.loads(data[at : at + length]))
            except (ValueError, RecursionError):
                return WorldFrame()
        at += length
    return WorldFrame()
