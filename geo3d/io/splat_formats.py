"""Files of Gaussians by any of their formats: which one a file is, what a format keeps, what a written file lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo3d.geometry import sh_basis
from geo3d.io.ply_elements import read_ply_header
from geo3d.io.splat_antimatter import read_antimatter_splat, write_antimatter_splat
from geo3d.io.splat_compressed_ply import read_compressed_ply, write_compressed_ply
from geo3d.io.splat_file import SplatFile, numpy_gaussians, sigmoid, sound_rows
from geo3d.io.splat_glb import read_splat_glb, write_splat_glb
from geo3d.io.splat_html import write_splat_html
from geo3d.io.splat_order import by_importance, by_place, rows
from geo3d.io.splat_ply import read_splat_ply, write_splat_ply
from geo3d.io.splat_sog import read_sog, write_sog
from geo3d.io.splat_spz import read_spz, write_spz
from geo3d.io.world_frame import WorldFrame, read_world_file
from geo3d.scene import Gaussians


@dataclass(frozen=True)
class SplatFormat:
    """One format of files of Gaussians.

    Attributes
    ----------
    suffix : str
        Of its files, in small letters, with the dot.
    read : path to SplatFile, or None
        None for what is written to be looked at.
    write : path, Gaussians and WorldFrame to a file
    order : Gaussians to (N,) rows, or None
        The order in which it writes them; None where it keeps theirs.
    """

    suffix: str
    read: Callable[[str | os.PathLike], SplatFile] | None
    write: Callable[[str | os.PathLike, Gaussians, WorldFrame | None], None]
    order: Callable[[Gaussians], np.ndarray] | None = None


SPLAT_FORMATS = {
    "ply": SplatFormat(".ply", read_splat_ply, write_splat_ply),
    "compressed-ply": SplatFormat(".compressed.ply", read_compressed_ply, write_compressed_ply, by_place),
    "spz": SplatFormat(".spz", read_spz, write_spz),
    "splat": SplatFormat(".splat", read_antimatter_splat, write_antimatter_splat, by_importance),
    "sog": SplatFormat(".sog", read_sog, write_sog, by_place),
    "glb": SplatFormat(".glb", read_splat_glb, write_splat_glb),
    "html": SplatFormat(".html", None, write_splat_html),
}
"""Name to format."""

_HEAD = 1 << 20  # bytes in which a header ends


@dataclass(frozen=True)
class Difference:
    """Largest and mean absolute difference of a quantity over all Gaussians."""

    largest: float
    mean: float


@dataclass(frozen=True)
class SplatLoss:
    """What a file lost of the Gaussians that were written to it.

    Attributes
    ----------
    position : Difference
        Of the centres, world units.
    size : Difference
        Of the standard deviations, relative.
    rotation_deg : Difference
        Angle between the axes.
    opacity : Difference
        From 0 to 1.
    color : Difference
        From 0 to 1, seen from six sides.
    sh_degree : int
        Of the colours in the file.
    """

    position: Difference
    size: Difference
    rotation_deg: Difference
    opacity: Difference
    color: Difference
    sh_degree: int


def find_splat_format(path: str | os.PathLike) -> str:
    """Which of `SPLAT_FORMATS` the file `path` is, by its content; .splat, which has no header, by its name.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(4)
        if head[:3] == b"ply":
            elements = read_ply_header(head + file.read(_HEAD), path).elements
            return "compressed-ply" if any(e.name == "chunk" for e in elements) else "ply"
    if head == b"NGSP" or head[:2] == b"\x1f\x8b":
        return "spz"
    if head == b"PK\3\4":
        return "sog"
    if head == b"glTF":
        return "glb"
    if path.suffix.lower() == ".splat":
        return "splat"
    raise ValueError(
        f"{path}: no file of Gaussians: expected {', '.join(f.suffix for f in SPLAT_FORMATS.values())}"
    )


def read_splats(path: str | os.PathLike) -> SplatFile:
    """Read the Gaussians of the file `path`, whatever its format.

    Where the file does not tell its world, `NAME.georeference.json` beside it does.

    Raises
    ------
    ValueError
        If it is no file of Gaussians, or is corrupt.
    ImportError
        If a package is missing that the format needs.
    """
    read = SPLAT_FORMATS[find_splat_format(path)].read
    assert read is not None
    found = read(path)
    if found.frame != WorldFrame():
        return found
    return SplatFile(found.gaussians, read_world_file(path)[0], found.dropped)


def splat_format_of_name(path: str | os.PathLike) -> str | None:
    """The format that the name of the file `path` asks for; None where it asks for none."""
    name = Path(path).name.lower()
    fitting = [key for key, known in SPLAT_FORMATS.items() if name.endswith(known.suffix)]
    return max(fitting, key=lambda key: len(SPLAT_FORMATS[key].suffix), default=None)


def splat_loss(path: str | os.PathLike, format: str, gaussians: Gaussians) -> SplatLoss | None:
    """What the file lost, read back; None where its format is not read.

    Parameters
    ----------
    path : path
        As it was written.
    format : str
        Of `SPLAT_FORMATS`.
    gaussians : Gaussians
        As they were given to be written.
    """
    known = SPLAT_FORMATS[format]
    if known.read is None:
        return None
    b = known.read(path).gaussians
    a, _ = sound_rows(numpy_gaussians(gaussians), path)
    if known.order is not None:
        a = rows(a, known.order(a))
    units = [g.quaternions / np.linalg.norm(g.quaternions, axis=1, keepdims=True) for g in (a, b)]
    cosine = np.abs(np.einsum("ij,ij->i", *units, dtype=np.float64)).clip(0, 1)
    sides = np.concatenate([np.eye(3), -np.eye(3)])
    seen = [
        np.clip(0.5 + np.einsum("dk,nkc->ndc", sh_basis(sides, g.sh_degree).astype(np.float32), g.sh), 0, 1)
        for g in (a, b)
    ]
    return SplatLoss(
        _difference(np.linalg.norm(a.means - b.means, axis=1)),
        _difference(np.expm1(np.abs(a.log_scales - b.log_scales))),
        _difference(np.degrees(2 * np.arccos(cosine))),
        _difference(sigmoid(a.logit_opacities) - sigmoid(b.logit_opacities)),
        _difference(seen[0] - seen[1]),
        b.sh_degree,
    )


def _difference(values: np.ndarray) -> Difference:
    size = np.abs(values)
    return Difference(float(size.max(initial=0)), float(size.mean(dtype=np.float64)) if size.size else 0.0)
