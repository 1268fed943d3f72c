"""Calibration targets: what is printed on the board, and where its points are.

Board frame: metres, the origin at the first point, x along a row to the right, y along a column down, z away from the
viewer, so that a board seen upright has its axes as the camera has. A point is known by its row in `points`; rows run
from left to right, then down (an `AprilGrid` has Kalibr's order: from left to right, then up).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from geo3d.geometry import SE3, SO3

# OpenCV's dictionaries of markers and how many each has
MARKERS = {
    **{f"DICT_{bits}X{bits}_{count}": count for bits in (4, 5, 6, 7) for count in (50, 100, 250, 1000)},
    "DICT_ARUCO_ORIGINAL": 1024,
    "DICT_ARUCO_MIP_36h12": 250,
    "DICT_APRILTAG_16h5": 30,
    "DICT_APRILTAG_25h9": 35,
    "DICT_APRILTAG_36h10": 2320,
    "DICT_APRILTAG_36h11": 587,
}


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

    @property
    def quarters(self) -> tuple[int, ...]:
        """By how many quarter turns it can be turned and look the same; 0 always."""
        return (0,)

    def turned(self, quarters: int) -> SE3:
        """The motion of the board by quarter turns about its middle, from x towards y.

        Parameters
        ----------
        quarters : int
        """
        turn = SO3.exp([0.0, 0.0, 0.5 * np.pi * quarters]).matrix.round()
        middle = 0.5 * (self.points.min(axis=0) + self.points.max(axis=0))
        return SE3(turn, middle - turn @ middle)

    def ids_turned(self, ids: np.ndarray, quarters: int) -> np.ndarray:
        """What the points are called if the board was taken to be turned by so many quarter turns from how it was.

        Parameters
        ----------
        ids : (N,) int
        quarters : int
            One of `quarters`.

        Returns
        -------
        (N,) int64
        """
        places = self.turned(quarters).inverse().act(self.points)[ids]
        return np.argmin(np.linalg.norm(places[:, None] - self.points, axis=2), axis=1).astype(np.int64)


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

    @property
    def quarters(self) -> tuple[int, ...]:
        """By how many quarter turns it can be turned and look the same; 0 always."""
        if (self.columns + self.rows) % 2:
            return (0,)
        return (0, 1, 2, 3) if self.columns == self.rows and self.columns % 2 == 0 else (0, 2)


@dataclass(frozen=True)
class CharucoBoard(Target):
    """A checkerboard with a marker in every white square; the points are the inner corners, with OpenCV's ids.

    Each marker says where on the board it is, so that a part of the board is enough.

    Attributes
    ----------
    squares_x, squares_y : int
        Squares along x and along y.
    square_m, marker_m : float
        Edge of a square and of a marker with its black border, metres.
    dictionary : str
        OpenCV's name of the markers' dictionary, a key of `MARKERS`.
    legacy : bool
        Drawn as OpenCV before 4.6 did: with an even number of rows the first square is white.
    """

    squares_x: int
    squares_y: int
    square_m: float
    marker_m: float
    dictionary: str = "DICT_5X5_250"
    legacy: bool = False

    def __post_init__(self) -> None:
        _check_counts(self.squares_x, self.squares_y, 3, "squares")
        _check_length("square_m", self.square_m)
        _check_length("marker_m", self.marker_m)
        if self.marker_m >= self.square_m:
            raise ValueError(
                f"marker_m must be less than square_m, for the white rim of a marker; got {self.marker_m} and "
                f"{self.square_m}"
            )
        if self.dictionary not in MARKERS:
            close = get_close_matches(self.dictionary, MARKERS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the names are {', '.join(MARKERS)}"
            raise ValueError(f"dictionary {self.dictionary!r} is not one of OpenCV's; {hint}")
        needed = self.squares_x * self.squares_y // 2
        if needed > MARKERS[self.dictionary]:
            raise ValueError(
                f"dictionary {self.dictionary} has {MARKERS[self.dictionary]} markers, this board needs {needed}; "
                "take a larger one"
            )

    @property
    def points(self) -> np.ndarray:
        """(N, 3) float64, board frame, metres, z = 0."""
        return self.square_m * _grid(self.squares_x - 1, self.squares_y - 1)

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height of what is printed, metres."""
        return self.squares_x * self.square_m, self.squares_y * self.square_m

    @property
    def label(self) -> str:
        """A few words."""
        old = ", legacy" if self.legacy else ""
        return (
            f"ChArUco {self.squares_x}x{self.squares_y}, squares of {1000 * self.square_m:g} mm, markers of "
            f"{1000 * self.marker_m:g} mm, {self.dictionary}{old}"
        )


@dataclass(frozen=True)
class AprilGrid(Target):
    """Kalibr's grid of AprilTags 36h11 with a small black square at every corner of a tag.

    The points are the outer corners of the tags in Kalibr's order: row by row of points from the lowest row of an
    upright board up, each from left to right, the two rows of a tag's lower corners before those of its upper ones.
    The tags are numbered alike, from 0 at the bottom left. The origin is the first point, and since y is down the
    other points have y <= 0; Kalibr's own frame (y up, z to the viewer) is `points * [1, -1, -1]`.

    Attributes
    ----------
    columns, rows : int
        Tags along x and along y.
    tag_m : float
        Edge of a tag with its black border (2 of its 10 modules on each side), metres.
    spacing : float
        The gap between two tags as a share of `tag_m`: Kalibr's tagSpacing.
    """

    columns: int
    rows: int
    tag_m: float
    spacing: float = 0.3

    def __post_init__(self) -> None:
        _check_counts(self.columns, self.rows, 1, "tags")
        _check_length("tag_m", self.tag_m)
        if not 0 < self.spacing < 1:
            raise ValueError(
                f"spacing is the gap between two tags as a share of tag_m, in (0, 1); got {self.spacing}"
            )
        most = MARKERS["DICT_APRILTAG_36h11"]
        if self.columns * self.rows > most:
            raise ValueError(f"the family 36h11 has {most} tags, got {self.columns} x {self.rows}")

    @property
    def points(self) -> np.ndarray:
        """(4 columns rows, 3) float64, board frame, metres, z = 0."""
        lattice = _grid(2 * self.columns, 2 * self.rows)
        tag, upper = np.divmod(lattice, 2)
        return self.tag_m * (tag * (1 + self.spacing) + upper) * [1.0, -1.0, 1.0]

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height of what is printed, metres."""
        step, gap = (1 + self.spacing) * self.tag_m, self.spacing * self.tag_m
        return self.columns * step + gap, self.rows * step + gap

    @property
    def label(self) -> str:
        """A few words."""
        return f"AprilGrid {self.columns}x{self.rows}, tags of {1000 * self.tag_m:g} mm, spacing {self.spacing:g}"


@dataclass(frozen=True)
class CircleGrid(Target):
    """Black discs on white in OpenCV's layout; the points are their centres.

    Seen turned by half a turn, a symmetric grid looks the same, and so does an asymmetric one of an even number of
    rows: an asymmetric grid of an odd number of rows tells where its first point is.

    Attributes
    ----------
    columns, rows : int
        Discs of a row, and rows.
    spacing_m : float
        Between rows, and in a symmetric grid between the discs of a row; an asymmetric grid has its discs 2 spacing_m
        apart in a row and every second row shifted by spacing_m. Metres.
    diameter_m : float
        Of a disc, metres.
    asymmetric : bool
    """

    columns: int
    rows: int
    spacing_m: float
    diameter_m: float
    asymmetric: bool = False

    def __post_init__(self) -> None:
        _check_counts(self.columns, self.rows, 3, "discs")
        _check_length("spacing_m", self.spacing_m)
        _check_length("diameter_m", self.diameter_m)
        if self.diameter_m >= self.nearest_m:
            raise ValueError(
                f"diameter_m must be less than the {self.nearest_m:g} m between neighbouring centres, got "
                f"{self.diameter_m}"
            )

    @property
    def nearest_m(self) -> float:
        """Distance between the centres of neighbouring discs, metres."""
        return self.spacing_m * (2**0.5 if self.asymmetric else 1.0)

    @property
    def points(self) -> np.ndarray:
        """(N, 3) float64, board frame, metres, z = 0."""
        grid = _grid(self.columns, self.rows)
        if self.asymmetric:
            grid[:, 0] = 2 * grid[:, 0] + grid[:, 1] % 2
        return self.spacing_m * grid

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height of what is printed, metres."""
        width, height = np.ptp(self.points[:, :2], axis=0) + self.diameter_m
        return float(width), float(height)

    @property
    def label(self) -> str:
        """A few words."""
        kind = "asymmetric circle grid" if self.asymmetric else "circle grid"
        return (
            f"{kind} {self.columns}x{self.rows}, spacing {1000 * self.spacing_m:g} mm, discs of "
            f"{1000 * self.diameter_m:g} mm"
        )

    @property
    def quarters(self) -> tuple[int, ...]:
        """By how many quarter turns it can be turned and look the same; 0 always."""
        if self.asymmetric:
            return (0,) if self.rows % 2 else (0, 2)
        return (0, 1, 2, 3) if self.columns == self.rows else (0, 2)


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
