"""Find a target in all photos that are given; which one it is is guessed where it is not given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo3d.calibration.board_fit import Observations
from geo3d.calibration.board_frames import choose_board_frames
from geo3d.calibration.board_photos import GivenPhotos, PhotoFiles, VideoFrames, find_photo_files
from geo3d.calibration.detect_circles import disc_centres
from geo3d.calibration.detection import Detection
from geo3d.calibration.find_target import find_target
from geo3d.calibration.guess_board import FEW, guessed_or_refused, refuse_other_board, sample_of
from geo3d.calibration.start import start_board
from geo3d.calibration.targets import CircleGrid, Target
from geo3d.geometry import SE3

Progress = Callable[[int, int, str], None]

_NOT_SEEN = "no such board is to be seen in it"
_DISC_ROUNDS = 2  # of camera, correction, camera


@dataclass(frozen=True, eq=False)
class FoundBoards:
    """What photos show.

    Attributes
    ----------
    target : Target
        The one given, or guessed.
    width, height : int
        Of the photos, pixels as stored.
    detections : dict of str to Detection
        By name of the photo. Of discs they are the images of the centres.
    skipped : dict of str to str
        Photo to why nothing was found in it.
    photos : PhotoFiles, VideoFrames or None
        Where the photos are, by name; None for detections that come from elsewhere.
    """

    target: Target
    width: int
    height: int
    detections: dict[str, Detection]
    skipped: dict[str, str]
    photos: PhotoFiles | VideoFrames | None = None

    @property
    def paths(self) -> dict[str, Path]:
        """Name of a photo to its file; frames of a video have none (`photos.each` reads either)."""
        return self.photos.paths if isinstance(self.photos, PhotoFiles) else {}


def find_boards(
    photos: GivenPhotos,
    target: Target | None = None,
    *,
    progress: Progress | None = None,
    threads: int | None = None,
) -> FoundBoards:
    """Find a target in photos, or in frames of a video that are chosen for it.

    Parameters
    ----------
    photos : path, or sequence of paths
        A folder, a pattern as "photos/left*.jpg", a list of photos, or a video, of one camera: all of one size, as
        stored (EXIF orientation is not applied and makes no difference).
    target : Target, optional
        By default the board that most photos show (`guess_board`).
    progress : callable, optional
        Called as `progress(done, total, text)`.
    threads : int, optional
        By default all cores.

    Returns
    -------
    FoundBoards
        Names are relative to the folder that the photos have in common; frames are `frame_000123`, by their numbers.

    Raises
    ------
    ValueError
        If there are no photos, none shows the board or many more show another, or they are of several sizes.
    OSError
        If there is no such folder or file.
    """
    source = find_photo_files(photos)
    if isinstance(source, PhotoFiles):
        board = target or guessed_or_refused(sample_of(source, threads), source.given, threads)
    else:
        source, board = choose_board_frames(source, target, progress=progress, threads=threads)
    report = progress or (lambda done, total, text: None)
    detections: dict[str, Detection] = {}
    sizes: dict[str, tuple[int, int]] = {}
    skipped: dict[str, str] = {}
    for done, (name, found) in enumerate(source.each(lambda p: _find(p, board), threads=threads), start=1):
        if isinstance(found, Exception):
            skipped[name] = str(found)
        elif found is None:
            skipped[name] = _NOT_SEEN
        else:
            sizes[name], detections[name] = found
        report(
            done, len(source.names), f"{name}: {len(detections[name]) if name in detections else 'no'} points"
        )
    if len(detections) < FEW * len(source.names):
        _check_board(source, board, len(detections), skipped, threads)
    width, height = _one_size(sizes)
    if isinstance(board, CircleGrid) and len(detections) > 1:
        detections = _centres(detections, board, width, height)
    return FoundBoards(board, width, height, detections, skipped, source)


def _find(pixels: np.ndarray, board: Target) -> tuple[tuple[int, int], Detection] | None:
    """Width and height of a photo, and what it shows of a board."""
    found = find_target(pixels, board)
    return None if found is None else ((pixels.shape[1], pixels.shape[0]), found)


def _check_board(
    source: PhotoFiles | VideoFrames, board: Target, found: int, skipped: dict[str, str], threads: int | None
) -> None:
    """Say so where no photo can be read or shows the board, or many more show another."""
    total, what = len(source.names), f"photos in {source.given}"
    readable = [name for name in source.names if skipped.get(name, _NOT_SEEN) == _NOT_SEEN]
    if not readable:
        raise ValueError(f"none of the {total} {what} can be read; the first: {skipped[source.names[0]]}")

    def count(other: Target) -> int:
        return sum(
            isinstance(seen, tuple) for _, seen in source.each(lambda p: _find(p, other), threads=threads)
        )

    refuse_other_board(board, found, total, what, sample_of(source, threads, readable), count, threads)


def _centres(
    detections: dict[str, Detection], target: CircleGrid, width: int, height: int
) -> dict[str, Detection]:
    """The images of the discs' centres, by cameras from what was found."""
    names = sorted(detections)
    found = dict(detections)
    for _ in range(_DISC_ROUNDS):
        view = np.repeat(np.arange(len(names)), [len(found[n]) for n in names])
        ids, pixels = (np.concatenate([getattr(found[n], of) for n in names]) for of in ("ids", "pixels"))
        start = start_board(Observations(target.points, view, ids, pixels, len(names)), width, height)
        for v, name in enumerate(names):
            pose = SE3(start.rotations[v], start.translations[v])
            found[name] = disc_centres(detections[name], target, start.camera, pose)
    return found


def _one_size(sizes: dict[str, tuple[int, int]]) -> tuple[int, int]:
    groups: dict[tuple[int, int], list[str]] = {}
    for name, size in sizes.items():
        groups.setdefault(size, []).append(name)
    if len(groups) == 1:
        return next(iter(groups))
    listed = sorted(groups.items(), key=lambda entry: -len(entry[1]))
    text = "the photos are of several sizes, so not of one camera as it stood: " + "; ".join(
        f"{len(names)} of {w}x{h} ({names[0]})" for (w, h), names in listed[:4]
    )
    if any(size[::-1] in groups for size in groups if size[0] != size[1]):
        raise ValueError(
            f"{text}. Upright and level ones differ where a program has turned the pixels, and with them the camera: "
            "take the photos as the camera stored them, or leave out those that were turned"
        )
    raise ValueError(f"{text}. Put each camera's photos into a folder of its own, as the camera stored them")
