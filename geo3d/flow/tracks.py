"""Points followed through a video by dense flow, until they are hidden or leave the picture.

From frame to frame a point goes where the flow w leads, read between the pixels. It ends where the flow back, v, does
not bring it home,

    |w + v|^2 > 0.01 (|w|^2 + |v|^2) + 0.5

(it is hidden there), where it comes within a motion boundary, |grad w|^2 > 0.01 |w|^2 + 0.002 (it would drift over to
the other side), or where it leaves the picture. New points begin where none is near and there is something to see.

Sundaram, Brox, Keutzer: "Dense point trajectories by GPU-accelerated large displacement optical flow", ECCV 2010.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from geo3d.flow.both_ways import comes_home, find_both_flows
from geo3d.flow.confidence import smaller_eigenvalue
from geo3d.flow.frames import Frames, SkippedFrame, UsableFrames, VideoFrame
from geo3d.flow.images import prepare_pair
from geo3d.flow.optical_flow import METHODS

_STRUCTURE = (1.0 / 255.0) ** 2  # smaller eigenvalue of what can be followed


@dataclass(frozen=True)
class VideoTrackOptions:
    """How points are followed.

    Attributes
    ----------
    spacing_px : int
        Side of the cells that get a new point when they hold none.
    method : str
        Of optical flow, a name of `METHODS`.
    flow_options : dataclass, optional
        Of the method.

    Raises
    ------
    ValueError
        If one is out of range.
    """

    spacing_px: int = 12
    method: str = "fast"
    flow_options: Any = None

    def __post_init__(self) -> None:
        if self.spacing_px < 1:
            raise ValueError(f"spacing_px: expected at least 1 pixel, got {self.spacing_px}")
        if self.method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {self.method!r}")


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """The points of one frame.

    Attributes
    ----------
    number : int
        Of the frame in the video.
    pixels : (H, W) or (H, W, 3)
        The frame.
    ids : (P,) int64
        Of the points, ascending; a new point gets the next number.
    points : (P, 2) float64
        x and y, the centre of the top-left pixel at 0.5, 0.5.
    """

    number: int
    pixels: np.ndarray
    ids: np.ndarray
    points: np.ndarray


@dataclass(frozen=True, eq=False)
class PointTracks:
    """Tracks of T points through N frames. A track has a place in each frame from its first to its last.

    Attributes
    ----------
    numbers : (N,) int64
        Of the frames in the video; others were left out.
    size : (width, height)
        Of the frames.
    first : (T,) int64
        First frame of each track, counted among the N; the id of a track is its row.
    lengths : (T,) int64
        Number of frames of each track, at least 2.
    points : (M, 2) float64
        Places of the first track in its frames, then of the second, ...: x and y, the centre of the top-left pixel at
        0.5, 0.5.
    skipped : list of SkippedFrame
    """

    numbers: np.ndarray
    size: tuple[int, int]
    first: np.ndarray
    lengths: np.ndarray
    points: np.ndarray
    skipped: list[SkippedFrame]

    def __len__(self) -> int:
        return len(self.first)

    def track(self, row: int) -> np.ndarray:
        """(L, 2): places of the track `row` in the frames from `first[row]` on."""
        end = int(self.lengths[: row + 1].sum())
        return self.points[end - int(self.lengths[row]) : end]

    def at(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows (P,) of the tracks that are seen in a `frame`, counted among the N, and their places (P, 2) there."""
        rows = np.flatnonzero((self.first <= frame) & (frame < self.first + self.lengths))
        starts = np.cumsum(self.lengths) - self.lengths
        return rows, self.points[starts[rows] + frame - self.first[rows]]


def follow_points(
    frames: Frames, options: VideoTrackOptions | None = None, skipped: list[SkippedFrame] | None = None
) -> Iterator[TrackedFrame]:
    """Follow points through a video, frame by frame; two frames are held at a time.

    Parameters
    ----------
    frames : Frames
        The video: see `geo3d.flow.frames`.
    options : VideoTrackOptions, optional
    skipped : list, optional
        Frames that are left out are added to it.

    Yields
    ------
    TrackedFrame
        Of each frame that can be used, with new points in it.
    """
    options = options or VideoTrackOptions()
    usable = UsableFrames(frames, skipped=[] if skipped is None else skipped)
    last: VideoFrame | None = None
    ids, points, count = np.zeros(0, np.int64), np.zeros((0, 2)), 0
    for frame in usable:
        if last is not None and len(points):
            places, alive = advance_points(last.pixels, frame.pixels, points, options)
            ids, points = ids[alive], places[alive]
        fresh = _new_points(frame.pixels, points, options.spacing_px)
        ids = np.concatenate([ids, count + np.arange(len(fresh))])
        points, count = np.concatenate([points, fresh]), count + len(fresh)
        yield TrackedFrame(frame.number, frame.pixels, ids, points)
        last = frame


def track_video(
    frames: Frames,
    options: VideoTrackOptions | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> PointTracks:
    """Follow points through a video and gather their tracks.

    Parameters
    ----------
    frames : Frames
        The video: see `geo3d.flow.frames`.
    options : VideoTrackOptions, optional
    progress : callable
        Called with the number of frames that are done.

    Returns
    -------
    PointTracks
        Points that were seen in one frame only are left out.

    Raises
    ------
    ValueError
        If no frame can be used.
    """
    gather = TrackGatherer()
    skipped: list[SkippedFrame] = []
    for done, tracked in enumerate(follow_points(frames, options, skipped), 1):
        gather.add(tracked)
        progress(done)
    return gather.tracks(skipped)


class TrackGatherer:
    """Gathers the frames of `follow_points` into tracks, without their pixels."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._ids: list[np.ndarray] = []
        self._points: list[np.ndarray] = []
        self._size = (0, 0)

    def add(self, tracked: TrackedFrame) -> None:
        """Add the next frame, `tracked`."""
        self._numbers.append(tracked.number)
        self._ids.append(tracked.ids)
        self._points.append(tracked.points.astype(np.float32))
        self._size = tracked.pixels.shape[1], tracked.pixels.shape[0]

    def tracks(self, skipped: list[SkippedFrame]) -> PointTracks:
        """The tracks of the frames so far; `skipped` were left out."""
        if not self._numbers:
            why = f"; frame {skipped[0].number} was left out: {skipped[0].reason}" if skipped else ""
            raise ValueError(f"frames: expected one or more that can be used, got none{why}")
        ids = np.concatenate(self._ids)
        frame = np.repeat(np.arange(len(self._ids)), [len(i) for i in self._ids])
        order = np.argsort(ids, kind="stable")
        _, starts, lengths = np.unique(ids[order], return_index=True, return_counts=True)
        kept = np.repeat(lengths > 1, lengths)
        points = np.concatenate(self._points).astype(np.float64)[order][kept]
        first = frame[order][starts][lengths > 1]
        return PointTracks(
            np.array(self._numbers, np.int64), self._size, first, lengths[lengths > 1], points, skipped
        )


def advance_points(
    image0: np.ndarray, image1: np.ndarray, points: np.ndarray, options: VideoTrackOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Where points of an image are in the next one.

    Parameters
    ----------
    image0, image1 : (H, W) or (H, W, 3)
    points : (P, 2)
        In image0, the centre of the top-left pixel at 0.5, 0.5.
    options : VideoTrackOptions

    Returns
    -------
    places : (P, 2) float64
        In image1.
    alive : (P,) bool
        Which are still seen there.
    """
    flows = find_both_flows(image0, image1, options.method, options.flow_options)
    height, width = flows.forward.shape[:2]
    w = _sample(flows.forward, points)
    if flows.is_cut:
        return points + w, np.zeros(len(points), bool)
    places = points + w
    alive = (places >= 0).all(axis=1) & (places <= [width, height]).all(axis=1)
    alive &= comes_home(w, _sample(flows.backward, places))
    slope = sum((d**2).sum(axis=2) for d in np.gradient(flows.forward.astype(np.float64), axis=(0, 1)))
    boundary = _sample(np.asarray(slope)[..., None], points)[:, 0]
    return places, alive & (boundary <= 0.01 * (w**2).sum(axis=1) + 0.002)


def _sample(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(P, C) float64: a field (H, W, C) at points, bilinear; beyond the border as on it."""
    height, width = field.shape[:2]
    x = np.clip(points[:, 0] - 0.5, 0, width - 1)
    y = np.clip(points[:, 1] - 0.5, 0, height - 1)
    left, top = (
        np.minimum(x.astype(np.int64), max(width - 2, 0)),
        np.minimum(y.astype(np.int64), max(height - 2, 0)),
    )
    right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    above = (1 - fx) * field[top, left] + fx * field[top, right]
    below = (1 - fx) * field[low, left] + fx * field[low, right]
    return (1 - fy) * above + fy * below


def _new_points(pixels: np.ndarray, points: np.ndarray, spacing: int) -> np.ndarray:
    """(K, 2): in each cell that holds no point the pixel with the most structure, where there is some."""
    strength = smaller_eigenvalue(prepare_pair(pixels, pixels).gray0)
    height, width = strength.shape
    rows, columns = -(-height // spacing), -(-width // spacing)
    padded = np.zeros((rows * spacing, columns * spacing), np.float32)
    padded[:height, :width] = strength
    blocks = padded.reshape(rows, spacing, columns, spacing).transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    at = blocks.argmax(axis=2)
    wanted = np.take_along_axis(blocks, at[..., None], 2)[..., 0] > _STRUCTURE
    if len(points):
        cell = np.minimum(points // spacing, [columns - 1, rows - 1]).astype(np.int64)
        wanted[cell[:, 1], cell[:, 0]] = False
    row, column = np.nonzero(wanted)
    y, x = np.divmod(at[row, column], spacing)
    return np.stack([column * spacing + x, row * spacing + y], axis=1) + 0.5
