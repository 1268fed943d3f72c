"""Find a checkerboard in all photos of a folder; its size is guessed where it is not given."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo3d.calibration.detection import Detection
from geo3d.calibration.find_checkerboard import find_checkerboard, find_lattice
from geo3d.calibration.targets import Checkerboard
from geo3d.images import list_photos, read_photo
from geo3d.util.threads import map_threads

Progress = Callable[[int, int, str], None]

_GUESSED_FROM = 12  # photos
_NOT_SEEN = "no checkerboard of this size is to be seen in it"


@dataclass(frozen=True, eq=False)
class FoundBoards:
    """What the photos of a folder show.

    Attributes
    ----------
    target : Checkerboard
        The one given, or guessed.
    guessed : bool
    width, height : int
        Of the photos, pixels.
    detections : dict of str to Detection
        By name of the photo.
    skipped : dict of str to str
        Photo to why nothing was found in it.
    """

    target: Checkerboard
    guessed: bool
    width: int
    height: int
    detections: dict[str, Detection]
    skipped: dict[str, str]


def find_boards(
    folder: str | os.PathLike,
    size: tuple[int, int] | None = None,
    square_m: float = 1.0,
    *,
    progress: Progress | None = None,
    threads: int | None = None,
) -> FoundBoards:
    """Find a checkerboard in the photos of a folder.

    Parameters
    ----------
    folder : path
        Its photos are of one camera: all of one size, as stored (EXIF orientation makes no difference).
    size : (int, int), optional
        Columns and rows of inner corners; by default what most photos show.
    square_m : float
        Edge of a square, metres.
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
    names = list_photos(folder)
    if not names:
        raise ValueError(f"no photos in {folder}")
    report = progress or (lambda done, total, text: None)
    target, skipped = None, {}
    if size is None:
        step = max(1, len(names) // _GUESSED_FROM)
        size = guess_size([folder / name for name in names[::step]], threads)
        if size is None:
            raise ValueError(
                f"none of {len(names[::step])} photos of {folder} shows a checkerboard. If there is one, give its "
                "inner corners, as --board 9x6: columns and rows, one less than squares"
            )
        target = Checkerboard(*size, square_m)
    guessed, target = target is not None, target or Checkerboard(*size, square_m)

    def one(name: str) -> tuple[tuple[int, int], Detection] | str:
        try:
            pixels = read_photo(folder / name, "gray").pixels
        except (OSError, ValueError) as error:
            return str(error)
        found = find_checkerboard(pixels, target)
        return _NOT_SEEN if found is None else ((pixels.shape[1], pixels.shape[0]), found)

    detections: dict[str, Detection] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for done, (name, found) in enumerate(zip(names, map_threads(one, names, threads)), start=1):
        if isinstance(found, str):
            skipped[name] = found
        else:
            sizes[name], detections[name] = found
        report(done, len(names), f"{name}: {len(detections[name]) if name in detections else 'no'} corners")
    if not detections:
        raise ValueError(_nothing_found(folder, names, target, threads))
    width, height = _one_size(sizes)
    return FoundBoards(target, guessed, width, height, detections, skipped)


def guess_size(photos: list[Path], threads: int | None = None) -> tuple[int, int] | None:
    """Columns and rows of the checkerboard that most photos show.

    Parameters
    ----------
    photos : list of Path
    threads : int, optional

    Returns
    -------
    (int, int) or None
        Columns are the more. None where no two photos (of two or more) show the same.
    """

    def one(path: Path) -> tuple[int, int] | None:
        try:
            lattice = find_lattice(read_photo(path, "gray").pixels)
        except (OSError, ValueError):  # said when all photos are read
            return None
        whole = lattice is not None and bool(np.isfinite(lattice).all())
        return (max(lattice.shape[:2]), min(lattice.shape[:2])) if lattice is not None and whole else None

    counts = Counter(size for size in map_threads(one, photos, threads) if size is not None)
    if not counts:
        return None
    size, count = max(counts.items(), key=lambda entry: (entry[1], entry[0]))
    return size if count >= min(2, len(photos)) else None


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


def _nothing_found(folder: Path, names: list[str], target: Checkerboard, threads: int | None) -> str:
    asked = f"{target.columns}x{target.rows}"
    text = f"0 of {len(names)} photos in {folder} show a checkerboard of {asked} inner corners"
    step = max(1, len(names) // _GUESSED_FROM)
    other = guess_size([folder / name for name in names[::step]], threads)
    if other is None:
        return (
            text
            + ", and no other one either: are they photos of a board, sharp and with all of its rim in view?"
        )
    return text + f"; {other[0]}x{other[1]} is what they show: use --board {other[0]}x{other[1]}"
