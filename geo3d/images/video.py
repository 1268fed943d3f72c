"""Read a video frame by frame, through OpenCV's FFmpeg.

Frames are as the sensor stored them: a rotation that the file asks for (a phone held upright) is applied nowhere,
as EXIF orientation of photos is not; OpenCV would apply it by itself (CAP_PROP_ORIENTATION_AUTO), so that is turned
off. The rotation is kept as the EXIF orientation that asks for the same.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.images.photo import PhotoError, file_kind
from geo3d.util.require import require

ORIENTATION = {0: 1, 90: 6, 180: 3, 270: 8}
"""Clockwise turn that a video asks for, degrees, to EXIF's orientation."""

_BROKEN_IN_A_ROW = 30  # frames, after which a video has ended
_CUT_SHARE = 0.9  # of the frames that the header promises; the promise is often off by a few


class VideoError(PhotoError):
    """A video that cannot be used. The message names the file, what was found, and what to do."""


@dataclass(frozen=True)
class VideoInfo:
    """What the header of a video says.

    Attributes
    ----------
    width, height : int
        Of the frames as stored, pixels.
    fps : float
        Frames a second; 30 where the file does not say.
    frames : int
        Number of frames that the header promises; 0 where it does not say.
    orientation : int
        EXIF's number for the turn that a player would show the frames with, 1 to 8.
    """

    width: int
    height: int
    fps: float
    frames: int
    orientation: int


def read_video_info(path: str | os.PathLike) -> VideoInfo:
    """Open a video and read its header.

    Raises
    ------
    VideoError
        If the file is empty, no video, or cannot be opened as one.
    OSError
        If it cannot be read at all.
    """
    with _opened(path) as capture:
        return _info(capture)


def read_frames(
    path: str | os.PathLike, wanted: Container[int] | None = None, last: int | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """The frames of a video, one after the other.

    Parameters
    ----------
    path : path
    wanted : container of int, optional
        Numbers of the frames to give, counted from 0; the others are passed over. By default all.
    last : int, optional
        Number of the last frame to look at.

    Yields
    ------
    int, (H, W, 3) uint8
        Number of the frame, and its pixels, RGB, not turned.

    Raises
    ------
    VideoError, OSError
        As `read_video_info`. A video that breaks off ends there; a damaged frame within it is passed over, and its
        number is left out.
    """
    cv2 = require("cv2")
    with _opened(path) as capture:
        promised, number, broken = _info(capture).frames, 0, 0
        while last is None or number <= last:
            good, bgr = capture.grab(), None
            if good and (wanted is None or number in wanted):
                good, bgr = capture.retrieve()
            if good and bgr is not None:
                yield number, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            number, broken = number + 1, 0 if good else broken + 1
            if broken and (number >= promised or broken > _BROKEN_IN_A_ROW):
                return


def find_other_sizes(
    path: str | os.PathLike, progress: Callable[[int], object] = lambda done: None
) -> dict[int, tuple[int, int]]:
    """Frames of a video that are of another size than most of it, which `read_frames` scales to one.

    Parameters
    ----------
    path : path
        A video that `read_video_info` takes.
    progress : callable
        Called with the number of frames that were looked at.

    Returns
    -------
    dict
        Number of each such frame to its width and height, pixels.

    Raises
    ------
    ImportError
        If av is not installed.
    """
    av = require("av")
    sizes: list[tuple[int, int] | None] = []
    with av.open(os.path.realpath(path)) as file:
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        for packet in file.demux(stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                sizes.append(None)  # damaged: it has its number
                continue
            sizes += [(frame.width, frame.height) for frame in frames]
            progress(len(sizes))
    known = Counter(size for size in sizes if size is not None)
    usual = known.most_common(1)[0][0] if known else None
    return {number: size for number, size in enumerate(sizes) if size is not None and size != usual}


def cut_short(info: VideoInfo, read: int) -> bool:
    """Whether a video of which `read` frames came breaks off well before what its header `info` promises."""
    return read < _CUT_SHARE * info.frames


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Any]:
    with Path(path).open("rb") as file:
        head = file.read(64)
    if not head:
        raise VideoError(path, "the file is empty (0 bytes)", "Copy it again from the camera")
    kind = file_kind(head)
    if kind != "a video":
        # FFmpeg also reads playlists and lists of files, which lead elsewhere: only what begins as a video is opened.
        found = "not a video" + (f" ({kind})" if kind else f" (it begins with {head[:8].hex(' ')})")
        raise VideoError(path, found, "Give a video (.mp4, .mov, .mkv, .avi, ...) or a folder of photos")
    cv2 = require("cv2")
    # FFmpeg writes its complaints to standard error; the level is read when the first video is opened.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with _quiet(cv2.utils.logging):
        capture = cv2.VideoCapture(os.path.realpath(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise VideoError(
                path,
                "a video that cannot be opened: damaged, not copied to its end, or of a codec that OpenCV lacks",
                "If a player shows it, save it as MP4 (H.264) and try again; else copy it again from the camera",
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        yield capture
    finally:
        capture.release()


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """OpenCV says of a file that it cannot open nothing that the error does not say better."""
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)


def _info(capture: Any) -> VideoInfo:
    cv2 = require("cv2")
    fps, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    turn = round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360
    return VideoInfo(
        width=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        height=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        fps=fps if 0 < fps < 10_000 else 30.0,
        frames=int(frames) if 0 < frames < 1e9 else 0,
        orientation=ORIENTATION.get(turn, 1),
    )
