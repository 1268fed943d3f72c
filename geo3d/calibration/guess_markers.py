"""Which board of markers photos show: its kind, its dictionary, its columns and rows.

The family that gives most markers is the dictionary. Where marker k stands on the board depends on the number of
columns alone; the number under which the markers of a photo lie on a plane (`board_map`) is the board's. Its rows are
those of the highest marker that is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.calibration.board_map import fit_board_map
from geo3d.calibration.markers import APRIL_BORDER, APRIL_FAMILY, detector_parameters, dictionary
from geo3d.calibration.targets import MARKERS, AprilGrid, CharucoBoard
from geo3d.util.require import require

_FAMILIES = [f"DICT_{bits}X{bits}_1000" for bits in (4, 5, 6, 7)]  # the smaller ones are their beginnings
_FAMILIES += ["DICT_ARUCO_ORIGINAL", "DICT_ARUCO_MIP_36h12", APRIL_FAMILY]
_LEAST_MARKERS = 6  # in a photo
_MOST_COLUMNS = 24
_PHOTOS = 3  # those with most markers tell the columns
_MOST_OFF = 0.12  # of the step of the grid
_WINDOW = 0.1  # half side of the window of refinement, of a marker's edge
_MUCH_BETTER = 0.6  # than the next best number of columns


@dataclass(frozen=True, eq=False)
class _Seen:
    """Markers of a photo."""

    image: np.ndarray  # (H, W) uint8
    numbers: np.ndarray  # (N,) int
    quads: np.ndarray  # (N, 4, 2)


def guess_marker_board(images: list[np.ndarray]) -> CharucoBoard | AprilGrid | None:
    """Guess the board of markers that photos show.

    Parameters
    ----------
    images : list of (H, W) uint8
        Photos of one board; one that shows the board whole is enough.

    Returns
    -------
    CharucoBoard, AprilGrid or None
        With a square or a tag of 1 m; its marker or spacing is measured in the photos, to a few percent. None where no
        photo shows six markers of one board.
    """
    best: list[_Seen] = []
    family, border = "", 1
    for name, bits in [(APRIL_FAMILY, APRIL_BORDER), *((name, 1) for name in _FAMILIES)]:
        seen = [s for s in (_read(image, name, bits) for image in images) if len(s.numbers) >= _LEAST_MARKERS]
        if sum(len(s.numbers) for s in seen) > sum(len(s.numbers) for s in best):
            best, family, border = seen, name, bits
    if not best:
        return None
    best = sorted(best, key=lambda s: -len(s.numbers))
    highest = max(int(s.numbers.max()) for s in best)
    if border == APRIL_BORDER:
        return _april(best, highest)
    return _charuco(best, highest, family)


def _april(seen: list[_Seen], highest: int) -> AprilGrid | None:
    hypotheses = [_april_places(highest, columns) for columns in range(1, _MOST_COLUMNS + 1)]
    best = _best(seen, hypotheses)
    if best is None:
        return None
    columns = best + 1
    spacing = float(np.clip(1 / _edge_share(seen, hypotheses[best]) - 1, 0.01, 0.99))
    return AprilGrid(columns, highest // columns + 1, 1.0, round(spacing, 2))


def _charuco(seen: list[_Seen], highest: int, family: str) -> CharucoBoard | None:
    kinds = [(columns, white) for columns in range(3, _MOST_COLUMNS + 1) for white in (False, True)]
    hypotheses = [_charuco_places(highest, columns, white) for columns, white in kinds]
    best = _best(seen, hypotheses)
    if best is None:
        return None
    (columns, white), places = kinds[best], hypotheses[best]
    rows = max(int(places[highest, 1]) + 1, 3)
    if white:  # only boards of an even number of rows begin with a white square
        rows += rows % 2
    needed = columns * rows // 2
    name = min(
        (n for n in MARKERS if n.rsplit("_", 1)[0] == family.rsplit("_", 1)[0] and MARKERS[n] >= needed),
        key=lambda n: MARKERS[n],
        default=family,
    )
    share = float(np.clip(_edge_share(seen, places), 0.3, 0.95))
    return CharucoBoard(columns, rows, 1.0, round(share, 2), name, white)


def _read(image: np.ndarray, family: str, border: int) -> _Seen:
    cv2 = require("cv2")
    parameters = detector_parameters(image.shape)
    parameters.markerBorderBits = border
    quads, numbers, _ = cv2.aruco.ArucoDetector(dictionary(family), parameters).detectMarkers(image)
    if numbers is None:
        return _Seen(image, np.empty(0, int), np.empty((0, 4, 2)))
    numbers, first = np.unique(numbers.ravel(), return_index=True)
    return _Seen(image, numbers.astype(int), np.reshape(quads, (-1, 4, 2)).astype(np.float64)[first])


def _april_places(highest: int, columns: int) -> np.ndarray:
    """(N, 2) middles of the tags in steps of the grid, y down."""
    row, column = np.divmod(np.arange(highest + 1), columns)
    return np.column_stack([column, -row]).astype(np.float64)


def _charuco_places(highest: int, columns: int, white: bool) -> np.ndarray:
    """(N, 2) middles of the markers in squares, of a board whose first square is white or black."""
    row, column = np.divmod(np.arange(2 * highest + 2 * columns + 2), columns)
    bare = (row + column) % 2 == (0 if white else 1)
    return np.column_stack([column[bare], row[bare]])[: highest + 1] + 0.5


def _best(seen: list[_Seen], hypotheses: list[np.ndarray]) -> int | None:
    """The hypothesis of where the markers are under which they lie on a plane."""
    costs = np.array([np.mean([_misfit(s, places) for s in seen[:_PHOTOS]]) for places in hypotheses])
    first, second = np.argsort(costs)[:2]
    good = costs[first] < _MOST_OFF and costs[first] < _MUCH_BETTER * costs[second]
    return int(first) if good else None


def _misfit(seen: _Seen, places: np.ndarray) -> float:
    """By how much the markers of a photo are off a plane, in steps of the grid."""
    at, pixels = places[seen.numbers], seen.quads.mean(axis=1)
    near = fit_board_map(at, pixels, seen.image.shape)
    if near is None:
        return np.inf
    affine = near.affine(at)
    if not np.isfinite(affine).all() or np.median(np.linalg.det(affine)) <= 0:
        return np.inf
    return float(np.mean(np.linalg.norm(near.left_over, axis=1)) / np.median(near.least_scale(at)))


def _edge_share(seen: list[_Seen], places: np.ndarray) -> float:
    """Edge of a marker in steps of the grid: root of its area in the photos over that of a cell."""
    cv2 = require("cv2")
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 1e-3)
    shares = []
    for s in seen:
        at = places[s.numbers]
        near = fit_board_map(at, s.quads.mean(axis=1), s.image.shape)
        if near is None:
            continue
        for quad, affine in zip(s.quads, near.affine(at)):
            half = int(
                np.clip(_WINDOW * np.linalg.norm(quad - np.roll(quad, 1, axis=0), axis=1).min(), 2, 20)
            )
            corners = np.ascontiguousarray(quad[:, None], np.float32)
            a = cv2.cornerSubPix(s.image, corners, (half, half), (-1, -1), stop)[:, 0].astype(np.float64)
            b = np.roll(a, -1, axis=0)
            area = abs(np.sum(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])) / 2
            shares.append(np.sqrt(area / abs(np.linalg.det(affine))))
    return float(np.median(shares))
