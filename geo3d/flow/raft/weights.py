"""Weights of RAFT in files: the authors' checkpoints by their parameter names, and our own, which have the same.

A checkpoint is a dict of names to tensors as `torch.save` writes it, with `module.` before each name where it was
saved from `DataParallel`; ours hold that dict under `model`, beside the state of the training. The sizes of the
network are read off the shapes. Files are read without running code (`weights_only`).
"""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo3d.flow.raft.architecture import architecture_of
from geo3d.flow.raft.model import Raft
from geo3d.util.require import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch")

# What torch.load raises at bytes that are not what it expects.
_DAMAGE = (
    OSError,
    ValueError,
    RuntimeError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def load_raft(path: str | os.PathLike) -> Raft:
    """The network whose weights a file holds, for inference.

    Parameters
    ----------
    path : path-like
        Of the authors' checkpoints (raft-things.pth, raft-small.pth, ...), or written by `geo3d.flow.raft.training`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read, is not of a RAFT network, lacks a parameter, or has one of a wrong shape or not finite.
    """
    content = read_tensors(path)
    state = content.get("model", content)
    if not isinstance(state, dict):
        raise ValueError(f"{path}: expected a dict of parameters, got {type(state).__name__}")
    return raft_of(state, str(path))


def read_tensors(path: str | os.PathLike) -> dict[str, Any]:
    """The dict in a file that `torch.save` wrote, read without running what is in it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read so, or does not hold a dict.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            _check_archive(file, path.stat().st_size)
            content = torch.load(file, map_location="cpu", weights_only=True)
        except _DAMAGE as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"{path}: not a file of weights that PyTorch can read without running code, or damaged ({reason[:200]})"
            ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a dict of parameters, got {type(content).__name__}")
    return content


def _check_archive(file: Any, size: int) -> None:
    """Refuse a zip archive that claims more than the file has: PyTorch stores its tensors without compression."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
        if claimed > size:
            raise ValueError(f"its parts are said to have {claimed} bytes, in a file of {size}")
    file.seek(0)


def raft_of(state: dict[str, Tensor], source: str) -> Raft:
    """The network with given parameters, in evaluation mode.

    Parameters
    ----------
    state : dict of str to Tensor
        By name, with or without `module.`.
    source : str
        Where they come from, for messages.

    Raises
    ------
    ValueError
        As `load_raft`.
    """
    named = {str(name).removeprefix("module."): value for name, value in state.items()}
    for name, value in named.items():
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"{source}: {name[:80]!r} is a {type(value).__name__}, expected a tensor")
        if value.untyped_storage().nbytes() < value.numel() * value.element_size():
            raise ValueError(f"{source}: {name[:80]!r} claims {value.numel()} numbers and has fewer")
    try:
        architecture = architecture_of({name: tuple(value.shape) for name, value in named.items()})
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    with torch.device("meta"):  # shapes alone: nothing is allocated before they are known to fit
        network = Raft(architecture)
    _check_parameters(network.state_dict(), named, source)
    network = network.to_empty(device="cpu")
    network.load_state_dict(named)
    return network.eval()


def _check_parameters(expected: dict[str, Tensor], found: dict[str, Tensor], source: str) -> None:
    missing, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing:
        raise ValueError(f"{source}: {len(missing)} parameters are missing, the first is {missing[0]}")
    if more:
        raise ValueError(
            f"{source}: {len(more)} parameters are of no part of RAFT, the first is {more[0][:80]!r}"
        )
    for name, value in expected.items():
        if found[name].shape != value.shape:
            raise ValueError(
                f"{source}: {name} has shape {tuple(found[name].shape)}, expected {tuple(value.shape)} by the others"
            )
        if not torch.isfinite(found[name]).all():
            raise ValueError(
                f"{source}: {name} has values that are not finite; the training diverged, or the file is "
                "damaged"
            )
