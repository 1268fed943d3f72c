"""Fill the images folder of a workspace: photos by hard link (by copy where the file system allows no link), what
other programs cannot open (HEIC, AVIF) converted once, frames of a video written once.

A record says which files were brought, so that they can be taken out again when they are not wanted any more. Files
that something else put there are never touched.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from geo3d.images.photo import open_header, read_photo
from geo3d.images.scan import ScannedPhoto
from geo3d.images.video import VideoError, read_frames, read_video_info
from geo3d.util.files import atomic_path, content_hash, path_inside, read_json_object, write_text

FRAME_QUALITY = 96  # of the JPEG, colours at full resolution
_ORIENTATION_TAG = 274
_MOST_EXIF = 65_000  # bytes: a JPEG has room for 64 KiB


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
    wanted = {photo.name: photo for photo in photos}

    def same(name: str, target: Path) -> bool:
        return _same(folder / wanted[name].source, target)

    ours = _claim(images, wanted, record, same, str(folder))
    for name, photo in wanted.items():
        source, target = folder / photo.source, images / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if photo.name != photo.source:
            _convert(source, target)
        elif name in ours and not (target.exists() and source.samefile(target)):
            _link(source, target)
    _remember(record, ours & set(wanted))


def bring_frames(
    video: Path,
    numbers: list[int],
    images: Path,
    record: Path,
    progress: Callable[[int], object] = lambda done: None,
) -> list[str]:
    """Write frames of a video into the folder `images`, and take out what was brought before and is not wanted.

    They are JPEGs of high quality, named by their number, `frame_000123.jpg`, so that their order is that of time.
    Their pixels are as the sensor stored them; the turn that the video asks for is their EXIF orientation.

    Parameters
    ----------
    video : Path
    numbers : list of int
        Of the frames, from 0.
    images, record : Path
        As in `bring_photos`.
    progress : callable
        Called with the number of frames written.

    Returns
    -------
    list of str
        Names of the frames.

    Raises
    ------
    ValueError
        As `bring_photos`; VideoError as `read_frames`.
    OSError
        If the folder cannot be written.
    """
    from PIL import Image

    names = {number: f"frame_{number:06d}.jpg" for number in numbers}
    ours = _claim(images, names.values(), record, lambda name, target: False, str(video))
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = read_video_info(video).orientation
    for done, (number, pixels) in enumerate(read_frames(video, names, max(numbers)), 1):
        with atomic_path(images / names[number]) as path:
            Image.fromarray(pixels).save(path, "JPEG", quality=FRAME_QUALITY, subsampling=0, exif=exif)
        progress(done)
    missing = [name for name in names.values() if not (images / name).exists()]
    if missing:
        raise VideoError(
            video, f"{missing[0]} cannot be read a second time", "Is it still being written? Run again"
        )
    _remember(record, ours & set(names.values()))
    return list(names.values())


def _claim(
    images: Path, wanted: Iterable[str], record: Path, same: Callable[[str, Path], bool], source: str
) -> set[str]:
    """Make room for files in `images`; the names that are ours to write. What was brought and is not wanted goes."""
    if images.is_symlink():
        raise ValueError(
            f"{images} is a link to {images.resolve()}: give that folder as the photos, or remove the link"
        )
    images.mkdir(parents=True, exist_ok=True)
    brought, wanted = set(read_json_object(record)), list(wanted)
    for name in wanted:
        target = path_inside(images, name)
        if name not in brought and target.exists() and not same(name, target):
            raise ValueError(
                f"{target} is not the same file as that of {source}: move it away, or choose a new scene"
            )
    new = {name for name in wanted if not (images / name).exists()}
    _remember(record, brought | new)
    for name in sorted(brought - set(wanted)):
        path_inside(images, name).unlink(missing_ok=True)
    return brought | new


def _remember(record: Path, names: set[str]) -> None:
    write_text(record, json.dumps(dict.fromkeys(sorted(names), True), ensure_ascii=False))


def _same(source: Path, target: Path) -> bool:
    return source.samefile(target) or (
        source.stat().st_size == target.stat().st_size and content_hash(source) == content_hash(target)
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
    with source.open("rb") as file:
        exif = open_header(source, file, file.read(64)).info.get("exif") or b""
    with atomic_path(target) as path:
        Image.fromarray(pixels).save(
            path, "JPEG", quality=98, subsampling=0, exif=exif if len(exif) <= _MOST_EXIF else b""
        )
