"""Files that are there whole or not at all: write beside the target, flush to disk, rename into place."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PARTIAL = ".partial"


@contextmanager
def atomic_path(target: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it is renamed to `target`.

    The temporary path does not exist yet: write a file or make a folder there. On any error (Ctrl-C too) it is
    removed and `target` stays as it was. What a killed process leaves is removed by `remove_partial`.

    Raises
    ------
    OSError
        If the folder cannot be written; it names `target`.
    """
    target = Path(target)
    scratch: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name[:80]}.", suffix=_PARTIAL, dir=target.parent))
        inner = scratch / target.name
        yield inner
        if inner.is_dir() and target.is_dir():
            target.rename(scratch / "replaced")
        elif inner.is_file():
            with inner.open("rb") as f:
                os.fsync(f.fileno())
        inner.replace(target)
    except OSError as error:
        if error.filename is not None and _PARTIAL in str(error.filename):
            error.filename, error.filename2 = str(target), None
        raise
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def remove_partial(folder: str | os.PathLike) -> None:
    """Remove what killed processes left half-written in a folder and those below it; nothing may be writing there."""
    for path in Path(folder).rglob(f".*{_PARTIAL}"):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone; made if missing. The lock goes with the process, however it ends.

    Raises
    ------
    BlockingIOError
        If another process holds it.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                error.errno,
                "another geo3d is at work in this folder; wait for it or stop it",
                str(folder),
            ) from None
        yield


def write_bytes(target: str | os.PathLike, data: bytes) -> None:
    """Write `data` to `target` atomically."""
    with atomic_path(target) as path:
        path.write_bytes(data)


def write_text(target: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8 to `target` atomically."""
    write_bytes(target, text.encode())


def read_json_object(path: Path) -> dict:
    """A JSON object that we wrote; empty where it is missing or damaged, as if nothing had been done."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def content_hash(path: Path) -> str:
    """Hash of what a file holds, 128 bits as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


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
