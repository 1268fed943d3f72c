"""Gaussians as GLB, by the extension KHR_gaussian_splatting of glTF 2.0.

One primitive of points. Its attributes, floats: POSITION, and with the prefix `KHR_gaussian_splatting:` ROTATION (x, y,
z, w, unit), SCALE (standard deviations, not their logarithms), OPACITY (0 to 1), SH_DEGREE_l_COEF_n (RGB, n from order
-l). COLOR_0 (linear, as glTF has it) is for programs that draw points.

glTF has y up. The numbers stay those of the world with z up, and the node holds the rotation, by which programs turn
centres, axes and harmonics; what is read is turned back likewise. The world's unit and place are in `asset.extras`.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.geometry import SH_C0, Sim3, matrix_to_quaternion, quaternion_to_matrix
from geo3d.io.expand import check_expansion
from geo3d.io.splat_axes import Y_UP_FROM_WORLD, moved
from geo3d.io.splat_file import SplatFile, logit, numpy_gaussians, sigmoid, sound_rows
from geo3d.io.world_frame import WorldFrame
from geo3d.scene import Gaussians
from geo3d.util.files import atomic_path

EXTENSION = "KHR_gaussian_splatting"
_PREFIX = f"{EXTENSION}:"
_FLOAT, _BYTE = 5126, 5121
_KINDS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
_JSON, _BIN = 0x4E4F534A, 0x004E4942
_LEAST_BYTES = 56  # of a Gaussian in memory


def write_splat_glb(path: str | os.PathLike, gaussians: Gaussians, frame: WorldFrame | None = None) -> None:
    """Write GLB, atomically.

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
        If no row is a Gaussian, or they are more than 4 GiB.
    """
    g, _ = sound_rows(numpy_gaussians(gaussians), path)
    arrays = _attributes(g)
    size = sum(values.nbytes for values in arrays.values())
    if size > 0xF000_0000:
        raise ValueError(
            f"{path}: GLB holds at most 4 GiB, these are {size / 2**30:.1f}; lower the SH degree or crop"
        )
    text = json.dumps(_document(g, arrays, size, frame), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    with atomic_path(path) as scratch, scratch.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + size))
        file.write(struct.pack("<II", len(text), _JSON) + text + struct.pack("<II", size, _BIN))
        for values in arrays.values():
            values.tofile(file)


def _attributes(g: Gaussians) -> dict[str, np.ndarray]:
    """Name to (N, width) of each attribute; all of four bytes a number or four numbers."""
    opacity = sigmoid(g.logit_opacities)
    norms = np.linalg.norm(g.quaternions, axis=1, keepdims=True)
    srgb = np.clip(0.5 + SH_C0 * g.sh[:, 0], 0, 1)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    found = {
        "POSITION": g.means,
        "COLOR_0": np.rint(np.column_stack([linear, opacity]) * 255).astype(np.uint8),
        f"{_PREFIX}ROTATION": np.roll(g.quaternions / norms, -1, 1),
        f"{_PREFIX}SCALE": np.exp(g.log_scales),
        f"{_PREFIX}OPACITY": opacity,
    }
    for degree in range(g.sh_degree + 1):
        for n in range(2 * degree + 1):
            found[_coefficient(degree, n)] = g.sh[:, degree**2 + n]
    return {
        name: np.ascontiguousarray(values, values.dtype.newbyteorder("<")) for name, values in found.items()
    }


def _coefficient(degree: int, n: int) -> str:
    return f"{_PREFIX}SH_DEGREE_{degree}_COEF_{n}"


def _document(
    g: Gaussians, arrays: dict[str, np.ndarray], size: int, frame: WorldFrame | None
) -> dict[str, Any]:
    """The JSON of the file."""
    views, accessors, start = [], [], 0
    for values in arrays.values():
        width = 1 if values.ndim == 1 else values.shape[1]
        views.append({"buffer": 0, "byteOffset": start, "byteLength": values.nbytes, "target": 34962})
        accessors.append(
            {
                "bufferView": len(accessors),
                "componentType": _BYTE if values.dtype == np.uint8 else _FLOAT,
                "count": len(g),
                "type": {1: "SCALAR", 3: "VEC3", 4: "VEC4"}[width],
                **({"normalized": True} if values.dtype == np.uint8 else {}),
            }
        )
        start += values.nbytes
    if len(g):
        accessors[0] |= {"min": g.means.min(0).tolist(), "max": g.means.max(0).tolist()}
    w, x, y, z = matrix_to_quaternion(Y_UP_FROM_WORLD).tolist()
    extras: dict[str, Any] = {} if frame is None else {"world": frame.to_json()}
    if g.antialiased:
        extras["antialiased"] = True
    settings = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    primitive = {
        "mode": 0,
        "attributes": {name: i for i, name in enumerate(arrays)},
        "extensions": {EXTENSION: settings},
    }
    return {
        "asset": {"version": "2.0", "generator": "geo3d", "extras": {"geo3d": extras}},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "rotation": [x, y, z, w]}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": size}],
    }


def read_splat_glb(path: str | os.PathLike) -> SplatFile:
    """Read the Gaussians of a GLB, all of its scene in one, into a world with z up.

    Raises
    ------
    ValueError
        If it is no GLB, has no Gaussians, is truncated, or has them compressed or sheared.
    """
    path = Path(path)
    document, binary = _chunks(path.read_bytes(), path)
    parts, dropped, total = [], 0, 0
    try:
        for primitive, matrix in _primitives(document):
            part, bad = _primitive(primitive, document, binary, matrix, path)
            parts.append(part)
            dropped += bad
            total += len(part)
            check_expansion(total * _LEAST_BYTES, len(binary), path)  # a mesh may be there many times
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: the glTF document is corrupt ({type(error).__name__}: {error})") from None
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    if not parts:
        raise ValueError(f"{path}: no primitive in its scene has {EXTENSION}; it is a mesh or a point cloud")
    extras = document["asset"].get("extras") if isinstance(document.get("asset"), dict) else None
    own = extras.get("geo3d") if isinstance(extras, dict) else None
    own = own if isinstance(own, dict) else {}
    k = max(part.sh.shape[1] for part in parts)
    whole = Gaussians(
        np.concatenate([part.means for part in parts]),
        np.concatenate([part.quaternions for part in parts]),
        np.concatenate([part.log_scales for part in parts]),
        np.concatenate([part.logit_opacities for part in parts]),
        np.concatenate([np.pad(part.sh, ((0, 0), (0, k - part.sh.shape[1]), (0, 0))) for part in parts]),
        own.get("antialiased") is True,
    )
    return SplatFile(whole, WorldFrame.from_json(own.get("world")), dropped)


def _chunks(data: bytes, path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk."""
    if len(data) < 20 or data[:4] != b"glTF":
        raise ValueError(f"{path}: expected GLB ('glTF'), found {data[:8]!r}")
    found: dict[int, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        size, kind = struct.unpack_from("<II", data, at)
        if size > len(data) - at - 8:
            raise ValueError(
                f"{path}: a chunk claims {size:,} bytes, {len(data) - at - 8:,} are left; it is truncated"
            )
        found.setdefault(kind, data[at + 8 : at + 8 + size])
        at += 8 + size
    try:
        document = json.loads(found.get(_JSON, b""))
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: the JSON of the GLB cannot be read; it is corrupt") from None
    if not isinstance(document, dict):
        raise ValueError(
            f"{path}: expected an object as the JSON of the GLB, found a {type(document).__name__}"
        )
    return document, found.get(_BIN, b"")


def _primitives(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Each primitive of Gaussians in the scene, and the (4, 4) matrix that takes it there."""
    nodes = document.get("nodes", [])
    roots = (
        document["scenes"][document.get("scene", 0)]["nodes"] if "scenes" in document else range(len(nodes))
    )
    waiting = [(root, np.eye(4)) for root in roots]
    seen: set[int] = set()
    while waiting:
        index, parent = waiting.pop()
        if index in seen:
            raise ValueError(f"node {index} hangs in the scene twice or in a circle; it is corrupt")
        seen.add(index)
        node = nodes[index]
        matrix = parent @ _matrix(node)
        waiting += [(child, matrix) for child in node.get("children", [])]
        if "mesh" in node:
            for primitive in document["meshes"][node["mesh"]]["primitives"]:
                if EXTENSION in primitive.get("extensions", {}):
                    yield primitive, matrix


def _matrix(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    out = np.eye(4)
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    out[:3, :3] = quaternion_to_matrix([w, x, y, z]) * np.array(node.get("scale", (1, 1, 1)), np.float64)
    out[:3, 3] = node.get("translation", (0, 0, 0))
    return out


def _primitive(
    primitive: dict[str, Any], document: dict[str, Any], binary: bytes, matrix: np.ndarray, path: Path
) -> tuple[Gaussians, int]:
    """Its Gaussians in the world, and how many rows are none."""
    settings = primitive["extensions"][EXTENSION]
    if settings.get("extensions"):
        raise ValueError(
            f"the Gaussians are compressed by {', '.join(settings['extensions'])}, which is not supported"
        )
    attributes = primitive["attributes"]

    def values(name: str, width: int) -> np.ndarray:
        return _accessor(document, binary, attributes[name], width)

    degree = max(d for d in range(4) if d == 0 or _coefficient(d, 0) in attributes)
    sh = [values(_coefficient(d, n), 3) for d in range(degree + 1) for n in range(2 * d + 1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_scales = np.log(values(f"{_PREFIX}SCALE", 3))
        logits = logit(values(f"{_PREFIX}OPACITY", 1)[:, 0])
    q = np.roll(values(f"{_PREFIX}ROTATION", 4), 1, 1)
    found = Gaussians(values("POSITION", 3), q, log_scales, logits, np.stack(sh, 1))
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    scale = float(lengths.mean())
    if not np.isfinite(matrix).all() or not scale > 0 or np.ptp(lengths) > 1e-3 * scale:
        raise ValueError(
            "a node scales the axes of its Gaussians differently or to nothing, which is not supported"
        )
    turn = Y_UP_FROM_WORLD.T @ matrix[:3, :3] / scale
    move = Y_UP_FROM_WORLD.T @ matrix[:3, 3]
    if np.allclose([*turn.ravel(), scale], [*np.eye(3).ravel(), 1], rtol=0, atol=1e-9) and not move.any():
        return sound_rows(found, path)
    good, dropped = sound_rows(found, path)
    return moved(good, Sim3(np.array(scale), turn, move)), dropped


def _accessor(document: dict[str, Any], binary: bytes, index: int, width: int) -> np.ndarray:
    """(count, width) float32 of an accessor."""
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    kind = np.dtype(_KINDS[accessor["componentType"]])
    count, found = accessor["count"], _WIDTHS[accessor["type"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride", 0) or kind.itemsize * width
    if found != width or "sparse" in accessor or view["buffer"] != 0:
        raise ValueError(f"accessor {index}: expected {width} dense numbers a row in the GLB's own buffer")
    numbers = (count, start, stride)
    if not all(type(n) is int and n >= 0 for n in numbers) or stride < kind.itemsize * width:
        raise ValueError(
            f"accessor {index}: expected whole numbers as count, offset and stride, found {numbers}"
        )
    end = start + (count - 1) * stride + kind.itemsize * width if count else start
    if end > len(binary):
        raise ValueError(
            f"accessor {index} reaches to byte {end:,} of {len(binary):,}; it is truncated or corrupt"
        )
    rows = np.ndarray((count, width), kind, binary, start if count else 0, (stride, kind.itemsize))
    values = rows.astype(np.float32)
    if accessor.get("normalized") and kind.kind != "f":
        values = np.maximum(values / np.iinfo(kind).max, -1)
    return values
