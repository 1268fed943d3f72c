"""Frames of a video as the functions on videos take them: one after the other, numbered, of one size.

A video is any iterable of frames: arrays (H, W) or (H, W, 3), uint8 or float in [0, 1]; or pairs of a number and such
an array, as `geo3d.images.read_frames` gives. None stands for a frame that could not be read. No more than a few
frames are held at a time. What cannot be used is left out and named.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

_LOOK_AHEAD = 3

Frames = Iterable["np.ndarray | tuple[int, np.ndarray | None] | None"]
"""A video."""


@dataclass(frozen=True)
class SkippedFrame:
    """A frame that was left out, by its number in the video, and why."""

    number: int
    reason: str


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """A frame that can be used.

    Attributes
    ----------
    number : int
        In the video, from 0.
    pixels : (H, W) or (H, W, 3)
        uint8 or float in [0, 1].
    """

    number: int
    pixels: np.ndarray


@dataclass(eq=False)
class UsableFrames:
    """Iterator over the frames of a video that can be used; those that cannot are in `skipped` afterwards.

    Attributes
    ----------
    frames : Frames
    size : (width, height), optional
        That the frames have to be of; that of most of the first three where left out.
    skipped : list of SkippedFrame
    """

    frames: Frames
    size: tuple[int, int] | None = None
    skipped: list[SkippedFrame] = field(default_factory=list)

    def __iter__(self) -> Iterator[VideoFrame]:
        items = iter(self.frames)
        first = list(itertools.islice(items, _LOOK_AHEAD))
        if self.size is None:
            sizes = Counter(size for item in first if (size := _size(item)) is not None)
            self.size = sizes.most_common(1)[0][0] if sizes else None
        ahead = (first.pop(0) for _ in range(len(first)))  # so that none is held longer than it is looked at
        for count, item in enumerate(itertools.chain(ahead, items)):
            number, pixels = item if isinstance(item, tuple) else (count, item)
            reason = self._fault(number, pixels)
            if reason is None:
                assert pixels is not None
                yield VideoFrame(int(number), np.asarray(pixels))
            else:
                self.skip(int(number), reason)

    def skip(self, number: int, reason: str) -> None:
        """Note that a frame is left out, by its `number`, and the `reason`."""
        self.skipped.append(SkippedFrame(number, reason))

    def _fault(self, number: int, pixels: np.ndarray | None) -> str | None:
        if pixels is None:
            return "it cannot be read"
        pixels = np.asarray(pixels)
        if pixels.ndim not in (2, 3) or 0 in pixels.shape or (pixels.ndim == 3 and pixels.shape[2] != 3):
            raise ValueError(f"frames: expected (H, W) or (H, W, 3), frame {number} is of {pixels.shape}")
        if pixels.dtype != np.uint8 and pixels.dtype.kind != "f":
            raise ValueError(f"frames: expected uint8 or float in [0, 1], frame {number} is {pixels.dtype}")
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).any():
            return "no pixel of it is a number"
        size = pixels.shape[1], pixels.shape[0]
        self.size = self.size or size
        if size != self.size:
            return f"it is of {size[0]}x{size[1]} pixels, the video of {self.size[0]}x{self.size[1]}"
        return None


def _size(item: "np.ndarray | tuple[int, np.ndarray | None] | None") -> tuple[int, int] | None:
    pixels = item[1] if isinstance(item, tuple) else item
    if pixels is None or np.ndim(pixels) not in (2, 3):
        return None
    height, width = np.shape(pixels)[:2]
    return width, height


def gray_bytes(pixels: np.ndarray, longest_side_px: int | None = None) -> np.ndarray:
    """(H, W) uint8 of a frame (Rec. 601 luma, NaN as black), reduced to the longer side where it is larger."""
    from geo3d.util.require import require

    cv2 = require("cv2")
    if pixels.dtype != np.uint8:
        pixels = np.round(255.0 * np.clip(np.nan_to_num(pixels), 0.0, 1.0)).astype(np.uint8)
    gray = np.ascontiguousarray(pixels)
    if gray.ndim == 3:
        gray = cv2.cvtColor(gray, cv2.COLOR_RGB2GRAY)
    scale = 1.0 if longest_side_px is None else longest_side_px / max(gray.shape)
    if scale >= 1.0:
        return gray
    size = max(16, round(gray.shape[1] * scale)), max(16, round(gray.shape[0] * scale))
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
