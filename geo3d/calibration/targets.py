"""Calibration targets: what is printed on the board, and where its points are.

Board frame: metres, the origin at the first point, x along a row to the right, y along a column down, z away from the
viewer, so that a board seen upright has its axes as the camera has. A point is known by its row in `points`; rows run
from left to right, then down.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Target(ABC):
    """What all targets have in common."""

    @property
    @abstractmethod
    def points(self) -> np.ndarray:
        """(N, 3) float64, board frame, metres, z = 0."""

    @property
    @abstractmethod
    def size_m(self) -> tuple[float, float]:
        """Width and height of what is printed, metres."""

    @property
    @abstractmethod
    def label(self) -> str:
        """A few words, as `checkerboard 9x6, squares of 25 mm`."""


@dataclass(frozen=True)
class Checkerboard(Target):
    """Black and white squares; the points are the inner corners.

    Attributes
    ----------
    columns, rows : int
        Inner corners along x and along y: one less than squares.
    square_m : float
        Edge of a square, metres.
    """

    columns: int
    rows: int
    square_m: float = 1.0

    def __post_init__(self) -> None:
        _check_counts(self.columns, self.rows, 3, "inner corners")
        _check_length("square_m", self.square_m)

    @property
    def points(self) -> np.ndarray:
        """(N, 3) float64, board frame, metres, z = 0."""
        return self.square_m * _grid(self.columns, self.rows)

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height of what is printed, metres."""
        return (self.columns + 1) * self.square_m, (self.rows + 1) * self.square_m

    @property
    def label(self) -> str:
        """A few words."""
        return f"checkerboard {self.columns}x{self.rows}, squares of {1000 * self.square_m:g} mm"


def _grid(columns: int, rows: int) -> np.ndarray:
    """(columns * rows, 3) lattice of unit spacing."""
    y, x = np.divmod(np.arange(columns * rows), columns)
    return np.column_stack([x, y, np.zeros(len(x))]).astype(np.float64)


def _check_counts(columns: int, rows: int, least: int, what: str) -> None:
    if columns < least or rows < least:
        raise ValueError(f"expected at least {least} x {least} {what}, got {columns} x {rows}")


def _check_length(name: str, value: float) -> None:
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be a positive length in metres, got {value}")
