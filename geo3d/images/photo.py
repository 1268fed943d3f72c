"""One function reads every photo: 8 and 16 bit, grey, colour, palette, CMYK, with alpha; JPEG, PNG, TIFF,
HEIC...

What comes back is RGB or grey as the sensor stored it: EXIF orientation is *not* applied (a rotated photo
would no longer fit the calibration of its camera). The rotation that a HEIC file holds beside its EXIF is
part of its coding and is undone by the decoder, so that upright and level photos of a phone have
different sizes, and two cameras. Alpha is not blended into the colours: the colours stay as stored, and
the alpha channel comes back beside them, so that it can serve as a mask. 16 bit become 8 bit by value /
257, unless asked to be kept; where no value is above 4095 it is a sensor's 12 bits that were stored in 16, and they
become 8 bit by value 255 / 4095. CMYK becomes RGB without a colour profile.

A photo read with `max_size` has pixel centres `x_small = x * scale[0]` (both count the centre of the top-left
pixel as 0.5), with `scale` exactly the ratio of the widths and of the heights.
"""

from __future__ import annotations

import io
import os
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from geo3d.util.require import require

MAX_PIXELS = 500_000_000
"""Of a photo: phones make 200 million, cameras that shift their sensor 400. More would take gigabytes."""

_SURE_PIXELS = 179_000_000  # up to which a header is believed whatever the size of its file
_LEAST_BYTES_A_PIXEL = (
    0.01  # of larger photos: hardly compressed ones have 0.1, a header that lies next to nothing
)
_TWELVE_BITS = 4095
_opening = threading.Lock()


class PhotoError(ValueError):
    """A photo that cannot be read. The message names the file, what was found, and what to do.

    Parameters
    ----------
    path : path
        Of the photo.
    found : str
        What is wrong with it, without a full stop.
    advice : str
        What to do, one sentence.
    """

    def __init__(self, path: str | os.PathLike, found: str, advice: str) -> None:
        super().__init__(f"{os.fspath(path)}: {found}. {advice}")
        self.path = os.fspath(path)
        self.found = found
        self.advice = advice


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo in memory.

    Attributes
    ----------
    pixels : (H, W, 3) or (H, W), uint8 or uint16
        RGB or grey, EXIF orientation not applied.
    alpha : (H, W) uint8 or None
        Opacity, where the file has it.
    width, height : int
        Size of the photo in the file, before `max_size`.
    scale : (float, float)
        `pixels`' width and height over the file's; (1, 1) when it was not reduced.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    width: int
    height: int
    scale: tuple[float, float]


def read_image(
    path: str | os.PathLike,
    mode: Literal["rgb", "gray"] = "rgb",
    *,
    keep_16_bit: bool = False,
    max_size: int | None = None,
) -> np.ndarray:
    """The pixels of a photo of any kind, as stored: EXIF orientation is not applied.

    `read_photo` gives the transparency and the size of the file too.

    Parameters
    ----------
    path : path
    mode : "rgb" or "gray"
        Grey is Rec. 601 luma.
    keep_16_bit : bool
        Keep uint16 where the file has 16 bits a channel, instead of value / 257.
    max_size : int, optional
        Reduce by area averaging so that the longer side has at most this many pixels.

    Returns
    -------
    (H, W, 3) RGB or (H, W) grey
        uint8, or uint16 where that was asked for and is there.

    Raises
    ------
    PhotoError
        If the file is empty, truncated, no image, of an unknown format, or far too large (see `read_photo`).
    OSError
        If the file cannot be opened at all.
    ValueError
        If `mode` or `max_size` is not valid.
    """
    return read_photo(path, mode, keep_16_bit=keep_16_bit, max_size=max_size).pixels


def read_photo(
    path: str | os.PathLike,
    mode: Literal["rgb", "gray"] = "rgb",
    *,
    keep_16_bit: bool = False,
    max_size: int | None = None,
) -> Photo:
    """Read a photo of any kind.

    Parameters
    ----------
    path : path
    mode : "rgb" or "gray"
        Grey is Rec. 601 luma.
    keep_16_bit : bool
        Keep uint16 where the file has 16 bits a channel, instead of value / 257.
    max_size : int, optional
        Reduce by area averaging so that the longer side has at most this many pixels. A JPEG of at least twice the
        size is decoded at a half, a quarter or an eighth first, which takes less memory and time.

    Raises
    ------
    PhotoError
        If the file is empty, truncated, no image, of an unknown format, or its header asks for more than
        `MAX_PIXELS`, or for far more than the file can hold: refused before memory is taken.
    OSError
        If the file cannot be opened at all.
    ValueError
        If `mode` or `max_size` is not valid.
    """
    if mode not in ("rgb", "gray"):
        raise ValueError(f'mode must be "rgb" or "gray", got {mode!r}')
    if max_size is not None and max_size < 16:
        raise ValueError(f"max_size must be at least 16 pixels, got {max_size}")
    data = Path(path).read_bytes()
    pixels, alpha, reduced = _decode(path, data, mode, max_size)
    if pixels.dtype == np.uint16 and not keep_16_bit:
        top = _TWELVE_BITS if pixels.max(initial=0) <= _TWELVE_BITS else 65535
        pixels = ((pixels.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)
    height, width = (reduced * n for n in pixels.shape[:2])
    longest = max(width, height)
    if max_size is None or longest <= max_size:
        return Photo(np.ascontiguousarray(pixels), alpha, width, height, (1.0, 1.0))
    size = (max(1, round(width * max_size / longest)), max(1, round(height * max_size / longest)))
    cv2 = require("cv2")
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if alpha is not None:
        alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    return Photo(small, alpha, width, height, (size[0] / width, size[1] / height))


def photo_size(path: str | os.PathLike) -> tuple[int, int]:
    """Width and height as stored, from the header alone; the pixels may still be damaged.

    Raises
    ------
    PhotoError, OSError
        As `read_photo`.
    """
    with Path(path).open("rb") as file:
        head = file.read(64)
        file.seek(0)
        image = open_header(path, file, head)
        return image.size


def open_header(path: str | os.PathLike, file: Any, head: bytes) -> Any:
    """A PIL image of which only the header is read, or a PhotoError that says why not."""
    from PIL import UnidentifiedImageError

    if not head:
        raise PhotoError(path, "the file is empty (0 bytes)", "Copy it again from the camera, or remove it")
    kind = file_kind(head)
    if kind == "HEIC":
        try:
            require("pillow_heif").register_heif_opener()
        except ImportError as error:
            raise PhotoError(path, "a HEIC photo, and pillow-heif is not installed", str(error)) from error
    try:
        image = _opened(file)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error) as error:
        raise _not_an_image(path, kind, head) from error
    at = file.tell()
    pixels, size = image.width * image.height, file.seek(0, io.SEEK_END)
    file.seek(at)
    if pixels > MAX_PIXELS or (pixels > _SURE_PIXELS and size < _LEAST_BYTES_A_PIXEL * pixels):
        raise PhotoError(
            path,
            f"its header asks for too many pixels: {image.width}x{image.height} in a file of {size:,} bytes",
            f"Photos may have {MAX_PIXELS / 1e6:.0f} megapixels; save a larger one smaller or cut it into tiles, and "
            "copy one that is damaged again",
        )
    return image


def _opened(file: Any) -> Any:
    """`Image.open` without Pillow's own limit, which is below what cameras make; `open_header` has another."""
    from PIL import Image

    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _decode(
    path: str | os.PathLike, data: bytes, mode: str, max_size: int | None
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Pixels, alpha, and how many times smaller they are than the file's."""
    image = open_header(path, io.BytesIO(data), data[:64])
    if image.format in ("PNG", "TIFF") and _sixteen_bit(image, data):
        return *_decode_16_bit(path, data, mode), 1
    if image.mode in ("F", "I"):
        raise PhotoError(
            path,
            f"{image.format} with {'float' if image.mode == 'F' else '32-bit'} samples, which is not a photo",
            "Save it with 8 or 16 bits a channel",
        )
    reduced = 1
    if image.format in ("JPEG", "MPO"):
        reduced = _jpeg_reduction(image.size, max_size)
        # Luma as the JPEG holds it skips the colour conversion, and a smaller image most of each block.
        luma = mode == "gray" and image.mode == "RGB"
        image.draft("L" if luma else None, (image.width // reduced, image.height // reduced))
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, IndexError, struct.error) as error:
        raise _damaged(path, image.format, len(data), str(error)) from error
    alpha = None
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
        image = image.convert("RGB")  # Pillow drops alpha here, it does not blend
    wanted = "L" if mode == "gray" else "RGB"
    return np.asarray(image if image.mode == wanted else image.convert(wanted)), alpha, reduced


def _jpeg_reduction(size: tuple[int, int], max_size: int | None) -> int:
    """How many times smaller a JPEG can be decoded so that it is still to be reduced, and scales stay exact."""
    fits = (
        n for n in (8, 4, 2) if max_size and max(size) >= n * max_size and not (size[0] % n or size[1] % n)
    )
    return next(fits, 1)


def _sixteen_bit(image: Any, data: bytes) -> bool:
    if image.format == "PNG":
        return data[24:25] == b"\x10"  # bit depth in IHDR, always the first chunk
    bits = image.tag_v2.get(258, (8,))
    return image.mode != "F" and max(bits if isinstance(bits, tuple) else (bits,)) == 16


def _decode_16_bit(path: str | os.PathLike, data: bytes, mode: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Pillow cuts 16-bit colour to 8 bits, so OpenCV decodes these."""
    cv2 = require("cv2")
    try:
        bgr = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise _damaged(path, "16-bit", len(data), str(error)) from error
    if bgr is None or bgr.dtype != np.uint16:
        raise _damaged(path, "16-bit", len(data), "OpenCV cannot decode it")
    _refuse_cut_png(path, data)
    alpha = None
    if bgr.ndim == 3 and bgr.shape[2] in (2, 4):
        alpha = (bgr[..., -1] >> 8).astype(np.uint8)
        bgr = bgr[..., :-1]
    if bgr.ndim == 3 and bgr.shape[2] == 1:
        bgr = bgr[..., 0]
    if bgr.ndim == 2:
        return (bgr if mode == "gray" else np.repeat(bgr[..., None], 3, axis=2)), alpha
    code = cv2.COLOR_BGR2GRAY if mode == "gray" else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(np.ascontiguousarray(bgr), code), alpha


def _refuse_cut_png(path: str | os.PathLike, data: bytes) -> None:
    """OpenCV returns a cut PNG with the missing rows black; a whole one has its end chunk."""
    if data.startswith(b"\x89PNG") and b"IEND" not in data[-64 * 1024 :]:
        raise _damaged(path, "PNG", len(data), "the end chunk is missing")


def _damaged(path: str | os.PathLike, kind: str | None, size: int, detail: str) -> PhotoError:
    return PhotoError(
        path,
        f"a damaged or truncated {kind} file of {size} bytes ({detail.strip()})",
        "Copy it again from the camera, or remove it",
    )


_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"FUJIFILMCCD-RAW", "a camera raw file"),
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1aE\xdf\xa3", "a video"),  # Matroska, WebM
    (b"\x30\x26\xb2\x75", "a video"),  # Windows Media
    (b"FLV\x01", "a video"),
    (b"OggS", "a video"),
    (b"\x00\x00\x01\xba", "a video"),  # MPEG
    (b"\x00\x00\x01\xb3", "a video"),
    (b"\x47\x40", "a video"),  # MPEG transport stream
)
_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_RAW_SUFFIXES = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"})


def file_kind(head: bytes) -> str | None:
    """What the first bytes of a file say that it is; None when they say nothing."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[4:8] in _QUICKTIME or (head.startswith(b"RIFF") and head[8:12] == b"AVI "):
        return "a video"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis"):
            return "HEIC"
        return (
            "AVIF" if brand in (b"avif", b"avis") else "a camera raw file" if brand == b"crx " else "a video"
        )
    return "a text file" if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head) else None


def _not_an_image(path: str | os.PathLike, kind: str | None, head: bytes) -> PhotoError:
    if kind in ("JPEG", "PNG", "TIFF", "HEIC", "AVIF"):
        if Path(path).suffix.lower() in _RAW_SUFFIXES:
            kind = "a camera raw file"
        else:
            return PhotoError(
                path,
                f"it begins as {kind}, but its header is damaged or truncated",
                "Copy it again from the camera, or remove it",
            )
    if kind == "a camera raw file":
        return PhotoError(path, kind, "Develop it to JPEG, PNG or TIFF without lens correction or cropping")
    if kind == "a video":
        return PhotoError(
            path, "a video, not a photo", "Give it by itself: `geo3d reconstruct` picks its frames"
        )
    kind = kind or f"an unknown format (it begins with {head[:8].hex(' ')})"
    return PhotoError(path, f"not an image but {kind}", "Use JPEG, PNG, TIFF, WebP or HEIC, or remove it")
