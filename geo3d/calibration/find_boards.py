"""Find a target in all photos of a folder; which one it is is guessed where it is not given."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo3d.calibration.board_fit import Observations
from geo3d.calibration.detect_circles import disc_centres
from geo3d.calibration.detection import Detection
from geo3d.calibration.find_checkerboard import find_lattice
from geo3d.calibration.find_target import find_target
from geo3d.calibration.guess_circles import guess_circle_grid
from geo3d.calibration.guess_markers import guess_marker_board
from geo3d.calibration.start import start_board
from geo3d.calibration.targets import Checkerboard, CircleGrid, Target
from geo3d.geometry import SE3
from geo3d.images import list_photos, read_photo
from geo3d.util.threads import map_threads

Progress = Callable[[int, int, str], None]

_GUESSED_FROM = 12  # photos
_FEW = 4  # of them, for kinds that take seconds to guess
_NOT_SEEN = "no such board is to be seen in it"
_DISC_ROUNDS = 2  # of camera, correction, camera


@dataclass(frozen=True, eq=False)
class FoundBoards:
    """What the photos of a folder show.

    Attributes
    ----------
    target : Target
        The one given, or guessed.
    width, height : int
        Of the photos, pixels.
    detections : dict of str to Detection
        By name of the photo. Of discs they are the images of the centres.
    skipped : dict of str to str
        Photo to why nothing was found in it.
    """

    target: Target
    width: int
    height: int
    detections: dict[str, Detection]
    skipped: dict[str, str]


def find_boards(
    folder: str | os.PathLike,
    target: Target | None = None,
    *,
    progress: Progress | None = None,
    threads: int | None = None,
) -> FoundBoards:
    """Find a target in the photos of a folder.

    Parameters
    ----------
    folder : path
        Its photos are of one camera: all of one size, as stored (EXIF orientation makes no difference).
    target : Target, optional
        By default `guess_board(folder)`.
    progress : callable, optional
        Called as `progress(done, total, text)`.
    threads : int, optional
        By default all cores.

    Returns
    -------
    FoundBoards

    Raises
    ------
    ValueError
        If there are no photos, none shows the board, or they are of several sizes.
    """
    folder = Path(folder)
    names = _photos(folder)
    board = target or guess_board(folder, threads)
    report = progress or (lambda done, total, text: None)

    def one(name: str) -> tuple[tuple[int, int], Detection] | str:
        try:
            pixels = read_photo(folder / name, "gray").pixels
        except (OSError, ValueError) as error:
            return str(error)
        found = find_target(pixels, board)
        return _NOT_SEEN if found is None else ((pixels.shape[1], pixels.shape[0]), found)

    detections: dict[str, Detection] = {}
    sizes: dict[str, tuple[int, int]] = {}
    skipped: dict[str, str] = {}
    for done, (name, found) in enumerate(zip(names, map_threads(one, names, threads)), start=1):
        if isinstance(found, str):
            skipped[name] = found
        else:
            sizes[name], detections[name] = found
        report(done, len(names), f"{name}: {len(detections[name]) if name in detections else 'no'} points")
    if not detections:
        raise ValueError(_nothing_found(folder, names, board, threads))
    width, height = _one_size(sizes)
    if isinstance(board, CircleGrid) and len(detections) > 1:
        detections = _centres(detections, board, width, height)
    return FoundBoards(board, width, height, detections, skipped)


def guess_board(folder: str | os.PathLike, threads: int | None = None) -> Target:
    """Which board most photos of a folder show: a checkerboard, one of markers, or a grid of discs.

    Parameters
    ----------
    folder : path
    threads : int, optional
        By default all cores.

    Returns
    -------
    Target
        With squares, tags or a spacing of 1 m.

    Raises
    ------
    ValueError
        If there are no photos, or none shows a board.
    """
    folder = Path(folder)
    names = _photos(folder)
    found = _guess(folder, names, threads)
    if found is None:
        raise ValueError(
            f"no board is found in {min(len(names), _GUESSED_FROM)} photos of {folder}. If there is one, say which: as "
            "--board 9x6 for a checkerboard of 9 x 6 inner corners, one less than squares"
        )
    return found


def _photos(folder: Path) -> list[str]:
    names = list_photos(folder)
    if not names:
        raise ValueError(f"no photos in {folder}")
    return names


def _guess(folder: Path, names: list[str], threads: int | None) -> Target | None:
    step = max(1, len(names) // _GUESSED_FROM)

    def read(name: str) -> np.ndarray | None:
        try:
            return read_photo(folder / name, "gray").pixels
        except (OSError, ValueError):  # said when all photos are read
            return None

    images = [image for image in map_threads(read, names[::step], threads) if image is not None]
    size = guess_size(images, threads)
    if size is not None:
        return Checkerboard(*size)
    few = images[:: max(1, len(images) // _FEW)]
    return guess_marker_board(few) or guess_circle_grid(few)


def guess_size(images: list[np.ndarray], threads: int | None = None) -> tuple[int, int] | None:
    """Columns and rows of the checkerboard that most photos show.

    Parameters
    ----------
    images : list of (H, W) uint8
    threads : int, optional

    Returns
    -------
    (int, int) or None
        Columns are the more. None where no two photos (of two or more) show the same.
    """

    def one(image: np.ndarray) -> tuple[int, int] | None:
        lattice = find_lattice(image)
        if lattice is None or not np.isfinite(lattice).all():
            return None
        return max(lattice.shape[:2]), min(lattice.shape[:2])

    counts = Counter(size for size in map_threads(one, images, threads) if size is not None)
    if not counts:
        return None
    size, count = max(counts.items(), key=lambda entry: (entry[1], entry[0]))
    return size if count >= min(2, len(images)) else None


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
    if len(groups) > 1:
        listed = sorted(groups.items(), key=lambda entry: -len(entry[1]))
        raise ValueError(
            "the photos are of several sizes, so not of one camera as it stood: "
            + "; ".join(f"{len(names)} of {w}x{h} ({names[0]})" for (w, h), names in listed[:4])
            + ". Put each camera's photos into a folder of its own, as the camera stored them"
        )
    return next(iter(groups))


def _nothing_found(folder: Path, names: list[str], target: Target, threads: int | None) -> str:
    text = f"0 of {len(names)} photos in {folder} show a {target.label.split(',')[0]}"
    other = _guess(folder, names, threads)
    if other is None:
        return (
            text
            + ", and no other board either: are they photos of a board, sharp and with all of its rim in view?"
        )
    said = other.label.split(",")[0]
    if isinstance(other, Checkerboard):
        return (
            text
            + f"; {other.columns}x{other.rows} is what they show: use --board {other.columns}x{other.rows}"
        )
    return text + f"; what they show is a {said}"
