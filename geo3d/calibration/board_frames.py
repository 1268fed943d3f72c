"""Choose the frames of a video that a calibration wants: those that show the board from different views, steady.

The video is looked through once, reduced (`look_through`); the board is found in those frames at low cost, and a few
tens of different views are chosen (`choose_views`). A frame shakes by the blur of the board in it and by the way that
its corners go within a frame's time, which is what a rolling shutter skews it by: the root of the sum of their squares.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from geo3d.calibration.board_photos import VideoFrames, frame_name
from geo3d.calibration.choose_views import choose_views
from geo3d.calibration.detection import Detection
from geo3d.calibration.find_checkerboard import Look, find_checkerboard
from geo3d.calibration.find_target import find_target
from geo3d.calibration.guess_board import FEW, guessed_or_refused, refuse_other_board, spaced
from geo3d.calibration.look_through import look_through
from geo3d.calibration.targets import Checkerboard, Target
from geo3d.images import blur_px
from geo3d.util.threads import map_threads

_PARTS_IN = 40  # frames in which parts of a board are looked for too, which takes long
_LEAST_SIDE = 16  # of a crop whose blur can be measured, pixels


def choose_board_frames(
    video: Path,
    target: Target | None = None,
    *,
    progress: Callable[[int, int, str], None] | None = None,
    threads: int | None = None,
) -> tuple[VideoFrames, Target]:
    """Choose frames of a video that show a board.

    Parameters
    ----------
    video : Path
    target : Target, optional
        By default what the video shows.
    progress : callable, optional
        Called as `progress(done, total, text)`.
    threads : int, optional
        By default all cores.

    Returns
    -------
    frames : VideoFrames
    target : Target

    Raises
    ------
    ValueError
        If no frame shows the board, or the file cannot be read as a video (`VideoError`).
    OSError
        If the file cannot be read at all.
    """
    looked = look_through(video, progress)
    images = looked.images
    board = target or guessed_or_refused(spaced(images), str(video), threads)
    found = _find_quickly(images, board, threads)
    if not found or (target is not None and len(found) < FEW * len(images)):
        refuse_other_board(
            board,
            len(found),
            len(images),
            f"frames of {video}",
            spaced(images),
            lambda other: len(_find_quickly(images, other, threads)),
            threads,
        )
    rows = sorted(found)
    height, width = images[0].shape
    shake = np.array([_shake_px(images[row], row, found, looked.step, len(board.points)) for row in rows])
    chosen = choose_views([found[row] for row in rows], board, width, height, shake)
    numbers = [rows[k] * looked.step for k in chosen]
    return VideoFrames(video, {frame_name(number): number for number in numbers}), board


def _find_quickly(images: list[np.ndarray], board: Target, threads: int | None) -> dict[int, Detection]:
    """Row of an image to what was found in it; parts of a checkerboard are looked for in some of the images only."""

    def find(row: int, look: Look) -> Detection | None:
        if isinstance(board, Checkerboard):
            return find_checkerboard(images[row], board, look=look)
        return find_target(images[row], board)

    rows = range(len(images))
    seen = dict(zip(rows, map_threads(lambda row: find(row, "whole"), rows, threads)))
    if isinstance(board, Checkerboard):
        left = [row for row in rows if seen[row] is None]
        left = left[:: max(1, -(-len(left) // _PARTS_IN))]
        seen |= zip(left, map_threads(lambda row: find(row, "quick"), left, threads))
    return {row: found for row, found in seen.items() if found is not None}


def _shake_px(image: np.ndarray, row: int, found: dict[int, Detection], step: int, count: int) -> float:
    """How far an image of a board is smeared or moves within a frame's time, its pixels."""
    here = found[row]
    low, high = here.pixels.min(axis=0).astype(int), here.pixels.max(axis=0).astype(int) + 1
    crop = image[max(low[1], 0) : high[1], max(low[0], 0) : high[0]]
    blur = min(blur_px(crop) if min(crop.shape) >= _LEAST_SIDE else np.inf, max(crop.shape))
    moves = [_moved_px(here, found[near], count) for near in (row - 1, row + 1) if near in found]
    return float(np.hypot(blur, np.mean(moves) / step if moves else 0.0))


def _moved_px(a: Detection, b: Detection, count: int) -> float:
    """Median way of the points from one detection to another, whichever way round the board was taken to be."""
    ways = [np.inf]
    for ids in (b.ids, count - 1 - b.ids):
        _, i, j = np.intersect1d(a.ids, ids, return_indices=True)
        if len(i):
            ways.append(float(np.median(np.linalg.norm(a.pixels[i] - b.pixels[j], axis=1))))
    return min(ways)
