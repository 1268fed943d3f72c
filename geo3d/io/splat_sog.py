"""Gaussians as SOG, version 2, of PlayCanvas: a zip of lossless WebP images and `meta.json`.
https://developer.playcanvas.com/user-manual/gaussian-splatting/formats/sog

One pixel a Gaussian, row by row, in Morton order:

    means_l, means_u     low and high byte of 16 bits for x, y, z, between bounds of sign(x) log(1 + |x|)
    quats                three of w, x, y, z as (q sqrt(2) + 1) / 2 x 255; alpha is 252 + which is largest and left out
    scales, sh0          indices into codebooks of 256 log scales and coefficients of degree 0; alpha of sh0: opacity
    shN_labels           16 bits: row of a palette of colours above degree 0
    shN_centroids        that palette, 64 rows of K - 1 pixels a line; indices into a codebook of 256 coefficients

`meta.json` also has the key `geo3d` with the world's unit and place.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.io.expand import check_expansion
from geo3d.io.splat_codebooks import number_codebook, row_codebook
from geo3d.io.splat_file import SplatFile, logit, numpy_gaussians, sigmoid, sound_rows
from geo3d.io.splat_order import by_place, rows
from geo3d.io.world_frame import WorldFrame
from geo3d.scene import Gaussians
from geo3d.util.files import write_bytes

_PALETTE = 1 << 16
_LINE = 64  # rows of the palette in a line of its image
_ABOVE = (0, 3, 8, 15)  # coefficients above degree 0
_LARGEST_META = 1 << 20  # bytes
_BYTES = 32  # of the images, a Gaussian


def write_sog(path: str | os.PathLike, gaussians: Gaussians, frame: WorldFrame | None = None) -> None:
    """Write SOG version 2, atomically, in Morton order.

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
    meta, images = _encode(g)
    own = {} if frame is None else {"geo3d": {"world": frame.to_json()}}
    text = json.dumps({**meta, **own}, separators=(",", ":"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [("meta.json", text.encode()), *((n, _webp(i)) for n, i in images.items())]:
            archive.writestr(zipfile.ZipInfo(name), content)  # a date of its own: the same file every time
    write_bytes(path, buffer.getvalue())


def _encode(g: Gaussians) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `meta.json` holds, and name to (H, W, 4) uint8 of each image."""
    n, above = len(g), g.sh.shape[1] - 1
    logs = np.sign(g.means) * np.log1p(np.abs(g.means.astype(np.float64)))
    low, high = (logs.min(0), logs.max(0)) if n else (np.zeros(3), np.zeros(3))
    code = np.rint((logs - low) / np.maximum(high - low, 1e-30) * 65535).astype(np.uint16)
    scales, scale_labels = number_codebook(g.log_scales)
    colors, color_labels = number_codebook(g.sh[:, 0])
    opacity = np.rint(sigmoid(g.logit_opacities) * 255).astype(np.uint8)
    images = {
        "means_l.webp": _image(code & 255),
        "means_u.webp": _image(code >> 8),
        "scales.webp": _image(scale_labels),
        "quats.webp": _image(_encode_rotations(g.quaternions)),
        "sh0.webp": _image(np.column_stack([color_labels, opacity])),
    }
    meta: dict[str, Any] = {
        "version": 2,
        "asset": {"generator": "geo3d"},
        "count": n,
        "antialias": g.antialiased,
        "means": {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"codebook": scales.tolist(), "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": colors.tolist(), "files": ["sh0.webp"]},
    }
    if above and n:
        palette, labels = row_codebook(g.sh[:, 1:].reshape(n, 3 * above), _PALETTE)
        levels, indices = number_codebook(palette)
        lines = -(-len(palette) // _LINE)
        texture = np.zeros((lines * _LINE, above, 4), np.uint8)
        texture[..., 3] = 255
        texture[: len(palette), :, :3] = indices.reshape(len(palette), above, 3)
        images["shN_centroids.webp"] = texture.reshape(lines, _LINE * above, 4)
        images["shN_labels.webp"] = _image(
            np.column_stack([labels & 255, labels >> 8, np.zeros_like(labels)])
        )
        meta["shN"] = {
            "count": len(palette),
            "bands": g.sh_degree,
            "codebook": levels.tolist(),
            "files": ["shN_centroids.webp", "shN_labels.webp"],
        }
    return meta, images


def _image(values: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8, nearly square, of (N, 3 or 4) numbers; alpha is 255 where they are three."""
    n, channels = values.shape
    width = max(4, -(-int(np.ceil(np.sqrt(n))) // 4) * 4)
    height = max(4, -(-n // (4 * width)) * 4)
    pixels = np.zeros((height * width, 4), np.uint8)
    pixels[:, 3] = 255
    pixels[:n, :channels] = values
    return pixels.reshape(height, width, 4)


def _encode_rotations(wxyz: np.ndarray) -> np.ndarray:
    q = wxyz.astype(np.float64)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    largest = np.abs(q).argmax(1)
    q *= np.where(np.take_along_axis(q, largest[:, None], 1) < 0, -1, 1)
    others = q[np.arange(4) != largest[:, None]].reshape(-1, 3)
    return np.column_stack([np.clip(np.rint((others * np.sqrt(2) + 1) * 127.5), 0, 255), 252 + largest])


def _decode_rotations(code: np.ndarray) -> np.ndarray:
    """(N, 4) wxyz; zero, which is no rotation, where the alpha is none."""
    others = (code[:, :3] / 127.5 - 1) / np.sqrt(2)
    largest = code[:, 3].astype(np.int64) - 252
    stored = np.arange(4) != np.maximum(largest, 0)[:, None]
    q = np.zeros((len(code), 4))
    q[stored] = others.ravel()
    q[~stored] = np.sqrt(np.maximum(0, 1 - np.square(others).sum(1)))
    q[largest < 0] = 0
    return q


def _webp(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, exact=True, quality=75, method=4)
    return buffer.getvalue()


def read_sog(path: str | os.PathLike) -> SplatFile:
    """Read SOG version 2, in one file.

    Raises
    ------
    ValueError
        If it is no SOG, is truncated, or claims what its size cannot hold.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(_Archive(archive, path), path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path}: the zip file is damaged or locked ({error})") from None
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: meta.json is corrupt ({type(error).__name__}: {error})") from None


class _Archive:
    """Entries of a zip file by name; what they would expand to is checked before."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive, self._path = archive, path
        self._size = path.stat().st_size

    def bytes(self, name: str) -> bytes:
        if name not in self._archive.namelist():
            raise ValueError(f"{self._path}: {str(name)[:80]!r} is not in it; it is no SOG, or truncated")
        info = self._archive.getinfo(name)
        if info.file_size > max(2 * self._size, _LARGEST_META):  # images and short text: they hardly shrink
            raise ValueError(
                f"{self._path}: {name!r} claims {info.file_size:,} bytes; it is corrupt or a bomb"
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(
                f"{self._path}: {name!r} is packed by a method that SOG does not use; it is corrupt"
            )
        # `ZipFile.read` would expand all that is there and then cut it to what the entry claims.
        with self._archive.open(info) as entry:
            return entry.read(info.file_size)

    def pixels(self, name: str, count: int) -> np.ndarray:
        """(P, 4) uint8, of an image of at least `count` pixels and not many more."""
        return self.image(name, count).reshape(-1, 4)[:count]

    def image(self, name: str, count: int) -> np.ndarray:
        """(H, W, 4) uint8, likewise."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self.bytes(name)), formats=("WEBP", "PNG")) as image:
                width, height = image.size
                if not count <= width * height <= 4 * count + (1 << 16):
                    raise ValueError(
                        f"{self._path}: {name} has {width}x{height} pixels for {count:,} values; corrupt"
                    )
                return np.asarray(image.convert("RGBA"))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{self._path}: {name} cannot be read ({error})") from None


def _read(archive: _Archive, path: Path) -> SplatFile:
    try:
        meta = json.loads(archive.bytes("meta.json"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ValueError(f"{path}: meta.json cannot be read; it is corrupt") from None
    count = meta["count"]
    if meta.get("version") != 2 or type(count) is not int or count < 0:
        raise ValueError(
            f"{path}: expected SOG version 2 and a count, found {meta.get('version')!r} and {count!r}"
        )
    check_expansion(count * _BYTES, path.stat().st_size, path)
    low, high = (_floats(meta["means"][key], 3, path) for key in ("mins", "maxs"))
    lower, upper = (archive.pixels(name, count)[:, :3].astype(np.float64) for name in meta["means"]["files"])
    logs = low + (high - low) * ((lower + 256 * upper) / 65535)
    scale_code = archive.pixels(meta["scales"]["files"][0], count)[:, :3]
    color_code = archive.pixels(meta["sh0"]["files"][0], count)
    rotation_code = archive.pixels(meta["quats"]["files"][0], count)
    colors = _floats(meta["sh0"]["codebook"], 256, path)[color_code[:, :3]]
    sh = np.concatenate([colors[:, None], _above(meta.get("shN"), archive, count, path)], 1)
    with np.errstate(over="ignore", invalid="ignore"):
        found = Gaussians(
            (np.sign(logs) * np.expm1(np.abs(logs))).astype(np.float32),
            _decode_rotations(rotation_code).astype(np.float32),
            _floats(meta["scales"]["codebook"], 256, path)[scale_code].astype(np.float32),
            logit(color_code[:, 3] / np.float32(255)),
            sh.astype(np.float32),
            meta.get("antialias") is True,
        )
    gaussians, dropped = sound_rows(found, path)
    own = meta.get("geo3d")
    return SplatFile(
        gaussians, WorldFrame.from_json(own.get("world") if isinstance(own, dict) else None), dropped
    )


def _above(record: Any, archive: _Archive, count: int, path: Path) -> np.ndarray:
    """(N, K - 1, 3) coefficients above degree 0."""
    if record is None:
        return np.zeros((count, 0, 3))
    bands, size = record["bands"], record["count"]
    if bands not in (1, 2, 3) or type(size) is not int or not 0 < size <= _PALETTE:
        raise ValueError(
            f"{path}: expected 1 to 3 bands and 1 to {_PALETTE} centroids, found {bands!r} and {size!r}"
        )
    above = _ABOVE[bands]
    texture = archive.image(record["files"][0], size * above)
    if texture.shape[1] != _LINE * above:
        raise ValueError(
            f"{path}: expected centroids in {_LINE * above} columns, found {texture.shape[1]}; corrupt"
        )
    palette = _floats(record["codebook"], 256, path)[texture.reshape(-1, above, 4)[:size, :, :3]]
    labels = archive.pixels(record["files"][1], count)[:, :2].astype(np.int64) @ [1, 256]
    if labels.size and labels.max() >= size:
        raise ValueError(f"{path}: a label is {labels.max()}, of {size} centroids; it is corrupt")
    return palette[labels]


def _floats(values: Any, size: int, path: Path) -> np.ndarray:
    """(size,) float64 of a list of numbers."""
    if (
        not isinstance(values, list)
        or len(values) != size
        or any(type(v) not in (int, float) for v in values)
    ):
        raise ValueError(
            f"{path}: expected {size} numbers in meta.json, found {str(values)[:60]}; it is corrupt"
        )
    return np.array(values, np.float64)
