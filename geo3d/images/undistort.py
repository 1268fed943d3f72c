"""Photos without lens distortion: a folder of them seen by one PINHOLE camera, EXIF orientation not applied.

    colour'(u') = colour(project(unproject_pinhole(u')))

Pixels that the lens did not see are black (and transparent, where the photo has alpha).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geo3d.cameras import Camera, remap_image, undistort_map
from geo3d.images.folder import CONVERTED_SUFFIXES, list_photos
from geo3d.images.photo import Photo, PhotoError, open_header, photo_size, read_photo
from geo3d.util.files import path_inside, write_bytes
from geo3d.util.require import require
from geo3d.util.threads import map_threads

if TYPE_CHECKING:
    from PIL import Image

_JPEG_QUALITY = 95
_WITH_16_BIT = (".png", ".tif", ".tiff")
_WITH_ALPHA = (".png", ".tif", ".tiff", ".webp")
_OPENCV_ORDER = {2: (0, 0, 0, 1), 3: (2, 1, 0), 4: (2, 1, 0, 3)}  # by the number of channels
# Who took it, when, where, and how it is turned. What EXIF says of lens and size is no longer true.
_KEPT_TAGS = (271, 272, 274, 306, 315, 33432)  # make, model, orientation, time, artist, copyright
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_KEPT_EXIF = (36867, 36868, 36880, 36881, 36882, 37520, 37521, 37522)  # times, their zones and fractions


@dataclass(frozen=True)
class UndistortedPhotos:
    """What `undistort_photos` made.

    Attributes
    ----------
    source : Camera
        The calibration, of the size of the largest photos.
    camera : Camera
        PINHOLE, of all new photos.
    names : list of str
        Of the new photos.
    resized : list of str
        Photos of another size than the largest; the new ones are all of one size.
    skipped : dict of str to str
        Photos that could not be read, and why.
    """

    source: Camera
    camera: Camera
    names: list[str]
    resized: list[str]
    skipped: dict[str, str]


def undistort_photos(
    folder: str | os.PathLike,
    out: str | os.PathLike,
    camera: Camera,
    pinhole: Callable[[Camera], Camera],
    progress: Callable[[int, int, str], None] | None = None,
) -> UndistortedPhotos:
    """Write all photos of a folder as a PINHOLE camera sees them; folders in it are kept.

    JPEG, PNG, TIFF and so on stay what they are, HEIC and AVIF become JPEG, GIF becomes PNG. Of the EXIF camera, time,
    place and orientation stay, and the colour profile.

    Parameters
    ----------
    folder : path
        With photos by one camera, of any size that has the camera's proportions.
    out : path
        Folder for the new photos.
    camera : Camera
        The calibration.
    pinhole : callable
        From the calibration at the size of the largest photos to the camera of the new photos, as
        `geo3d.cameras.pinhole_for`.
    progress : callable, optional
        Called with the number of photos done, their number, and the name of the last.

    Raises
    ------
    ValueError
        If there is no photo that can be read, or the proportions of one are not the camera's.
    OSError
        If a photo cannot be written.
    """
    folder, out = Path(folder), Path(out)
    sizes, skipped = readable_sizes(folder)
    _check_proportions(sizes, camera)
    largest = max(sizes.values())
    source = camera.rescaled(*largest)
    target = pinhole(source)
    done, names = 0, []
    for size in sorted(set(sizes.values()), reverse=True):
        places = undistort_map(camera.rescaled(*size), target)

        def one(name: str, size: tuple[int, int] = size, places: np.ndarray = places) -> tuple[str, str, str]:
            new = new_name(name)
            try:
                undistort_photo(folder / name, path_inside(out, new), size, places)
            except PhotoError as error:
                return name, new, f"{error.found}. {error.advice}"
            return name, new, ""

        for name, new, problem in map_threads(one, [n for n in sizes if sizes[n] == size]):
            done += 1
            if problem:
                skipped[name] = problem
            else:
                names.append(new)
            if progress:
                progress(done, len(sizes), name)
    if not names:
        raise _none_readable(folder, skipped)
    resized = sorted(name for name in sizes if sizes[name] != largest)
    return UndistortedPhotos(source, target, sorted(names), resized, skipped)


def readable_sizes(folder: Path) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Width and height of the photos of a folder by name, and why the others cannot be read.

    Raises
    ------
    ValueError
        If none can be read.
    """
    sizes: dict[str, tuple[int, int]] = {}
    skipped: dict[str, str] = {}
    for name in list_photos(folder):
        try:
            sizes[name] = photo_size(folder / name)
        except PhotoError as error:
            skipped[name] = f"{error.found}. {error.advice}"
    if not sizes:
        raise _none_readable(folder, skipped)
    return sizes, skipped


def _check_proportions(sizes: dict[str, tuple[int, int]], camera: Camera) -> None:
    for name, (width, height) in sizes.items():
        wide, high = camera.width / camera.height * height, camera.height / camera.width * width
        if min(abs(wide - width), abs(high - height)) > 1.0:
            raise ValueError(
                f"{name} is {width}x{height}, and the calibration is for {camera.width}x{camera.height}: their "
                "proportions differ. Is it by another camera, cropped, or turned? Put it elsewhere, or calibrate for it"
            )


def _none_readable(folder: Path, skipped: dict[str, str]) -> ValueError:
    first = f", e.g. {next(iter(skipped))}: {next(iter(skipped.values()))}" if skipped else ""
    return ValueError(f"{folder} has no photo that can be read{first}")


def new_name(name: str) -> str:
    """The name of the new photo: another ending where the format is not written."""
    suffix = Path(name).suffix.lower()
    return name + (".jpg" if suffix in CONVERTED_SUFFIXES else ".png" if suffix == ".gif" else "")


def undistort_photo(
    source: str | os.PathLike, target: str | os.PathLike, size: tuple[int, int], places: np.ndarray
) -> None:
    """Write one photo as another camera sees it; 16 bits, grey and alpha stay where the format has them.

    Parameters
    ----------
    source, target : path
        The suffix of the target says the format.
    size : (width, height)
        That the photo has to have.
    places : (h, w, 2)
        Of `geo3d.cameras.undistort_map`.

    Raises
    ------
    PhotoError
        If it cannot be read.
    ValueError
        If it is of another size.
    OSError
        If it cannot be written.
    """
    require("cv2").setNumThreads(1)
    source, target = Path(source), Path(target)
    with source.open("rb") as file:
        header = open_header(source, file, file.read(64))
        grey = header.mode in ("1", "L", "LA") or header.mode.startswith("I;16")
        profile = None if header.mode == "CMYK" else header.info.get("icc_profile")
        extras = {"exif": _kept_exif(header), "icc_profile": profile}
    deep = target.suffix.lower() in _WITH_16_BIT
    photo = read_photo(source, "gray" if grey else "rgb", keep_16_bit=deep)
    if (photo.width, photo.height) != size:
        raise ValueError(
            f"{source} is {photo.width}x{photo.height}, and its camera is for {size[0]}x{size[1]}; is it the photo "
            "that was taken?"
        )
    pixels = remap_image(photo.pixels, places)
    if photo.alpha is not None and target.suffix.lower() in _WITH_ALPHA:
        pixels = np.dstack([pixels, _alpha(photo, places)])
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target, pixels, extras)


def _alpha(photo: Photo, places: np.ndarray) -> np.ndarray:
    assert photo.alpha is not None
    alpha = remap_image(photo.alpha, places)
    return alpha.astype(np.uint16) * 257 if photo.pixels.dtype == np.uint16 else alpha


def _kept_exif(header: Image.Image) -> Any:
    """What of the EXIF still holds; empty where it is damaged."""
    from PIL import Image

    kept = Image.Exif()
    try:
        found = header.getexif()
        kept.update({tag: found[tag] for tag in _KEPT_TAGS if tag in found})
        times, place = found.get_ifd(_EXIF_IFD), found.get_ifd(_GPS_IFD)
        for ifd, values in ((_EXIF_IFD, {t: times[t] for t in _KEPT_EXIF if t in times}), (_GPS_IFD, place)):
            if values:
                kept.get_ifd(ifd).update(values)
        return kept.tobytes() if len(kept) else b""
    except (
        OSError,
        SyntaxError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        struct.error,
    ):
        return b""


def _write(path: Path, pixels: np.ndarray, extras: dict[str, Any]) -> None:
    if pixels.dtype == np.uint16:  # Pillow writes no colours of 16 bits; OpenCV wants blue, green, red, alpha
        if pixels.ndim == 3:
            pixels = np.ascontiguousarray(pixels[..., _OPENCV_ORDER[pixels.shape[2]]])
        write_bytes(path, require("cv2").imencode(path.suffix, pixels)[1].tobytes())
        return
    from PIL import Image

    kept = {key: value for key, value in extras.items() if value}
    Image.fromarray(pixels).save(path, quality=_JPEG_QUALITY, subsampling=0, **kept)
