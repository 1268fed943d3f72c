"""Which grid of discs photos show: symmetric or not, columns and rows.

The lattice of the dark blobs (`blob_lattice`) fills a rectangle in some axes if the grid is symmetric; along the
diagonals of the lattice it fills every second place of a rectangle if it is not.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from geo3d.calibration.blob_lattice import CHANGES_OF_AXES, follow_lattice
from geo3d.calibration.board_map import fit_board_map
from geo3d.calibration.detect_circles import dark_blobs, find_circles
from geo3d.calibration.targets import CircleGrid

_LEAST_DISCS = 12
_LEAST_FILL = 0.9


def guess_circle_grid(images: list[np.ndarray]) -> CircleGrid | None:
    """Guess the grid of discs that photos show.

    Parameters
    ----------
    images : list of (H, W) uint8
        Photos of one board; those that show it whole tell.

    Returns
    -------
    CircleGrid or None
        What most photos show, with a spacing of 1 m and the diameter that the photos tell, to a few percent. A
        symmetric grid has its longer side as rows of discs. None where no photo shows twelve discs of a grid.
    """
    votes = [guess for guess in map(_guess, images) if guess is not None]
    if not votes:
        return None
    counts = Counter((g.columns, g.rows, g.asymmetric) for g in votes)
    (columns, rows, asymmetric), _ = max(counts.items(), key=lambda entry: (entry[1], entry[0]))
    same = [g for g in votes if (g.columns, g.rows, g.asymmetric) == (columns, rows, asymmetric)]
    diameter = float(np.median([g.diameter_m for g in same]))
    return CircleGrid(columns, rows, 1.0, round(diameter, 2), asymmetric)


def _guess(image: np.ndarray) -> CircleGrid | None:
    blobs, sizes = dark_blobs(image, _LEAST_DISCS)
    found = follow_lattice(blobs)
    if len(found) < _LEAST_DISCS:
        return None
    at, rows = np.array(list(found)), np.array(list(found.values()))
    for columns, lines, asymmetric, places in _shapes(at):
        near = fit_board_map(places, blobs[rows], image.shape)
        if near is None:
            continue
        scale = np.sqrt(np.abs(np.linalg.det(near.affine(places))))
        diameter = float(np.nanmedian(sizes[rows] / scale))
        largest = 2**0.5 if asymmetric else 1.0
        if not 0.1 < diameter < 0.97 * largest:
            continue
        guess = CircleGrid(columns, lines, 1.0, diameter, asymmetric)
        if find_circles(image, guess) is not None:
            return guess
    return None


def _shapes(at: np.ndarray) -> list[tuple[int, int, bool, np.ndarray]]:
    """Columns, rows, whether asymmetric, and the places (N, 2) of all grids that lattice coordinates (N, 2) fill."""
    shapes = {}
    for change in CHANGES_OF_AXES:
        moved = at @ change
        moved = moved - moved.min(axis=0)
        columns, rows = (int(n) + 1 for n in moved.max(axis=0))
        if columns >= rows >= 3 and len(at) >= _LEAST_FILL * columns * rows:
            shapes.setdefault((columns, rows, False), moved.astype(np.float64))
        diagonal = np.column_stack([moved[:, 0] - moved[:, 1], moved.sum(axis=1)])
        diagonal = diagonal - diagonal.min(axis=0)
        width, rows = (int(n) + 1 for n in diagonal.max(axis=0))
        columns = width // 2
        alternate = (diagonal.sum(axis=1) % 2 == 0).all() and width % 2 == 0
        if alternate and min(columns, rows) >= 3 and len(at) >= _LEAST_FILL * columns * rows:
            shapes.setdefault((columns, rows, True), diagonal.astype(np.float64))
    return [(*key, places) for key, places in shapes.items()]
