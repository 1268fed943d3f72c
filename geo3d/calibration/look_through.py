"""A video at a glance: reduced grey frames at even steps, at most a few hundred however long it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo3d.images import VideoInfo, read_frames, read_video_info
from geo3d.util.require import require

_SIDE = 800  # longer side, pixels
_MOST = 300


@dataclass(frozen=True, eq=False)
class LookedThrough:
    """Frames of a video.

    Attributes
    ----------
    info : VideoInfo
    step : int
        From one frame to the next.
    images : list of (H, W) uint8
        Frames 0, step, 2 step, ..., the longer side at most 800 pixels.
    """

    info: VideoInfo
    step: int
    images: list[np.ndarray]


class _Multiples:
    """The numbers that a step divides; the step may grow."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __contains__(self, number: int) -> bool:
        return number % self.step == 0


def look_through(video: Path, progress: Callable[[int, int, str], None] | None = None) -> LookedThrough:
    """Read a video once.

    Parameters
    ----------
    video : Path
    progress : callable, optional
        Called as `progress(done, total, text)` with numbers of frames.

    Returns
    -------
    LookedThrough
        Of at most 300 frames, at least half as many if the video has them: where the header does not say how long it
        is, or says what is not so, the step doubles as the frames come.

    Raises
    ------
    VideoError, OSError
        If it cannot be read as a video.
    """
    cv2 = require("cv2")
    info = read_video_info(video)
    wanted = _Multiples(max(1, -(-info.frames // _MOST)))
    images: list[np.ndarray] = []
    for number, rgb in read_frames(video, wanted):
        scale = min(1.0, _SIDE / max(rgb.shape[:2]))
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
        images.append(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        if len(images) > _MOST:
            images = images[::2]
            wanted.step *= 2
        if progress is not None:
            progress(number + 1, max(info.frames, number + 1), f"looking through {video.name}")
    return LookedThrough(info, wanted.step, images)
