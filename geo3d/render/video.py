"""Frames into files: MP4 with H.264 (through av), or a folder of PNG."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from geo3d.util.files import atomic_path, write_bytes
from geo3d.util.require import require

_QUALITY = "18"  # x264's constant rate factor: hardly told from the frames
_BT709, _LIMITED = 1, 1  # of the codec: colours of HD video, luma from 16 to 235


def to_bytes(image: np.ndarray) -> np.ndarray:
    """An image of floats in [0, 1] as uint8, clipped and rounded; one of uint8 as it is."""
    if image.dtype == np.uint8:
        return image
    return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an image as PNG, atomically.

    Parameters
    ----------
    path : path-like
    image : (H, W), (H, W, 3) or (H, W, 4)
        Grey, RGB or RGBA; uint8, uint16, or float in [0, 1] (8 bits are written).
    """
    cv2 = require("cv2")
    pixels = image if image.dtype == np.uint16 else to_bytes(image)
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    done, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    assert done
    write_bytes(path, data.tobytes())


def write_video(path: str | os.PathLike, frames: Iterable[np.ndarray], fps: float) -> int:
    """Write an MP4 that browsers and players show: H.264, yuv420p, BT.709 colours; atomically.

    Frames are taken one by one, so that a long video needs no more memory than a short one. Sides of an odd number of
    pixels are filled up with their last row or column, since the format has none.

    Parameters
    ----------
    path : path-like
        Ends in .mp4; replaced if it is there.
    frames : iterable of (H, W, 3)
        RGB, uint8 or float in [0, 1]; all of one size.
    fps : float
        Frames a second.

    Returns
    -------
    int
        Number of frames.

    Raises
    ------
    ValueError
        If the suffix is another, there is no frame, or the sizes differ.
    ImportError
        If av is not installed.
    """
    count = 0
    with video_writer(path, fps) as add:
        for frame in frames:
            add(frame)
            count += 1
    return count


@contextmanager
def video_writer(path: str | os.PathLike, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Context in which frames are added to a video one by one, by the function that it yields; as `write_video`.

    Parameters
    ----------
    path : path-like
        Ends in .mp4; it is there when the context ends without an error.
    fps : float
        Frames a second.
    """
    if Path(path).suffix.lower() != ".mp4":
        raise ValueError(f"{path}: videos are written as .mp4")
    if not 0 < fps <= 1000:
        raise ValueError(f"fps: expected frames a second, above 0 and up to 1000, got {fps}")
    av = require("av")
    with atomic_path(path) as partial, av.open(str(partial), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.pix_fmt, stream.options = "yuv420p", {"crf": _QUALITY}
        codec = stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        codec.color_range = _LIMITED
        sizes: list[tuple[int, ...]] = []

        def add(frame: np.ndarray) -> None:
            pixels = _even(to_bytes(frame))
            if not sizes:
                stream.height, stream.width = pixels.shape[:2]
            elif frame.shape != sizes[0]:
                raise ValueError(f"frames: number {len(sizes)} is of {frame.shape}, the first of {sizes[0]}")
            rgb = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture = rgb.reformat(format="yuv420p", dst_colorspace=av.video.reformatter.Colorspace.ITU709)
            picture.pts = len(sizes)
            file.mux(stream.encode(picture))
            sizes.append(frame.shape)

        yield add
        if not sizes:
            raise ValueError("frames: expected one or more, got none")
        file.mux(stream.encode(None))


def _even(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    if not height % 2 and not width % 2:
        return np.ascontiguousarray(pixels)
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def write_image_sequence(folder: str | os.PathLike, frames: Iterable[np.ndarray]) -> int:
    """Write frames as `00000.png`, `00001.png`, ...; the folder is there as a whole or not at all.

    Parameters
    ----------
    folder : path-like
        Made; an older sequence in it is replaced.
    frames : iterable of (H, W, 3)
        RGB, uint8 or float in [0, 1].

    Returns
    -------
    int
        Number of frames.

    Raises
    ------
    ValueError
        If the folder holds other things than such a sequence.
    """
    count = 0
    with image_sequence_writer(folder) as add:
        for frame in frames:
            add(frame)
            count += 1
    return count


@contextmanager
def image_sequence_writer(folder: str | os.PathLike) -> Iterator[Callable[[np.ndarray], None]]:
    """Context in which frames are added to a sequence one by one; as `write_image_sequence` writes `folder`."""
    folder = Path(folder)
    if folder.is_dir():
        # Only a sequence as it is written here is replaced: photos may be PNG with numbers as names too.
        names = sorted(p.name for p in folder.iterdir())
        ours = {f"{number:05}.png" for number in range(len(names))}
        strangers = [name for name in names if name not in ours]
        if strangers:
            raise ValueError(
                f"{folder} holds other files (e.g. {strangers[0]!r}); give an empty or new folder"
            )
    elif folder.exists():
        raise ValueError(f"{folder} is a file; give a folder, or a name that ends in .mp4")
    with atomic_path(folder) as partial:
        partial.mkdir()
        numbers = itertools.count()
        yield lambda frame: write_png(partial / f"{next(numbers):05}.png", frame)
