"""Which board photos show: a checkerboard, one of markers, or a grid of discs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from geo3d.calibration.board_photos import GivenPhotos, PhotoFiles, VideoFrames, find_photo_files
from geo3d.calibration.find_checkerboard import find_lattice
from geo3d.calibration.guess_circles import guess_circle_grid
from geo3d.calibration.guess_markers import guess_marker_board
from geo3d.calibration.look_through import look_through
from geo3d.calibration.targets import Checkerboard, Target
from geo3d.util.require import require
from geo3d.util.threads import map_threads

FEW = 0.5  # of the photos: where a board that was given is seen in less, another may fit better
_GUESSED_FROM = 12  # photos
_KINDS_FROM = 4  # of them, for kinds that take seconds to guess
_MUCH_BETTER = 2  # times as many photos
_IN_SQUARE = np.linspace(0.25, 0.75, 7)  # where a square is looked at, of its side
_PRINTED = 0.5  # of the contrast of the board, between dark and bright within a square
_AHEAD = 3  # votes more than any other size has are enough


def guess_board(photos: GivenPhotos, threads: int | None = None) -> Target:
    """Which board most photos show: a checkerboard, one of markers, or a grid of discs.

    Parameters
    ----------
    photos : path, or sequence of paths
        As of `find_boards`.
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
    source = find_photo_files(photos)
    if isinstance(source, PhotoFiles):
        images, given = sample_of(source, threads), source.given
    else:
        looked = look_through(source)
        images, given = spaced(looked.images), str(source)
    return guessed_or_refused(images, given, threads)


def guessed_or_refused(images: list[np.ndarray], given: str, threads: int | None = None) -> Target:
    """`guess_target`, or the error that says what to do.

    Raises
    ------
    ValueError
        If none shows a board.
    """
    found = guess_target(images, threads)
    if found is None:
        raise ValueError(
            f"no board is found in {len(images)} photos of {given}. If there is one, say which: as --board 9x6 for a "
            "checkerboard of 9 x 6 inner corners, one less than squares"
        )
    return found


def sample_of(
    photos: PhotoFiles | VideoFrames, threads: int | None = None, names: list[str] | None = None
) -> list[np.ndarray]:
    """Pixels of at most twelve photos, spaced over all or over those named, (H, W) uint8 each.

    Raises
    ------
    ValueError
        If none of them can be read.
    """
    read = list(photos.each(_as_it_is, spaced(photos.names if names is None else names), threads))
    images = [pixels for _, pixels in read if isinstance(pixels, np.ndarray)]
    if not images:
        raise ValueError(
            f"none of {len(read)} photos looked at in {photos.given} can be read; the first: {read[0][1]}"
        )
    return images


def spaced(items: list) -> list:
    """At most twelve of them, evenly spaced."""
    return items[:: max(1, -(-len(items) // _GUESSED_FROM))]


def guess_target(images: list[np.ndarray], threads: int | None = None) -> Target | None:
    """Which board most images show.

    Parameters
    ----------
    images : list of (H, W) uint8
    threads : int, optional

    Returns
    -------
    Target or None
        With squares, tags or a spacing of 1 m.
    """
    size = guess_size(images, threads)
    few = images[:: max(1, len(images) // _KINDS_FROM)]
    if size is None:
        return guess_marker_board(few) or guess_circle_grid(few)
    marked = any(map_threads(_has_print_in_squares, few, threads))
    return (guess_marker_board(few) if marked else None) or Checkerboard(*size)


def guess_size(images: list[np.ndarray], threads: int | None = None) -> tuple[int, int] | None:
    """Columns and rows of the checkerboard that most photos show.

    Parameters
    ----------
    images : list of (H, W) uint8
        Looked at in this order, until one size is three photos ahead of all others.
    threads : int, optional

    Returns
    -------
    (int, int) or None
        Columns are the more. None where no two photos (of two or more) show the same.
    """
    counts: Counter[tuple[int, int]] = Counter()
    for size in map_threads(_size, images, threads):
        if size is None:
            continue
        counts[size] += 1
        first, second = (*(count for _, count in counts.most_common(2)), 0)[:2]
        if first - second >= _AHEAD:
            break
    if not counts:
        return None
    size, count = max(counts.items(), key=lambda entry: (entry[1], entry[0]))
    return size if count >= min(2, len(images)) else None


def refuse_other_board(
    board: Target,
    found: int,
    total: int,
    what: str,
    images: list[np.ndarray],
    count: Callable[[Target], int],
    threads: int | None = None,
) -> None:
    """Say so where no photo shows a board, or many more show another.

    Parameters
    ----------
    board : Target
        The one that was looked for.
    found, total : int
        Photos that show it, and all.
    what : str
        As "photos in DIR".
    images : list of (H, W) uint8
        A few of them.
    count : callable
        How many of all show a target.
    threads : int, optional

    Raises
    ------
    ValueError
        Naming the board that fits, if any.
    """
    other = guess_target(images, threads)
    fits = count(other) if other is not None and words_for(other) != words_for(board) else 0
    if found and fits < _MUCH_BETTER * found:
        return
    text = f"{found} of {total} {what} show {_one(board)}"
    if other is None or not fits:
        raise ValueError(
            f"{text}, and no other board is seen either: are they of a board, sharp and with all of its rim in view?"
        )
    text += f"; {_one(other)} fits {fits} of them"
    if isinstance(board, Checkerboard) and isinstance(other, Checkerboard):
        raise ValueError(f"{text}: use --board {other.columns}x{other.rows}")
    raise ValueError(f"{text}: leave the board's size and kind out, and it is found by itself")


def words_for(board: Target) -> str:
    """A board's kind and size, without its lengths."""
    return board.label.split(",")[0]


def _one(board: Target) -> str:
    words = words_for(board)
    return f"{'an' if words[0] in 'Aa' else 'a'} {words}"


def _size(image: np.ndarray) -> tuple[int, int] | None:
    lattice = find_lattice(image)
    if lattice is None or not np.isfinite(lattice).all():
        return None
    return max(lattice.shape[:2]), min(lattice.shape[:2])


def _has_print_in_squares(image: np.ndarray) -> bool:
    """Whether the squares of one colour are not plain, as those of a ChArUco board, whose corners are a checkerboard's.

    A square is looked at where a bilinear map from its corners puts the middle quarter of its area.
    """
    cv2 = require("cv2")
    lattice = find_lattice(image)
    if lattice is None:
        return False
    a, b, c, d = (lattice[i : i - 1 or None, j : j - 1 or None, None] for i in (0, 1) for j in (0, 1))
    t, s = (x.reshape(-1, 1) for x in np.meshgrid(_IN_SQUARE, _IN_SQUARE))
    places = (
        (1 - s) * ((1 - t) * a + t * b) + s * ((1 - t) * c + t * d) - 0.5
    )  # (rows - 1, columns - 1, samples, 2)
    rows, columns = np.nonzero(np.isfinite(places).all(axis=(2, 3)))
    if len(rows) < 2:
        return False
    grey = cv2.remap(image, places[rows, columns].astype(np.float32), None, cv2.INTER_LINEAR).astype(
        np.float64
    )
    spread = np.subtract(*np.percentile(grey, (90, 10), axis=1))
    whole = np.subtract(*np.percentile(grey, (95, 5)))
    return any(
        np.median(spread[of]) > _PRINTED * whole
        for of in ((rows + columns) % 2 == k for k in (0, 1))
        if of.any()
    )


def _as_it_is(pixels: np.ndarray) -> np.ndarray:
    return pixels
