"""Files of a field: tensors and a JSON header, written by `torch.save`, read without running code.

The file is a zip archive without compression. Before anything of it is unpickled, its parts are held against the size
of the file, and what it names against what tensors take (`weights_only=True` lets a file ask for a `bytearray` of any
length too). Every tensor is held against the size afterwards: reading takes no more memory than the file has bytes,
whatever it says. The header is one more tensor, `header`, the bytes of a JSON object.
"""

from __future__ import annotations

import json
import os
import pickle
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.render.checkpoint import Checkpoint, check_stored
from geo3d.util.files import atomic_path
from geo3d.util.require import require

_HEADER = "header"
_VERSION = 1
_MOST_TENSORS = 256
_NAMED = re.compile(r"collections OrderedDict|torch\._utils _rebuild_tensor_v2|torch \w+Storage")
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    AttributeError,
    zipfile.BadZipFile,
)


def write_tensors(
    path: str | os.PathLike, kind: str, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]
) -> None:
    """Write arrays and a header in place of an older file, atomically.

    Parameters
    ----------
    path : path-like
    kind : str
        What it is of, in a word; whoever reads it has to name the same.
    arrays : mapping of str to ndarray
        Of numbers. The name `header` is taken.
    header : mapping
        What JSON can hold.
    """
    torch = require("torch")
    assert _HEADER not in arrays
    record = {"geo3d_field": _VERSION, "kind": kind, "header": dict(header)}
    words = np.frombuffer(json.dumps(record).encode(), np.uint8).copy()
    given = {_HEADER: words, **arrays}
    tensors = {name: torch.from_numpy(np.array(array, order="C")) for name, array in given.items()}
    with atomic_path(path) as partial:
        torch.save(tensors, partial)


def read_tensors(path: str | os.PathLike, kind: str) -> Checkpoint:
    """Read what `write_tensors` wrote.

    Parameters
    ----------
    path : path-like
    kind : str
        That it has to be of.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, no such file of geo3d, of another kind, or claims more than it holds.
    """
    path = Path(path)
    size = path.stat().st_size
    torch = require("torch")
    try:
        with zipfile.ZipFile(path) as archive:
            check_stored(archive.infolist(), size)
        _check_names(path)
        arrays = _numbers(torch.load(path, map_location="cpu", weights_only=True), size)
        record = json.loads(arrays.pop(_HEADER).tobytes())
        found = record["kind"], record["geo3d_field"]
        header = dict(record["header"])
    except (*_DAMAGE, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(f"{path}: not a field of geo3d, or damaged ({reason}); train it again") from error
    if found != (kind, _VERSION):
        raise ValueError(
            f"{path}: expected {kind!r}, version {_VERSION}, found {found[0]!r}, version {found[1]!r}"
        )
    return Checkpoint(arrays, header)


def _check_names(path: Path) -> None:
    """Refuse a pickle that names anything but what a table of tensors is made of."""
    with zipfile.ZipFile(path) as archive:
        data = [archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")]
    if len(data) != 1:
        raise ValueError("it holds no table of tensors")
    for code, named, _ in pickletools.genops(data[0]):
        if code.name == "STACK_GLOBAL" or (
            code.name in ("GLOBAL", "INST") and not _NAMED.fullmatch(str(named))
        ):
            raise ValueError(f"it asks for {str(named)[:80]!r}, which is no part of tensors")


def _numbers(tensors: Any, size: int) -> dict[str, np.ndarray]:
    """The tensors as arrays; a view that repeats its numbers is refused."""
    torch = require("torch")
    if not isinstance(tensors, dict) or not 0 < len(tensors) <= _MOST_TENSORS:
        raise ValueError("it holds no table of tensors")
    left = size
    for name, tensor in tensors.items():
        if (
            not isinstance(name, str)
            or not isinstance(tensor, torch.Tensor)
            or tensor.layout != torch.strided
        ):
            raise ValueError("it holds what is no plain tensor")
        left -= tensor.numel() * tensor.element_size()
        if left < 0 or not tensor.is_contiguous():
            raise ValueError(f"the tensor {name[:80]!r} is said to be larger than the file")
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}
