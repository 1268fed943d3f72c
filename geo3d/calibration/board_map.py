"""Where a photo shows the points of a board, told from those that are known: a smooth map without a calibrated camera.

A homography of the board seen through a division model about the middle of the image (Fitzgibbon 2001): with
q the pixel from the middle in half diagonals and X = (u, v, 1) on the board,

    (q, 1 + k |q|^2) ~ H X,

which is linear in H for a given k; k is found by search. What is left over is smooth and small, and is carried over
from the nearest known points.

Pixels here are OpenCV's, the centre of the top-left pixel at (0, 0); the board is in metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BENDS = np.concatenate([-np.geomspace(3.0, 0.02, 22), [0.0], np.geomspace(0.02, 0.5, 6)])
_LEAST_POINTS_TO_BEND = 8
_NEIGHBOURS = 9
_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class BoardMap:
    """Map from the board to the photo.

    Attributes
    ----------
    homography : (3, 3) float64
        From metres on the board to half diagonals of the undistorted image.
    bend : float
        k of the division model.
    middle : (2,) float64
        Of the image, pixels.
    half_diagonal : float
        Pixels.
    places, left_over : (N, 2) float64
        The known points: on the board, metres, and their pixels less what homography and bend say.
    """

    homography: np.ndarray
    bend: float
    middle: np.ndarray
    half_diagonal: float
    places: np.ndarray
    left_over: np.ndarray

    def predict(self, at: np.ndarray, without_own: bool = False) -> np.ndarray:
        """Pixels of points of the board.

        Parameters
        ----------
        at : (M, 2) float
            Metres.
        without_own : bool
            Leave out what is known of the point itself.

        Returns
        -------
        (M, 2) float64
            NaN for what lies behind the camera.
        """
        return self._smooth(at) + _carried(at, self.places, self.left_over, without_own)

    def affine(self, at: np.ndarray) -> np.ndarray:
        """(M, 2, 2) pixels per metre at points (M, 2) of the board."""
        step = 1e-4 * max(np.ptp(self.places, axis=0).max(), 1e-9)
        columns = [
            (self._smooth(at + step * e) - self._smooth(at - step * e)) / (2 * step) for e in np.eye(2)
        ]
        return np.stack(columns, axis=2)

    def least_scale(self, at: np.ndarray) -> np.ndarray:
        """(M,) pixels per metre in the direction in which they are fewest, at points (M, 2) of the board."""
        affine = self.affine(at)
        scale = np.zeros(len(at))
        seen = np.isfinite(affine).all(axis=(1, 2))
        scale[seen] = np.linalg.svd(affine[seen], compute_uv=False)[:, 1]
        return scale

    def _smooth(self, at: np.ndarray) -> np.ndarray:
        return self.middle + self.half_diagonal * _project(self.homography, self.bend, at)


def fit_board_map(places: np.ndarray, pixels: np.ndarray, shape: tuple[int, ...]) -> BoardMap | None:
    """Fit the map to points of which some may be wrong.

    Parameters
    ----------
    places : (N, 2) float
        Points on the board, metres.
    pixels : (N, 2) float
        Where the photo shows them.
    shape : tuple
        Height and width of the photo.

    Returns
    -------
    BoardMap or None
        None for fewer than 4 points, or points on one line.
    """
    if len(places) < 4 or np.linalg.matrix_rank(places - places.mean(axis=0), 1e-6) < 2:
        return None
    middle = (np.array([shape[1], shape[0]]) - 1) / 2
    half_diagonal = float(np.hypot(shape[0], shape[1]) / 2)
    q = (pixels - middle) / half_diagonal
    scale = float(np.abs(places - places.mean(axis=0)).max())
    moved = (places - places.mean(axis=0)) / scale
    weight = np.ones(len(places))
    bends = _BENDS if len(places) >= _LEAST_POINTS_TO_BEND else np.zeros(1)
    homography, bend = np.eye(3), 0.0
    for _ in range(_ROUNDS):
        best = np.inf
        for k in bends:
            h = _homography(moved, q, k, weight)
            off = np.linalg.norm(_project(h, k, moved) - q, axis=1)
            cost = float(np.sum(weight * off)) * (1 + 0.02 * abs(k))
            if cost < best:
                best, homography, bend = cost, h, float(k)
        off = np.linalg.norm(_project(homography, bend, moved) - q, axis=1)
        usual = max(np.median(off), 0.1 / half_diagonal)
        weight = 1 / (1 + (np.nan_to_num(off, nan=1e3) / (2 * usual)) ** 2)
        if len(bends) > 1:
            width = 0.3 * abs(bend) + 0.01
            bends = np.linspace(bend - width, bend + width, 7)
    to_unit = np.array([[1, 0, -places[:, 0].mean()], [0, 1, -places[:, 1].mean()], [0, 0, scale]]) / scale
    homography = homography @ to_unit
    left_over = pixels - middle - half_diagonal * _project(homography, bend, places)
    return BoardMap(homography, bend, middle, half_diagonal, places, np.nan_to_num(left_over))


def _homography(moved: np.ndarray, q: np.ndarray, bend: float, weight: np.ndarray) -> np.ndarray:
    """(3, 3) H of (q, 1 + k |q|^2) ~ H X by the direct linear transform, positive in front of the camera."""
    x = np.column_stack([moved, np.ones(len(moved))])
    depth = 1 + bend * np.sum(q * q, axis=1)
    rows = np.zeros((len(q), 2, 9))
    for axis in (0, 1):
        rows[:, axis, 3 * axis : 3 * axis + 3] = depth[:, None] * x
        rows[:, axis, 6:] = -q[:, axis, None] * x
    design = (rows * np.sqrt(weight)[:, None, None]).reshape(-1, 9)
    h = np.linalg.eigh(design.T @ design)[1][:, 0].reshape(3, 3)
    return h if np.sum((x @ h[2]) * depth) > 0 else -h


def _project(homography: np.ndarray, bend: float, at: np.ndarray) -> np.ndarray:
    """(N, 2) places in half diagonals, NaN where there are none."""
    y = np.column_stack([at, np.ones(len(at))]) @ homography.T
    radius, depth = np.hypot(y[:, 0], y[:, 1]), y[:, 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        # radius / depth = r / (1 + k r^2), the smaller root
        root = np.sqrt(depth**2 - 4 * bend * radius**2)
        q = 2 * y[:, :2] / (depth + root)[:, None]
        q[~((depth + root > 0) & (depth > 0))] = np.nan
    return q


def _carried(at: np.ndarray, places: np.ndarray, left_over: np.ndarray, without_own: bool) -> np.ndarray:
    """(M, 2) what is left over near points of the board: the median of the nearest known ones."""
    distance = np.linalg.norm(at[:, None] - places[None], axis=2)
    if without_own:
        distance[distance < 1e-9] = np.inf
    count = min(_NEIGHBOURS, len(places) - int(without_own))
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :count]
    return np.median(left_over[nearest], axis=1)
