"""Take stock of a folder of photos: which can be used, which not and why, who shares a camera.

The photos are brought into a workspace by hard link (by copy where the file system allows no link); what
other programs cannot open (HEIC, AVIF) is converted once.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geo3d.images.camera_guess import focal_from_exif, group_key
from geo3d.images.exif import Gps, read_exif
from geo3d.images.folder import list_photos
from geo3d.images.photo import PhotoError, read_photo
from geo3d.util.files import atomic_path, path_inside, write_text
from geo3d.util.require import require
from geo3d.util.threads import map_threads

_CONVERTED = {".heic", ".heif", ".avif"}


@dataclass(frozen=True)
class ScannedPhoto:
    """One photo that can be used.

    Attributes
    ----------
    name : str
        Name in the workspace, with forward slashes.
    source : str
        Name below the folder it came from.
    width, height : int
        Pixels as stored.
    group : str
        Photos of one group share their camera.
    focal_px : float
    focal_source : str
        "35 mm equivalent", "sensor table", "focal plane resolution" or "guess".
    gps : Gps or None
    """

    name: str
    source: str
    width: int
    height: int
    group: str
    focal_px: float
    focal_source: str
    gps: Gps | None = None


@dataclass
class Scan:
    """What a folder holds: usable photos in the order of their names, and the others with the reason."""

    photos: list[ScannedPhoto]
    rejected: dict[str, str] = field(default_factory=dict)  # name below the folder -> reason


def hash_photos(
    folder: Path, names: list[str], cache: Path, progress: Callable[[int], None] = lambda done: None
) -> dict[str, str]:
    """Content hashes of photos; a file whose size and time have not changed is not read again.

    Parameters
    ----------
    folder : Path
    names : list of str
    cache : Path
        JSON file of the hashes that are known.
    progress : callable
        Called with the number of photos done.
    """
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}

    def hash_of(name: str) -> list:
        status = (folder / name).stat()
        stamp = [status.st_size, status.st_mtime_ns]
        old = known.get(name)
        if isinstance(old, list) and old[:2] == stamp:
            return old
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        return [*stamp, digest.hexdigest()]

    hashes = {}
    for done, (name, entry) in enumerate(zip(names, map_threads(hash_of, names)), 1):
        hashes[name] = entry
        progress(done)
    write_text(cache, json.dumps(hashes, ensure_ascii=False))
    return {name: entry[2] for name, entry in hashes.items()}


def scan_photos(
    folder: Path, names: list[str], hashes: dict[str, str], per: Literal["exif", "folder", "photo"] = "exif"
) -> Scan:
    """Read the headers of photos and group them by camera.

    Parameters
    ----------
    folder : Path
    names : list of str
        As from `list_photos`.
    hashes : dict
        Content hashes; of photos with equal content the first is used.
    per : {"exif", "folder", "photo"}
        Which photos share a camera.
    """
    first: dict[str, str] = {}
    scan = Scan([])
    for name, result in zip(names, map_threads(lambda n: _scan_one(folder, n, per), names)):
        twin = first.setdefault(hashes[name], name)
        if isinstance(result, str):
            scan.rejected[name] = result
        elif twin != name:
            scan.rejected[name] = f"same file as {twin}"
        else:
            scan.photos.append(result)
    return scan


def _scan_one(folder: Path, name: str, per: Literal["exif", "folder", "photo"]) -> ScannedPhoto | str:
    path = folder / name
    try:
        if path.suffix.lower() in _CONVERTED:
            require("pillow_heif")
        exif = read_exif(path)
    except PhotoError as error:
        return str(error)
    except OSError as error:
        return f"cannot be opened: {error.strerror or error}"
    focal, source = focal_from_exif(exif)
    target = f"{name}.jpg" if path.suffix.lower() in _CONVERTED else name
    return ScannedPhoto(
        target, name, exif.width, exif.height, group_key(exif, name, per), focal, source, exif.gps
    )


def bring_photos(folder: Path, photos: list[ScannedPhoto], images: Path) -> None:
    """Fill the folder `images` with exactly these photos.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    images.mkdir(parents=True, exist_ok=True)
    wanted = {photo.name for photo in photos}
    for name in list_photos(images):
        if name not in wanted:
            (images / name).unlink()
    for photo in photos:
        source, target = folder / photo.source, path_inside(images, photo.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if photo.name != photo.source:
            _convert(source, target)
        elif not (target.exists() and source.samefile(target)):
            _link(source, target)


def _link(source: Path, target: Path) -> None:
    with atomic_path(target) as path:
        try:
            os.link(source.resolve(), path)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
                raise
            shutil.copy2(source, path)


def _convert(source: Path, target: Path) -> None:
    if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
        return
    from PIL import Image

    pixels = read_photo(source).pixels
    with atomic_path(target) as path:
        Image.fromarray(pixels).save(path, "JPEG", quality=98, subsampling=0)
