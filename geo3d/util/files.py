"""Files that are there whole or not at all: write beside the target, flush to disk, rename into place."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(target: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it is renamed to `target`.

    The temporary path does not exist yet: write a file or make a folder there. On any error (Ctrl-C too) it is
    removed and `target` stays as it was.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    inner = scratch / target.name
    try:
        yield inner
        if inner.is_dir() and target.is_dir():
            old = scratch / "replaced"
            target.rename(old)
        elif inner.is_file():
            with inner.open("rb") as f:
                os.fsync(f.fileno())
        inner.replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_bytes(target: str | os.PathLike, data: bytes) -> None:
    """Write `data` to `target` atomically."""
    with atomic_path(target) as path:
        path.write_bytes(data)


def write_text(target: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8 to `target` atomically."""
    write_bytes(target, text.encode())


def path_inside(folder: str | os.PathLike, name: str) -> Path:
    """`folder / name`, for a name read from an untrusted file.

    Raises
    ------
    ValueError
        If the name is absolute or leads out of the folder (`..`, a symbolic link).
    """
    root = Path(folder).resolve()
    path = (root / name).resolve()
    if Path(name).is_absolute() or not path.is_relative_to(root) or "\0" in name:
        raise ValueError(f"the file names {name!r}, which is outside of its folder {root}; refused")
    return path
