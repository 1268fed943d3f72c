"""Motion of the camera from frame to frame: the similarity or homography that most of the picture follows.

    x_i+1 = H_i x_i        for what stands still, pixels of the frames i and i + 1

Corners, one a cell of a grid so that they cover the picture, are followed by pyramidal Lucas-Kanade there and back;
RANSAC finds what most of them agree on. Corners that have gone with the camera elect the next step as long as they
agree among themselves, and one that went its own way has no vote for some steps: so something that walks into the
picture does not take over when it comes to cover most of it, or goes as the camera does for a moment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from geo3d.estimation import EstimationError, RansacOptions, estimate_homography, estimate_similarity_2d
from geo3d.flow.confidence import smaller_eigenvalue
from geo3d.flow.frames import Frames, SkippedFrame, UsableFrames, gray_bytes
from geo3d.util.require import require

_STRUCTURE = (1.0 / 255.0) ** 2  # smaller eigenvalue of what can be followed
_CELLS = 40  # along the longer side
_FEWEST, _TRUSTED_FEWEST = 16, 30  # corners that a motion, and the election by the trusted ones, rest on
_AGREE = 0.3  # share of the corners that have to agree on a motion
_DISTRUSTED = 15  # steps without a vote for a corner that did not agree
_BACK_PX = 0.7  # that a corner followed there and back may be off


@dataclass(frozen=True)
class CameraMotionOptions:
    """How the motion of the camera is found.

    Attributes
    ----------
    model : {"similarity", "homography"}
        What a step may be: shift, turn and zoom, or with the change of perspective that a camera shows which pans or
        tilts.
    max_error_px : float
        By which a corner may miss the motion and still agree with it, pixels of the reduced frame.
    side_px : int
        Longer side to which frames are reduced, pixels.

    Raises
    ------
    ValueError
        If one is out of range.
    """

    model: Literal["similarity", "homography"] = "homography"
    max_error_px: float = 1.5
    side_px: int = 640

    def __post_init__(self) -> None:
        if self.model not in ("similarity", "homography"):
            raise ValueError(f"model: expected similarity or homography, got {self.model!r}")
        if not self.max_error_px > 0:
            raise ValueError(f"max_error_px: expected pixels, above 0, got {self.max_error_px}")
        if self.side_px < 64:
            raise ValueError(f"side_px: expected at least 64 pixels, got {self.side_px}")


@dataclass(frozen=True, eq=False)
class CameraMotion:
    """Motion of the picture from each of N frames to the next.

    Attributes
    ----------
    numbers : (N,) int64
        Of the frames in the video; others were left out.
    size : (width, height)
    steps : (N - 1, 3, 3) float64
        Where what stands still goes, pixels (the centre of the top-left one at 0.5, 0.5), last element 1. The identity
        where it is not known.
    support : (N - 1,) float64
        Share of the corners that agree; 0 where the motion is not known.
    cuts : (K,) int64
        Frames, counted among the N, with which another shot begins: nothing leads to them from the frame before.
    skipped : list of SkippedFrame
    """

    numbers: np.ndarray
    size: tuple[int, int]
    steps: np.ndarray
    support: np.ndarray
    cuts: np.ndarray
    skipped: list[SkippedFrame]

    def shots(self) -> list[tuple[int, int]]:
        """First frame of each shot and the one after its last, counted among the N."""
        edges = [0, *self.cuts.tolist(), len(self.numbers)]
        return list(pairwise(edges))


def camera_motion(
    frames: Frames,
    options: CameraMotionOptions | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> CameraMotion:
    """Find how the camera moved through a video; two frames are held at a time.

    Parameters
    ----------
    frames : Frames
        The video: see `geo3d.flow.frames`.
    options : CameraMotionOptions, optional
    progress : callable
        Called with the number of frames that are done.

    Returns
    -------
    CameraMotion
        Frames that cannot be used are in `skipped`: of another size, broken, or unlike both neighbours, which fit
        each other.

    Raises
    ------
    ValueError
        If fewer than two frames can be used.
    """
    usable = UsableFrames(frames)
    walk = _Walk(options or CameraMotionOptions(), usable)
    for done, frame in enumerate(usable, 1):
        walk.add(frame.number, frame.pixels)
        progress(done)
    if len(walk.numbers) < 2:
        raise ValueError(
            f"frames: expected two or more that can be used, got {len(walk.numbers)}{_why(usable)}"
        )
    assert usable.size is not None
    return CameraMotion(
        np.array(walk.numbers, np.int64),
        usable.size,
        np.stack([step.matrix for step in walk.steps]),
        np.array([step.support for step in walk.steps]),
        np.array([i + 1 for i, step in enumerate(walk.steps) if step.is_cut], np.int64),
        sorted(usable.skipped, key=lambda frame: frame.number),
    )


def _why(usable: UsableFrames) -> str:
    first = usable.skipped[0] if usable.skipped else None
    return f"; frame {first.number} was left out: {first.reason}" if first else ""


@dataclass(frozen=True, eq=False)
class _Step:
    matrix: np.ndarray  # (3, 3)
    support: float
    is_cut: bool


@dataclass(eq=False)
class _View:
    """A frame that corners are followed from."""

    number: int
    gray: np.ndarray
    corners: np.ndarray  # (C, 2) float32, pixels of the reduced frame, its top-left centre at 0, 0
    wait: np.ndarray  # (C,) int64: steps that each has to agree before it votes


class _Walk:
    """Goes through the frames and gathers the steps."""

    def __init__(self, options: CameraMotionOptions, usable: UsableFrames) -> None:
        self.options, self.usable = options, usable
        self.numbers: list[int] = []
        self.steps: list[_Step] = []
        self.last: _View | None = None
        self.before: _View | None = (
            None  # the frame before the last one, where nothing led from it to the last
        )

    def add(self, number: int, pixels: np.ndarray) -> None:
        view = _seen(number, gray_bytes(pixels, self.options.side_px))
        if self.last is not None:
            matrix = self._lead(self.last, view)
            if matrix is None and self.before is not None:
                matrix = self._lead(self.before, view)
                if matrix is not None:  # the last frame was the odd one
                    self.usable.skip(self.numbers.pop(), "it does not fit the frames beside it")
                    self.steps.pop()
            self.before = self.last if matrix is None else None
            self.steps.append(matrix or _unknown(self.last, view))
        self.numbers.append(number)
        self.last = view

    def _lead(self, first: _View, second: _View) -> _Step | None:
        """The step between two frames, None where not found; corners of the first go on in the second."""
        there, kept = _follow(first.gray, second.gray, first.corners)
        if kept.sum() < _FEWEST:
            return None
        corners, moved, trusted = first.corners[kept] + 0.5, there[kept] + 0.5, first.wait[kept] == 0
        found = None
        if trusted.sum() >= _TRUSTED_FEWEST:
            found = self._elect(corners[trusted], moved[trusted], 0.5)
        if found is None:
            found = self._elect(corners, moved, _AGREE)
        if found is None:
            return None
        agree = np.linalg.norm(transfer(found, corners) - moved, axis=1) < self.options.max_error_px
        support = float(agree.sum() / max(kept.size, 1))
        if support < 0.5 * _AGREE:
            return None
        _carry_on(second, there[kept], np.where(agree, np.maximum(first.wait[kept] - 1, 0), _DISTRUSTED))
        return _Step(_in_full(found, second.gray.shape, self.usable.size), support, False)

    def _elect(self, x: np.ndarray, y: np.ndarray, share: float) -> np.ndarray | None:
        """The matrix that at least `share` of the corners agree on, None if there is none."""
        ransac = RansacOptions(self.options.max_error_px, confidence=0.999, max_iterations=2000)
        try:
            if self.options.model == "similarity":
                found = estimate_similarity_2d(x, y, ransac)
                matrix = found.matrix
            else:
                found = estimate_homography(x, y, ransac)
                matrix = found.H / found.H[2, 2]
        except EstimationError:
            return None
        return matrix if found.inliers.sum() >= max(_FEWEST, share * len(x)) else None


def transfer(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(..., 2): where a homography (3, 3) takes the pixels `x` (..., 2)."""
    moved = x @ matrix[:, :2].T + matrix[:, 2]
    return moved[..., :2] / moved[..., 2:]


def _seen(number: int, gray: np.ndarray) -> _View:
    corners = _corners(gray)
    return _View(number, gray, corners, np.ones(len(corners), np.int64))


def _corners(gray: np.ndarray) -> np.ndarray:
    """(C, 2) float32: in each cell the pixel with the most structure, where there is some."""
    strength = smaller_eigenvalue(gray.astype(np.float32) / np.float32(255.0))
    cell = max(max(gray.shape) // _CELLS, 4)
    rows, columns = gray.shape[0] // cell, gray.shape[1] // cell
    blocks = strength[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    blocks = blocks.transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    at = blocks.argmax(axis=2)
    row, column = np.nonzero(np.take_along_axis(blocks, at[..., None], 2)[..., 0] > _STRUCTURE)
    y, x = np.divmod(at[row, column], cell)
    return np.stack([column * cell + x, row * cell + y], axis=1).astype(np.float32)


def _carry_on(view: _View, corners: np.ndarray, wait: np.ndarray) -> None:
    """Put corners that were followed into a view in the place of its own of the same cells."""
    height, width = view.gray.shape
    cell = max(max(height, width) // _CELLS, 4)
    inside = ((corners >= 0) & (corners <= [width - 1, height - 1])).all(axis=1)
    corners, wait = corners[inside], wait[inside]
    _, first = np.unique(_cells(corners, cell), return_index=True, axis=0)
    first = np.sort(first)
    corners, wait = corners[first], wait[first]
    taken = {tuple(place) for place in _cells(corners, cell).tolist()}
    free = np.array([tuple(place) not in taken for place in _cells(view.corners, cell).tolist()], bool)
    fresh = view.corners[free]
    view.corners = np.concatenate([corners, fresh]).astype(np.float32)
    view.wait = np.concatenate([wait, np.ones(len(fresh), np.int64)])


def _cells(corners: np.ndarray, cell: int) -> np.ndarray:
    return (corners // cell).astype(np.int64).reshape(-1, 2)


def _follow(gray0: np.ndarray, gray1: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the corners (C, 2) are in the other frame, and which came back to their place from there, (C,) bool."""
    if not len(corners):
        return corners, np.zeros(0, bool)
    cv2 = require("cv2")
    # A tenth of a pixel is enough here, and OpenCV's is ten times as fast as `track_points`, which is finer.
    window = {"winSize": (21, 21), "maxLevel": 4}
    there, found, _ = cv2.calcOpticalFlowPyrLK(gray0, gray1, corners, None, **window)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(gray1, gray0, there, None, **window)
    good = (found[:, 0] > 0) & (found_back[:, 0] > 0)
    return there, good & (np.linalg.norm(back - corners, axis=1) < _BACK_PX)


def _in_full(matrix: np.ndarray, shape: tuple[int, ...], size: tuple[int, int] | None) -> np.ndarray:
    """A homography of reduced frames, for those of the video's size; last element 1."""
    assert size is not None
    scale = np.diag([size[0] / shape[1], size[1] / shape[0], 1.0])
    full = scale @ matrix @ np.linalg.inv(scale)
    return full / full[2, 2]


def _unknown(first: _View, second: _View) -> _Step:
    """A step that was not found: a cut where both frames have something to follow; else the camera is held still."""
    is_cut = min(len(first.corners), len(second.corners)) >= _TRUSTED_FEWEST
    return _Step(np.eye(3), 0.0, is_cut)
