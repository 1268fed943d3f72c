"""Numba with a cache that can be trusted.

Numba's own cache looks at the file of the kernel only: a function that the kernel calls and that lives in another
file may change, and the stale machine code stays in use. Here the cache folder's name holds a hash of the source
of every file that defines a kernel, so that any change starts a fresh folder.

Kernels whose last bits reach a result are compiled without `fastmath`: it lets the compiler round differently
wherever a function is inlined, and a freshly compiled kernel then differs from the same kernel out of the cache.

Kernel files are those that import this module. `njit` is `numba.njit(cache=True)` bound to that folder.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_MARK = b"geo3d.util.jit"


@cache
def kernel_cache_folder() -> Path:
    """Folder of the compiled kernels, made if missing.

    Below NUMBA_CACHE_DIR or XDG_CACHE_HOME or ~/.cache, or a temporary folder where none of these is writable.
    Folders left by other versions of the kernels are removed when they have not been used for 30 days.
    """
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        source = path.read_bytes()
        if _MARK in source:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + source)
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "geo3d" / f"kernels-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        _remove_old(folder)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"geo3d-{os.getuid()}" / folder.name
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _remove_old(current: Path) -> None:
    month = 30 * 24 * 3600
    now = current.stat().st_mtime
    for other in current.parent.glob("kernels-*"):
        if other != current and now - other.stat().st_mtime > month:
            shutil.rmtree(other, ignore_errors=True)


def njit(**options: Any) -> Callable[[F], F]:
    """Decorator: `numba.njit(cache=True, **options)`, cached in `kernel_cache_folder()`.

    Use `nogil=True` for kernels that run in threads. Nothing is compiled before the first call.
    """
    import numba
    from numba.core import config

    def wrap(function: F) -> F:
        before = config.CACHE_DIR  # pyright: ignore[reportAttributeAccessIssue]
        config.CACHE_DIR = str(kernel_cache_folder())  # pyright: ignore[reportAttributeAccessIssue]
        try:
            return numba.njit(cache=True, **options)(function)  # pyright: ignore[reportReturnType]
        finally:
            config.CACHE_DIR = before  # pyright: ignore[reportAttributeAccessIssue]

    return wrap
