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
from geo3d.util.files import atomic_path, path_inside, read_json_object, write_text
from geo3d.util.names import check_photo_name
from geo3d.util.require import require
from geo3d.util.threads import map_threads

MIN_SIDE = 32
"""Pixels; what is smaller is no photograph."""

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
    gimbal_deg : (yaw, pitch, roll) or None
        Of a drone's camera, see `Exif`.
    orientation : int
        EXIF's, 1 to 8.
    """

    name: str
    source: str
    width: int
    height: int
    group: str
    focal_px: float
    focal_source: str
    gps: Gps | None = None
    gimbal_deg: tuple[float, float, float] | None = None
    orientation: int = 1


@dataclass
class Scan:
    """What a folder holds: usable photos in the order of their names, and the others with the reason."""

    photos: list[ScannedPhoto]
    rejected: dict[str, str] = field(default_factory=dict)  # name below the folder -> reason


def find_photos(photos: Path, scene: Path) -> tuple[list[str], dict[str, str]]:
    """Photos of a folder, without those of a scene that lies inside of it.

    Parameters
    ----------
    photos : Path
        May be `scene/images`: the photos are where COLMAP has them.
    scene : Path

    Returns
    -------
    names : list of str
        With forward slashes, sorted.
    rejected : dict
        Names that cannot be used, to the reason.

    Raises
    ------
    ValueError
        If there are fewer than two photos, or both folders are the same.
    OSError
        If the folder cannot be read.
    """
    names = list_photos(photos)
    if photos.resolve() == scene.resolve():
        raise ValueError(f"photos and scene are the same folder {photos}: choose another for the scene")
    if photos.resolve() != (scene / "images").resolve():
        inside = scene.resolve()
        names = [name for name in names if not (photos / name).resolve().is_relative_to(inside)]
    rejected = {}
    for name in names:
        try:
            check_photo_name(name, photos)
        except ValueError:
            rejected[ascii(name)] = "its name holds control characters or is not UTF-8: rename it"
    names = [name for name in names if ascii(name) not in rejected]
    if not names:
        others = sum(1 for path in photos.rglob("*") if path.is_file())
        raise ValueError(
            f"no photos in {photos} ({others} other files): expected .jpg, .png, .tif, .heic, ..."
        )
    if len(names) < 2:
        raise ValueError(f"only one photo in {photos}: depth needs at least two, from different places")
    return names, rejected


def hash_photos(
    folder: Path, names: list[str], cache: Path, progress: Callable[[int], None] = lambda done: None
) -> tuple[dict[str, str], dict[str, str]]:
    """Content hashes of files; one whose size and time have not changed is not read again.

    Parameters
    ----------
    folder : Path
    names : list of str
    cache : Path
        JSON file of the hashes that are known; made or replaced.
    progress : callable
        Called with the number of files done.

    Returns
    -------
    hashes : dict
        Name to hash.
    unreadable : dict
        Name to reason.
    """
    known = read_json_object(cache)

    def hash_of(name: str) -> list | str:
        try:
            status = (folder / name).stat()
            stamp = [status.st_size, status.st_mtime_ns]
            old = known.get(name)
            if isinstance(old, list) and len(old) == 3 and old[:2] == stamp:
                return old
            return [*stamp, _content_hash(folder / name)]
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"

    hashes, unreadable = {}, {}
    for done, (name, entry) in enumerate(zip(names, map_threads(hash_of, names)), 1):
        if isinstance(entry, str):
            unreadable[name] = entry
        else:
            hashes[name] = entry
        progress(done)
    write_text(cache, json.dumps(hashes, ensure_ascii=False))
    return {name: entry[2] for name, entry in hashes.items()}, unreadable


def _content_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


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
            scan.rejected[name] = f"the same file as {twin}, which is used"
        else:
            scan.photos.append(result)
    return scan


def _scan_one(folder: Path, name: str, per: Literal["exif", "folder", "photo"]) -> ScannedPhoto | str:
    path = folder / name
    try:
        if path.suffix.lower() in _CONVERTED:
            require("pillow_heif")
        exif = read_exif(path)
    except (PhotoError, ImportError) as error:
        return str(error)
    except OSError as error:
        return f"cannot be opened: {error.strerror or error}"
    if min(exif.width, exif.height) < MIN_SIDE:
        return (
            f"{exif.width}x{exif.height} pixels are too few to find features in (at least {MIN_SIDE} a side)"
        )
    focal, source = focal_from_exif(exif)
    target = f"{name}.jpg" if path.suffix.lower() in _CONVERTED else name
    return ScannedPhoto(
        name=target,
        source=name,
        width=exif.width,
        height=exif.height,
        group=group_key(exif, name, per),
        focal_px=focal,
        focal_source=source,
        gps=exif.gps,
        gimbal_deg=exif.gimbal_deg,
        orientation=exif.orientation,
    )


def bring_photos(folder: Path, photos: list[ScannedPhoto], images: Path, record: Path) -> None:
    """Fill the folder `images` with these photos, and take out those that were brought before and are not wanted.

    Files that something else put there are never touched. Photos that lie in `images` already stay as they are.

    Parameters
    ----------
    folder : Path
        Where the photos are.
    photos : list of ScannedPhoto
    images : Path
        Made if missing.
    record : Path
        JSON file that remembers which photos were brought.

    Raises
    ------
    ValueError
        If `images` is a link to another folder, or holds another file by the name of a photo.
    OSError
        If it cannot be written.
    """
    if images.exists() and images.samefile(folder):
        return
    if images.is_symlink():
        raise ValueError(
            f"{images} is a link to {images.resolve()}: give that folder as the photos, or remove the link"
        )
    images.mkdir(parents=True, exist_ok=True)
    brought = set(read_json_object(record))
    wanted = {photo.name: photo for photo in photos}
    for name, photo in wanted.items():
        target = path_inside(images, name)
        if name not in brought and target.exists() and not _same(folder / photo.source, target):
            raise ValueError(
                f"{target} is not the same file as {folder / photo.source}: move it away, or choose a new scene"
            )
    new = {name for name in wanted if not (images / name).exists()}
    write_text(record, json.dumps(dict.fromkeys(sorted(brought | new), True), ensure_ascii=False))
    for name in sorted(brought - set(wanted)):
        path_inside(images, name).unlink(missing_ok=True)
    for name, photo in wanted.items():
        source, target = folder / photo.source, images / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if photo.name != photo.source:
            _convert(source, target)
        elif name in brought | new and not (target.exists() and source.samefile(target)):
            _link(source, target)
    write_text(
        record, json.dumps(dict.fromkeys(sorted((brought | new) & set(wanted)), True), ensure_ascii=False)
    )


def _same(source: Path, target: Path) -> bool:
    return source.samefile(target) or (
        source.stat().st_size == target.stat().st_size and _content_hash(source) == _content_hash(target)
    )


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
