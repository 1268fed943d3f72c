"""Numba with a cache that can be trusted.

Numba's own cache looks at the file of the kernel only: a function that the kernel calls and that lives in another
file may change, and the stale machine code stays in use. Here the name of a kernel's cache folder holds a hash of
its file and of every file of geo3d that this imports, directly or through others: a change in any of them starts a
fresh folder, and the kernels that do not depend on it keep theirs.

Kernels whose last bits reach a result are compiled without `fastmath`: it lets the compiler round differently
wherever a function is inlined, and a freshly compiled kernel then differs from the same kernel out of the cache.

`njit` is `numba.njit(cache=True)` bound to that folder.
"""

import atexit
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_ROOT = Path(__file__).parents[1]
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(geo3d[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+(geo3d[\w.]*))", re.M
)


@cache
def kernel_cache() -> Path:
    """Folder of all compiled kernels, made if missing.

    Below NUMBA_CACHE_DIR or XDG_CACHE_HOME or ~/.cache, or a private temporary folder where none of these is writable.
    """
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "geo3d"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(folder)
    except OSError:
        folder = _temporary_cache()
    _remove_old(folder)
    return folder


def _temporary_cache() -> Path:
    """A folder among the temporary files that nobody else can write into: what lies in it is executed.

    The one of earlier runs, if it is ours and private; else one of this process, which is removed at its end.
    """
    folder = Path(tempfile.gettempdir()) / f"geo3d-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return folder
    folder = Path(tempfile.mkdtemp(prefix="geo3d-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _folder_of(source: Path) -> Path:
    """Cache folder of the kernels that the file `source` defines."""
    digest = hashlib.sha256()
    for path in sorted(_sources(source)):
        digest.update(os.path.relpath(path, _ROOT).encode() + b"\0" + path.read_bytes())
    folder = kernel_cache() / f"kernels-{source.stem}-{digest.hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    os.utime(folder)
    return folder


def _sources(source: Path) -> set[Path]:
    """The file and those of the package that it imports, directly or through others."""
    found, waiting = set(), [source]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imported(path))
    return found


@cache
def _imported(source: Path) -> list[Path]:
    paths = []
    for module, names, plain in _IMPORT.findall(source.read_text()):
        place = _ROOT.joinpath(*(module or plain).split(".")[1:])
        paths += [place.with_suffix(".py"), place / "__init__.py"]
        paths += [place / f"{name}.py" for name in re.findall(r"\w+", names)]
    return [path for path in paths if path.is_file()]


def _remove_old(folder: Path) -> None:
    """Remove what other versions of the kernels left and nobody has used for 30 days."""
    month = 30 * 24 * 3600
    now = time.time()
    for other in folder.glob("kernels-*"):
        if now - other.stat().st_mtime > month:
            shutil.rmtree(other, ignore_errors=True)


def njit(**options: Any) -> Callable[[F], F]:
    """Decorator: `numba.njit(cache=True, **options)`, cached in a folder of `kernel_cache()`.

    Use `nogil=True` for kernels that run in threads. Nothing is compiled before the first call.
    """
    import numba
    from numba.core import config

    def wrap(function: F) -> F:
        before = config.CACHE_DIR  # pyright: ignore[reportAttributeAccessIssue]
        folder = _folder_of(Path(function.__code__.co_filename))  # pyright: ignore[reportFunctionMemberAccess]
        config.CACHE_DIR = str(folder)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            return numba.njit(cache=True, **options)(function)  # pyright: ignore[reportReturnType]
        finally:
            config.CACHE_DIR = before  # pyright: ignore[reportAttributeAccessIssue]

    return wrap
