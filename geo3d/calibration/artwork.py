"""What is black on a target, as filled shapes: what is printed, and what a synthetic camera photographs.

Millimetres in the axes of the board frame, x to the right and y down, the origin at the target's first point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.calibration.markers import APRIL_BORDER, april_bits, marker_bits
from geo3d.calibration.targets import AprilGrid, CharucoBoard, Checkerboard, CircleGrid, Target


@dataclass(frozen=True, eq=False)
class Artwork:
    """Black shapes on white; rectangles may touch and do not overlap.

    Attributes
    ----------
    rectangles : (N, 4) float64
        x and y of the top left corner, width, height; mm.
    discs : (M, 3) float64
        x and y of the centre, radius; mm.
    extent : (4,) float64
        The rectangle that holds them and the white squares among them, as above.
    """

    rectangles: np.ndarray
    discs: np.ndarray
    extent: np.ndarray


def artwork(target: Target) -> Artwork:
    """The shapes of a target, in millimetres.

    Raises
    ------
    ValueError
        For a target that this does not know.
    """
    if isinstance(target, Checkerboard):
        rectangles = _squares(target.columns + 1, target.rows + 1, 0) * 1000 * target.square_m
        corner = (-1000 * target.square_m,) * 2
    elif isinstance(target, CharucoBoard):
        rectangles, corner = _charuco(target)
    elif isinstance(target, AprilGrid):
        rectangles, corner = _april(target)
    elif isinstance(target, CircleGrid):
        rectangles, corner = np.empty((0, 4)), (-500 * target.diameter_m,) * 2
    else:
        raise ValueError(f"target: expected one of geo3d's targets, got {type(target).__name__}")
    discs = np.empty((0, 3))
    if isinstance(target, CircleGrid):
        centres = 1000 * target.points[:, :2]
        discs = np.column_stack([centres, np.full(len(centres), 500 * target.diameter_m)])
    extent = np.array([*corner, *(1000 * side for side in target.size_m)])
    return Artwork(rectangles, discs, extent)


def _squares(columns: int, rows: int, first: int) -> np.ndarray:
    """(N, 4) black squares of unit edge; the board's first square is black for `first` = 0, white for 1."""
    row, column = np.divmod(np.arange(columns * rows), columns)
    black = (row + column) % 2 == first
    return np.column_stack([column - 1.0, row - 1.0, np.ones((len(row), 2))])[black]


def _charuco(target: CharucoBoard) -> tuple[np.ndarray, tuple[float, float]]:
    first = int(target.legacy and target.squares_y % 2 == 0)
    squares = _squares(target.squares_x, target.squares_y, first)
    white = _squares(target.squares_x, target.squares_y, 1 - first)  # marker k is in the k-th, row by row
    rim = (1 - target.marker_m / target.square_m) / 2
    shapes = [squares]
    for number, square in enumerate(white):
        marker = _black_modules(np.pad(marker_bits(target.dictionary, number), 1))
        modules = marker * (1 - 2 * rim)
        modules[:, :2] += square[:2] + rim
        shapes.append(modules)
    edge = 1000 * target.square_m
    return np.concatenate(shapes) * edge, (-edge, -edge)


def _april(target: AprilGrid) -> tuple[np.ndarray, tuple[float, float]]:
    step, gap = 1 + target.spacing, target.spacing
    shapes = []
    for number in range(target.columns * target.rows):
        row, column = divmod(number, target.columns)
        modules = _black_modules(np.pad(april_bits(number), APRIL_BORDER))
        modules[:, :2] += (column * step, -row * step - 1)  # the tag's top left corner
        shapes.append(modules)
    row, column = np.divmod(np.arange((target.columns + 1) * (target.rows + 1)), target.columns + 1)
    sides = np.full((len(row), 2), gap)
    shapes.append(np.column_stack([column * step - gap, -row * step, sides]))
    edge = 1000 * target.tag_m
    return np.concatenate(shapes) * edge, (-gap * edge, -target.rows * step * edge)


def _black_modules(white: np.ndarray) -> np.ndarray:
    """(N, 4) rectangles that cover the False cells of an (n, n) array, in a square of edge 1."""
    size = len(white)
    open_runs: dict[tuple[int, int], int] = {}
    found = []
    for row in range(size + 1):
        steps = np.diff(np.pad(~white[row] if row < size else np.zeros(size, bool), 1).astype(int))
        runs = set(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist()))
        for run in [r for r in open_runs if r not in runs]:
            top = open_runs.pop(run)
            found.append((run[0], top, run[1] - run[0], row - top))
        for run in runs:
            open_runs.setdefault(run, row)
    return np.array(sorted(found), np.float64) / size
