"""Public data sets by name: manifests with addresses, sizes, checksums and licences; download, check, unpack.

    path = geo3d.datasets.fetch("south-building")

A manifest is `datasets/NAME.json`. Each of its files has one or more addresses and, where they are known, a size
and a SHA-256. Where the SHA-256 is not known (null), that of the first download is shown and written to
`NAME.sha256` beside the data, and every later download into that folder has to have it.

A data set is complete or absent: files are fetched into `.NAME.part/` (an interrupted download goes on where
it stopped, if the server allows it), checked, unpacked and renamed into place.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from geo3d.util.files import atomic_path, path_inside, write_text
from geo3d.util.progress import Progress, StageProgress, make_progress

__all__ = ["Dataset", "DatasetFile", "cache_folder", "describe", "fetch", "load", "names"]

_ATTEMPTS = 3
_CHUNK = 1 << 16
_TIMEOUT_S = (10, 60)  # to connect, between two pieces
_LARGEST_RATIO = 100  # unpacked over packed, for archives whose unpacked size is not declared


@dataclass(frozen=True)
class DatasetFile:
    """One file to download."""

    path: str  # where it goes, below the folder of the data set; the name of an archive
    urls: tuple[str, ...]  # tried in this order
    size: int | None = None  # bytes
    sha256: str | None = None
    extract: bool = False  # a zip or tar archive, unpacked into the folder of the data set
    unpacked_size: int | None = None  # bytes, of an archive


@dataclass(frozen=True)
class Dataset:
    """What a manifest says."""

    name: str
    title: str
    description: str
    homepage: str
    licence: str
    citation: str
    files: tuple[DatasetFile, ...]


def names() -> list[str]:
    """Names of the data sets that `fetch` knows, sorted.

    Examples
    --------
    >>> "south-building" in names()
    True
    """
    return sorted(path.stem for path in _manifest_folder().glob("*.json"))


def load(name: str) -> Dataset:
    """The manifest of a data set.

    Raises
    ------
    ValueError
        If there is none of that name; the message lists those there are.
    """
    if name not in names():
        raise ValueError(f"name: there is no data set {name!r}; there are {', '.join(names())}")
    content = json.loads((_manifest_folder() / f"{name}.json").read_text(encoding="utf-8"))
    files = tuple(DatasetFile(**{**entry, "urls": tuple(entry["urls"])}) for entry in content.pop("files"))
    return Dataset(name=name, files=files, **content)


def describe(name: str) -> str:
    """Title, size, licence, citation and source of a data set, as text to print.

    Raises
    ------
    ValueError
        If there is no data set of that name.
    """
    dataset = load(name)
    sizes = [file.size for file in dataset.files]
    known = sum(size or 0 for size in sizes)
    size = "not known" if not known else f"{'more than ' if None in sizes else ''}{known / 1e6:.1f} MB"
    unchecked = sum(file.sha256 is None for file in dataset.files)
    checksum = (
        "known" if not unchecked else f"not known for {unchecked}: that of the first download is recorded"
    )
    return "\n".join(
        [
            f"{dataset.name}: {dataset.title}",
            dataset.description,
            f"files: {len(dataset.files)}, download: {size}, checksums: {checksum}",
            f"licence: {dataset.licence}",
            f"cite: {dataset.citation}",
            f"from: {dataset.homepage}",
        ]
    )


def cache_folder() -> Path:
    """Folder of the data sets where none is named: that of the user's caches."""
    import pooch

    return Path(pooch.os_cache("geo3d")) / "datasets"


def fetch(name: str, folder: str | os.PathLike | None = None, progress: bool = True) -> Path:
    """Folder of a data set, downloaded if it is not there yet.

    Parameters
    ----------
    name : str
        One of `names()`.
    folder : path, optional
        The data set becomes `folder/name`; by default in `cache_folder()`.
    progress : bool
        Show the progress on stderr.

    Returns
    -------
    Path
        `folder/name`, complete and checked.

    Raises
    ------
    ValueError
        If there is no data set of that name, or a file is not what the manifest says: another size or
        checksum, an archive that is damaged, names files outside of its folder or unpacks to more than it may.
    FileExistsError
        If `folder/name` is there and was not made by this function.
    ConnectionError
        If no address answers with the file; what has arrived is kept, and the next call goes on from there.
    """
    dataset = load(name)
    root = Path(folder) if folder is not None else cache_folder()
    target = root / name
    recorded = _read_record(root / f"{name}.sha256")
    expected = {file.path: file.sha256 or recorded.get(file.path) for file in dataset.files}
    if target.exists():
        if not recorded:
            raise FileExistsError(
                f"{target} is there and was not made by fetch; name another folder, or move it"
            )
        if recorded == expected:
            return target
    parts = root / f".{name}.part"
    shown = make_progress(quiet=not progress)
    found = _download_all(dataset, expected, parts, shown)
    with atomic_path(target) as scratch:
        _assemble(dataset, parts, scratch)
    write_text(root / f"{name}.sha256", "".join(f"{digest}  {path}\n" for path, digest in found.items()))
    shutil.rmtree(parts)
    for path in found:
        if expected[path] is None:
            shown.note(f"{name}: no checksum was known of {path}; recorded sha256 {found[path]}")
    return target


def _manifest_folder() -> Path:
    """Inside the package in a wheel, beside it in a checkout."""
    packaged = Path(__file__).parent / "_datasets"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "datasets"


def _read_record(path: Path) -> dict[str, str]:
    """Path -> SHA-256 of an earlier download, as `sha256sum` writes them; empty where there was none."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def _download_all(
    dataset: Dataset, expected: dict[str, str | None], parts: Path, shown: Progress
) -> dict[str, str]:
    """All files below `parts`; path -> SHA-256 of what came. Progress in megabytes."""
    import pooch

    sizes = [file.size for file in dataset.files]
    total = None if None in sizes else sum(size or 0 for size in sizes) / 1e6
    with shown.stage(f"fetch {dataset.name}", total) as stage:
        before = 0
        for file in dataset.files:
            report = _report(stage, before, file.path)
            before += _download(dataset, file, expected[file.path], parts, report).stat().st_size
            stage.update(before / 1e6)
    return {file.path: pooch.file_hash(str(parts / file.path), alg="sha256") for file in dataset.files}


def _report(stage: StageProgress, before: int, path: str) -> Callable[[int], None]:
    return lambda arrived: stage.update((before + arrived) / 1e6, text=path)


def _download(
    dataset: Dataset, file: DatasetFile, sha256: str | None, parts: Path, report: Callable[[int], None]
) -> Path:
    """The file below `parts`, from the first of its addresses that has it."""
    import pooch
    import requests

    path = path_inside(parts, file.path)
    receive: Any = _Receiver(path.with_name(path.name + ".part"), file.size, report)
    failures: list[str] = []
    wrong = False
    for url in file.urls:
        try:
            with _quiet(pooch.get_logger()):
                pooch.retrieve(
                    url, f"sha256:{sha256}" if sha256 else None, file.path, parts, downloader=receive
                )
            return path
        except requests.RequestException as error:
            failures.append(f"{url}: {error}")
        except ValueError as error:
            wrong = True
            failures.append(f"{url}: {error}")
    reasons = "\n  ".join(failures)
    if wrong:
        raise ValueError(
            f"data set {dataset.name}: {file.path} is not the file that was promised; nothing of it was kept. "
            f"It was damaged on its way, or has changed at its source ({dataset.homepage}).\n  {reasons}"
        )
    raise ConnectionError(
        f"data set {dataset.name}: {file.path} could not be downloaded. Check the network and call again (what "
        f"has arrived is kept), or put the file at {path} by hand.\n  {reasons}"
    )


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Only warnings from pooch: progress and checksums are shown in our own words."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@dataclass(frozen=True)
class _Receiver:
    """Downloader for pooch: goes on with what an earlier try has left, and stops at the declared size."""

    part: Path  # what has arrived
    size: int | None  # bytes, declared
    report: Callable[[int], None]  # bytes so far

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        import requests

        for left in reversed(range(_ATTEMPTS)):
            try:
                self._receive(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                if left == 0:
                    raise
        self._version.unlink(missing_ok=True)
        self.part.replace(output_file)

    @property
    def _version(self) -> Path:
        """What the server called the version of which `part` is the beginning."""
        return self.part.with_name(self.part.name + ".version")

    def _receive(self, url: str) -> None:
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have and self._version.is_file():
            headers |= {"Range": f"bytes={have}-", "If-Range": self._version.read_text(encoding="utf-8")}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                self.part.unlink()
                raise requests.ConnectionError(
                    "what was left of an earlier download does not fit; starting again"
                )
            answer.raise_for_status()
            goes_on = answer.status_code == requests.codes.partial_content
            have = have if goes_on else 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            self._check(total)
            version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            self._version.write_text(version, encoding="utf-8") if version else self._version.unlink(
                missing_ok=True
            )
            with self.part.open("ab" if goes_on else "wb") as f:
                for chunk in answer.iter_content(_CHUNK):
                    have += len(chunk)
                    if self.size is not None and have > self.size:
                        break
                    f.write(chunk)
                    self.report(have)
        if total is not None and have < total:
            raise requests.ConnectionError(f"the connection ended after {have} of {total} bytes")
        self._check(have)

    def _check(self, total: int | None) -> None:
        if total is not None and self.size is not None and total != self.size:
            self.part.unlink(missing_ok=True)
            raise ValueError(f"expected {self.size} bytes, the server sends {total}")


def _assemble(dataset: Dataset, parts: Path, folder: Path) -> None:
    """Unpack and move the downloaded files into `folder`, archives first: they are what can fail."""
    folder.mkdir()
    for file in dataset.files:
        if file.extract:
            try:
                _extract(parts / file.path, folder, file.unpacked_size)
            except ValueError:
                (parts / file.path).unlink()  # else every later call would meet it again
                raise
    for file in dataset.files:
        if not file.extract:
            path = path_inside(folder, file.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(parts / file.path, path)


def _extract(archive: Path, folder: Path, unpacked_size: int | None) -> None:
    """Unpack a zip or tar archive: plain files and folders, none outside of `folder`, no more than it may be.

    Raises
    ------
    ValueError
        If the archive does not keep to that, or is damaged.
    """
    left = unpacked_size if unpacked_size is not None else _LARGEST_RATIO * archive.stat().st_size
    try:
        for name, stream in _members(archive):
            path = path_inside(folder, name)
            if stream is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with stream, path.open("xb") as f:
                while chunk := stream.read(_CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise ValueError(f"{archive.name} unpacks to more than it may (at {name}); refused")
                    f.write(chunk)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise ValueError(f"{archive.name} is damaged: {error}") from error


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Name and content of each file of the archive, in its order; None for a folder."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise ValueError(f"{archive.name} holds the link {info.filename}; refused")
                yield info.filename, None if info.is_dir() else opened.open(info)
    else:
        with tarfile.open(archive) as opened:
            for member in opened:
                if not (member.isfile() or member.isdir()):
                    raise ValueError(f"{archive.name} holds {member.name}, a link or a device; refused")
                yield member.name, None if member.isdir() else opened.extractfile(member)
