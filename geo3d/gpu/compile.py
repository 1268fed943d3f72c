"""CUDA C++ to machine code (a cubin) for one architecture: from the wheel, from the cache on disk, or by NVRTC.

A cubin's name holds a hash of its source, of the headers that this includes, and of the compiler's options; one that
does not fit what lies beside it is never used. `python -m geo3d.gpu.prebuild` writes those of the wheel.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import tempfile
from pathlib import Path

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
"""Compute capabilities, times ten, for which the wheel holds cubins: Turing to Blackwell."""

_OPTIONS = {"std": "c++17", "ftz": True}
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.M)


def source_hash(source: Path) -> str:
    """Hash of a .cu file, of all that it includes between quotes, and of the compiler's options.

    Parameters
    ----------
    source : Path
        The .cu file; its headers lie in the same folder.
    """
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(
                source.parent / name for name in _INCLUDE.findall(path.read_text(encoding="utf-8"))
            )
    digest = hashlib.sha256(repr(sorted(_OPTIONS.items())).encode())
    for path in sorted(found):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def compile_cubin(source: Path, architecture: int) -> bytes:
    """Compile a .cu file by NVRTC; needs neither a GPU nor a driver.

    Parameters
    ----------
    source : Path
        The .cu file; its headers lie in the same folder.
    architecture : int
        Compute capability times ten, such as 90.

    Raises
    ------
    ImportError
        If cuda-core or NVRTC is missing.
    RuntimeError
        If the compiler refuses the source; it holds the compiler's words.
    """
    try:
        core = importlib.import_module("cuda.core")
    except ImportError as error:
        raise ImportError("the compiler of CUDA kernels is missing: pip install 'geo3d[cuda]'") from error
    options = core.ProgramOptions(
        name=source.name, arch=f"sm_{architecture}", include_path=str(source.parent), **_OPTIONS
    )
    try:
        program = core.Program(source.read_text(encoding="utf-8"), "c++", options)
        return bytes(program.compile("cubin").code)
    except Exception as error:  # cuda-core's own classes, and pathfinder's where there is no NVRTC
        if "DynamicLib" in type(error).__name__:
            raise ImportError("NVRTC is missing: pip install 'geo3d[cuda]'") from error
        raise RuntimeError(f"{source.name} for sm_{architecture}: {error}") from error


def prebuilt_path(source: Path, architecture: int) -> Path:
    """Where the wheel holds a cubin.

    Parameters
    ----------
    source : Path
        The .cu file.
    architecture : int
        Compute capability times ten.
    """
    return source.parent / "cubins" / _name(source, architecture)


def cached_path(source: Path, architecture: int, cache: Path) -> Path:
    """Where a cubin compiled here is kept.

    Parameters
    ----------
    source : Path
        The .cu file.
    architecture : int
        Compute capability times ten.
    cache : Path
        Folder that nobody else can write into.
    """
    return cache / "cubins" / _name(source, architecture)


def find_cubin(source: Path, architecture: int, cache: Path) -> bytes:
    """The wheel's cubin that this architecture can run, else the cached one, else a fresh one, which is then cached.

    Parameters
    ----------
    source : Path
        The .cu file.
    architecture : int
        Compute capability of the GPU times ten. A cubin runs on later GPUs of the same generation too.
    cache : Path
        Folder that nobody else can write into.
    """
    for older in range(architecture, architecture // 10 * 10 - 1, -1):
        path = prebuilt_path(source, older)
        if path.is_file():
            return path.read_bytes()
    path = cached_path(source, architecture, cache)
    if path.is_file():
        return path.read_bytes()
    return compile_into(path, source, architecture)


def compile_into(path: Path, source: Path, architecture: int) -> bytes:
    """Compile and keep at `path`, whole or not at all.

    Parameters
    ----------
    path : Path
        The cubin.
    source : Path
        The .cu file.
    architecture : int
        Compute capability times ten.
    """
    code = compile_cubin(source, architecture)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(code)
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return code


def _name(source: Path, architecture: int) -> str:
    return f"{source.stem}-{source_hash(source)}-sm_{architecture}.cubin"
