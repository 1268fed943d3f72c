"""Take stock of a folder of photos: which can be used, which not and why, who shares a camera.

`bring` puts them into a workspace.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geo3d.images.camera_guess import focal_from_exif, group_key
from geo3d.images.exif import Gps, read_exif
from geo3d.images.folder import CONVERTED_SUFFIXES, list_photos, list_videos
from geo3d.images.photo import PhotoError
from geo3d.util.files import content_hash, read_json_object, write_text
from geo3d.util.names import check_photo_name
from geo3d.util.require import require
from geo3d.util.threads import map_threads

MIN_SIDE = 32
"""Pixels; what is smaller is no photograph."""

SAME_PHOTO = "the same photo as"
"""How the reason begins for which a copy is not used."""


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
    gps_refused : str
        Why a position that the photo gives is none.
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
    gps_refused: str = ""
    gimbal_deg: tuple[float, float, float] | None = None
    orientation: int = 1


@dataclass
class Scan:
    """What a folder holds: usable photos in the order of their names, and the others with the reason."""

    photos: list[ScannedPhoto]
    rejected: dict[str, str] = field(default_factory=dict)  # name below the folder -> reason

    def refused_gps(self) -> list[str]:
        """Sentences about positions that photos give and that are none, one for each reason."""
        names: dict[str, list[str]] = {}
        for photo in self.photos:
            if photo.gps_refused:
                names.setdefault(photo.gps_refused, []).append(photo.name)
        return [
            f"the GPS of {found[0]} is not used: {why}"
            + (f"; so for {len(found) - 1} more photo{'s' * (len(found) > 2)}" if len(found) > 1 else "")
            for why, found in names.items()
        ]


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
    videos = list_videos(photos) if len(names) < 2 else []
    if videos:
        raise ValueError(
            f"{len(names) or 'no'} photos in {photos}, but a video, {videos[0]}: give the video itself, "
            f"`geo3d reconstruct {photos / videos[0]}`"
        )
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
            return [*stamp, content_hash(folder / name)]
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
        Content hashes; of photos with equal content the one of the topmost folder and first name is used.
    per : {"exif", "folder", "photo"}
        Which photos share a camera.
    """
    first: dict[str, str] = {}
    # "a.jpg" rather than "a (copy).jpg" or "backup/a.jpg".
    for name in sorted(names, key=lambda n: (n.count("/"), Path(n).stem, n)):
        first.setdefault(hashes[name], name)
    scan = Scan([])
    for name, result in zip(names, map_threads(lambda n: _scan_one(folder, n, per), names)):
        twin = first[hashes[name]]
        if isinstance(result, str):
            scan.rejected[name] = result
        elif twin != name:
            scan.rejected[name] = f"{SAME_PHOTO} {twin}, which is used"
        else:
            scan.photos.append(result)
    return scan


def _scan_one(folder: Path, name: str, per: Literal["exif", "folder", "photo"]) -> ScannedPhoto | str:
    path = folder / name
    try:
        if path.suffix.lower() in CONVERTED_SUFFIXES:
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
    target = f"{name}.jpg" if path.suffix.lower() in CONVERTED_SUFFIXES else name
    return ScannedPhoto(
        name=target,
        source=name,
        width=exif.width,
        height=exif.height,
        group=group_key(exif, name, per),
        focal_px=focal,
        focal_source=source,
        gps=exif.gps,
        gps_refused=exif.gps_refused,
        gimbal_deg=exif.gimbal_deg,
        orientation=exif.orientation,
    )
