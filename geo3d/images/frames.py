"""Choose the frames of a video that photogrammetry wants: sharp ones, each moved a little against the one before.

A few hundred corners are followed through the reduced frames by pyramidal Lucas-Kanade (Bouguet 2000), checked there
and back. The travel of a frame is the median shift of the corners since the first frame, in shares of the longer side
of the picture, counted from reference frames that are renewed whenever it has grown by a step: a camera that trembles
on the spot does not travel. Chosen is the sharpest frame near each multiple of the spacing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from geo3d.images.blur import blur_px
from geo3d.images.video import VideoError, cut_short, read_frames, read_video_info
from geo3d.util.require import require

SHARP_SIDE, TRACK_SIDE = 960, 480  # longer side at which blur is measured and corners are followed, pixels
_CORNERS, _FEWEST = 300, 25
_LOST_AFTER = 5  # frames in a row that cannot be compared with the reference
_WINDOW = {"winSize": (21, 21), "maxLevel": 4}
_AS_SHARP = 1.15  # times the smallest blur
_MAX_RATE = 30.0  # frames a second that are looked at


@dataclass(frozen=True)
class FrameOptions:
    """Which frames are wanted.

    Attributes
    ----------
    max_frames : int
        At most as many are chosen; a long video is then spaced wider.
    spacing : float
        Shift of the picture from one chosen frame to the next, in shares of its longer side.
    wanted_frames : int
        A video that shows little is spaced closer, down to a quarter, to come to as many frames.
    blur_ratio : float
        A frame more blurred than this many times the median of its neighbours is left out, where those overlap.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    max_frames: int = 250
    spacing: float = 0.06
    wanted_frames: int = 40
    blur_ratio: float = 2.0

    def __post_init__(self) -> None:
        if self.max_frames < 2:
            raise ValueError(f"max_frames must be at least 2, got {self.max_frames}")
        if not 0 < self.spacing < 1:
            raise ValueError(f"spacing must be between 0 and 1, got {self.spacing}")
        if self.wanted_frames < 2:
            raise ValueError(f"wanted_frames must be at least 2, got {self.wanted_frames}")
        if not self.blur_ratio > 1:
            raise ValueError(f"blur_ratio must be more than 1, got {self.blur_ratio}")


@dataclass(frozen=True, eq=False)
class FrameMeasures:
    """What was measured of the N frames that were looked at.

    Attributes
    ----------
    numbers : (N,) int64
        Of the frames in the video, from 0.
    travel : (N,) float64
        Shift of the picture since the first frame, in shares of its longer side; never decreases by more than a step.
    blur_px : (N,) float64
        Of the frame at 960 pixels, see `blur_px`.
    read : int
        Frames that the video has.
    """

    numbers: np.ndarray
    travel: np.ndarray
    blur_px: np.ndarray
    read: int


@dataclass(frozen=True)
class ChosenFrames:
    """Numbers of the frames, ascending, and what the user should know."""

    numbers: list[int]
    warnings: list[str] = field(default_factory=list)


def choose_frames(
    video: str | os.PathLike,
    options: FrameOptions | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> ChosenFrames:
    """Choose sharp frames of a video that overlap.

    Parameters
    ----------
    video : path
    options : FrameOptions, optional
    progress : callable
        Called with the number of frames looked at, and that of all (0 where the video does not say).

    Returns
    -------
    ChosenFrames

    Raises
    ------
    VideoError
        If it cannot be read as a video, has fewer than two frames, or nothing moves in it.
    OSError
        If the file cannot be read.
    """
    options = options or FrameOptions()
    info = read_video_info(video)
    measures = measure_frames(video, options.spacing, progress)
    if measures.read < 2:
        raise VideoError(
            video,
            f"{measures.read} frame{'s' * (measures.read != 1)} can be read",
            "It is damaged or not copied to its end: copy it again from the camera",
        )
    rows, spacing = select_frames(measures.travel, measures.blur_px, options)
    if len(rows) < 2:
        raise VideoError(
            video,
            f"nothing moves in its {measures.read} frames",
            "Film while you walk round or along what is to be measured: a camera that stands still gives no depth",
        )
    warnings = []
    name = Path(video).name
    if cut_short(info, measures.read):
        warnings.append(
            f"{name} breaks off after frame {measures.read} of {info.frames}: it is damaged or was not copied to its "
            "end. The frames until there were used; copy it again for the rest"
        )
    if spacing > 3 * options.spacing:
        enough = int(np.ceil(measures.travel.max() / options.spacing)) + 1
        warnings.append(
            f"{name} shows more than {options.max_frames} frames cover well: from one to the next the picture shifts "
            f"by {spacing:.0%} of its width. Give --frames {enough}, or cut the video into parts"
        )
    return ChosenFrames([int(n) for n in measures.numbers[rows]], warnings)


def measure_frames(
    video: str | os.PathLike,
    step: float = FrameOptions.spacing,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> FrameMeasures:
    """Measure travel and blur of the frames of a video, 30 a second at most.

    Parameters
    ----------
    video : path
    step : float
        Travel after which the reference is renewed.
    progress : callable
        As in `choose_frames`.

    Raises
    ------
    VideoError, OSError
        As `read_frames`.
    """
    cv2 = require("cv2")
    info = read_video_info(video)
    every = max(1, int(info.fps / _MAX_RATE + 0.01))
    track = _Track(step)
    numbers, travel, blur, read = [], [], [], 0
    for number, pixels in read_frames(video, _Every(every)):
        gray = cv2.cvtColor(_reduced(pixels, SHARP_SIDE), cv2.COLOR_RGB2GRAY)
        numbers.append(number)
        blur.append(blur_px(gray))
        travel.append(track.follow(_reduced(gray, TRACK_SIDE)))
        read = number + 1
        progress(read, max(info.frames, read))
    return FrameMeasures(np.array(numbers, np.int64), np.array(travel), np.array(blur), read)


@dataclass(frozen=True)
class _Every:
    """The numbers that a step divides."""

    step: int

    def __contains__(self, number: int) -> bool:
        return number % self.step == 0


def _reduced(image: np.ndarray, side: int) -> np.ndarray:
    cv2 = require("cv2")
    height, width = image.shape[:2]
    scale = side / max(width, height)
    if scale >= 1:
        return image
    size = max(16, round(width * scale)), max(16, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


class _Track:
    """Corners of a reference frame, followed from frame to frame."""

    def __init__(self, step: float) -> None:
        self.step = step
        self.reference: np.ndarray | None = None
        self.corners = self.seen = np.zeros((0, 1, 2), np.float32)
        self.base = self.last = 0.0  # travel of the reference, of the last frame
        self.lost = 0

    def follow(self, gray: np.ndarray) -> float:
        """Travel of the next frame, (H, W) uint8."""
        if self.reference is None:
            self._renew(gray, 0.0)
            return 0.0
        shift, kept = self._shift(gray)
        if shift is None:
            self.lost += 1
            if self.lost >= _LOST_AFTER:  # a fast pan, a cut: elsewhere by now
                self._renew(gray, max(self.last, self.base) + self.step)
            return self.last
        self.lost, self.last = 0, self.base + shift
        if shift >= self.step or kept < 0.5:
            self._renew(gray, self.last)
        return self.last

    def _renew(self, gray: np.ndarray, travel: float) -> None:
        cv2 = require("cv2")
        corners = cv2.goodFeaturesToTrack(gray, _CORNERS, 0.01, max(gray.shape) / 60)
        self.corners = np.zeros((0, 1, 2), np.float32) if corners is None else corners
        self.reference, self.seen, self.lost = gray, self.corners, 0
        self.base = self.last = travel

    def _shift(self, gray: np.ndarray) -> tuple[float | None, float]:
        """Median shift of the corners in shares of the longer side, None when lost, and the share that was kept."""
        if len(self.corners) < _FEWEST:
            return None, 0.0
        cv2 = require("cv2")
        there, found, _ = cv2.calcOpticalFlowPyrLK(
            self.reference,
            gray,
            self.corners,
            self.seen.copy(),
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
            **_WINDOW,
        )
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(gray, self.reference, there, None, **_WINDOW)
        good = (found[:, 0] > 0) & (found_back[:, 0] > 0)
        good &= np.linalg.norm(back - self.corners, axis=2)[:, 0] < 1.0
        if good.sum() < max(_FEWEST, 0.25 * len(self.corners)):
            return None, 0.0
        moves = (there - self.corners)[good, 0]
        middle = np.median(moves, axis=0)
        self.seen = np.where(good[:, None, None], there, self.corners + middle.astype(np.float32))
        shift = float(np.median(np.linalg.norm(moves, axis=1)))
        return shift / max(gray.shape), float(good.mean())


def select_frames(travel: np.ndarray, blur: np.ndarray, options: FrameOptions) -> tuple[np.ndarray, float]:
    """Choose among frames by their travel and blur.

    Parameters
    ----------
    travel : (N,)
        As in `FrameMeasures`.
    blur : (N,)
    options : FrameOptions

    Returns
    -------
    rows : (K,) int64
        Ascending; a single one when nothing moves.
    spacing : float
        Travel from one to the next.
    """
    spacing = options.spacing
    rows = _sharpest(travel, blur, spacing)
    while len(rows) > options.max_frames:
        spacing *= 1.02
        rows = _sharpest(travel, blur, spacing)
    while len(rows) < min(options.wanted_frames, options.max_frames) and spacing > options.spacing / 4:
        spacing *= 0.95
        more = _sharpest(travel, blur, spacing)
        if len(more) > options.max_frames:
            break
        rows = more
    return _without_blurred(rows, travel, blur, options.blur_ratio, 3.5 * spacing), spacing


def _sharpest(travel: np.ndarray, blur: np.ndarray, spacing: float) -> np.ndarray:
    """For each multiple of the spacing the frame nearest to it, among those near it that are as good as sharpest."""
    place = travel / spacing
    cell = np.round(place).astype(np.int64)
    cell -= cell.min()
    best = np.full(cell.max() + 1, np.inf)
    np.minimum.at(best, cell, blur)
    dull = blur > _AS_SHARP * best[cell] + 0.05
    order = np.lexsort((np.arange(len(travel)), np.abs(place - np.round(place)), dull, cell))
    first = np.concatenate([[True], np.diff(cell[order]) > 0])
    return np.sort(order[first])


def _without_blurred(
    rows: np.ndarray, travel: np.ndarray, blur: np.ndarray, ratio: float, widest: float
) -> np.ndarray:
    """Leave out what is much more blurred than its neighbours, as long as these stay within `widest` of each other."""
    kept = list(rows)
    for row in sorted(rows, key=lambda r: (-blur[r], r)):
        i = kept.index(row)
        near = [blur[r] for r in kept[max(0, i - 4) : i + 5] if r != row]
        if len(kept) <= 2 or not near or not blur[row] > max(ratio * float(np.median(near)), 1.0):
            continue
        if i == 0 or i == len(kept) - 1 or travel[kept[i + 1]] - travel[kept[i - 1]] <= widest:
            kept.remove(row)
    return np.array(kept, np.int64)
