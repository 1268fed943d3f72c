"""What the photos of a board tell about a camera: where in the image, from which sides, and from how far.

The image is parted into ninths, three by three. A board is tilted by the angle between its normal and the optical
axis: without tilt, focal length and distance can't be told apart (Zhang, "A flexible new technique for camera
calibration", 2000, 3.3). Its sides are those of the image: a board whose normal, taken away from the camera, leans to
the right has its right edge nearer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.calibration.evidence import CameraEvidence
from geo3d.util.require import require

SIDES = ("left", "right", "top", "bottom")
_SIDE_AXES = np.array([[-1.0, 0], [1, 0], [0, -1], [0, 1]])
TILTED_RAD = np.deg2rad(20.0)
_WITHIN = np.cos(np.deg2rad(60.0))  # of a side, a tilt is to that side; one between two counts for both
_PLACES = 30  # across and down, at which the lens shows something or not
_LEAST_SHOWN = 1 / 3  # of a ninth
_CORNERS_PER_CELL = 20
_LEAST_PHOTOS = 4  # whose corners lie in a cell, before its mean means something


@dataclass(frozen=True, eq=False)
class Coverage:
    """What the photos cover.

    Attributes
    ----------
    ninths : (3, 3) int
        Corners in each ninth of the image, from the top left.
    visible : (3, 3) bool
        Whether the lens shows anything in a third of a ninth and more.
    reach : float
        How far the points go from the principal point, towards the farthest place that the lens shows: the corner of
        the image, or the edge of the image circle. 1 is all the way.
    tilts_rad : (V,) float64
        Between the board and the image plane.
    directions : (V, 2) float64
        Unit vectors in the image towards the edge of the board that is nearer, x right and y down; zero without tilt.
    tilted_to : (V, 4) bool
        Whether the board is tilted by 20 degrees and more, and its left, right, top, bottom edge is the nearer.
    distances_m : (V,) float64
        From the camera to the middle of the board.
    shares : (V,) float64
        Of the image's area that lies between the board's outermost corners.
    """

    ninths: np.ndarray
    visible: np.ndarray
    reach: float
    tilts_rad: np.ndarray
    directions: np.ndarray
    tilted_to: np.ndarray
    distances_m: np.ndarray
    shares: np.ndarray


@dataclass(frozen=True, eq=False)
class ResidualCells:
    """Residuals over cells of the image.

    Attributes
    ----------
    mean_px : (rows, columns, 2) float64
        Projected less found, averaged photo by photo; NaN in cells without corners.
    chance_px : (rows, columns) float64
        Size that such a mean has by chance, from how the photos differ; NaN for fewer than four photos.
    photos : (rows, columns) int
        Photos that have corners in a cell.
    """

    mean_px: np.ndarray
    chance_px: np.ndarray
    photos: np.ndarray

    @property
    def pattern(self) -> tuple[float, float]:
        """Root mean square of the means over the cells of four photos and more, and by chance, pixels."""
        told = np.isfinite(self.chance_px)
        if not told.any():
            return 0.0, 0.0
        size = np.sum(self.mean_px[told] ** 2, axis=-1)
        return float(np.sqrt(size.mean())), float(np.sqrt(np.mean(self.chance_px[told] ** 2)))


def measure_coverage(evidence: CameraEvidence) -> Coverage:
    """Where in the image, from which sides and from how far the photos show the board.

    Parameters
    ----------
    evidence : CameraEvidence
        Of one photo and more.

    Returns
    -------
    Coverage
    """
    camera, pixels = evidence.camera, evidence.pixels
    size = np.array([camera.width, camera.height])
    cell = np.clip((3 * pixels / size).astype(int), 0, 2)
    ninths = np.bincount(cell[:, 1] * 3 + cell[:, 0], minlength=9).reshape(3, 3)
    places = np.stack(np.meshgrid(np.linspace(0, 1, _PLACES), np.linspace(0, 1, _PLACES)), axis=-1) * size
    shown = evidence.lit_at(places)
    visible = shown.reshape(3, _PLACES // 3, 3, _PLACES // 3).mean(axis=(1, 3)) >= _LEAST_SHOWN
    edge, far = (np.linalg.norm(p - camera.principal_point, axis=1).max() for p in (places[shown], pixels))

    rotations = np.stack([v.cam_from_board.rotation for v in evidence.views])
    middle = np.stack(
        [
            v.cam_from_board.act(0.5 * (evidence.points.min(0) + evidence.points.max(0)))
            for v in evidence.views
        ]
    )
    normals = rotations[:, :, 2]
    normals = normals * np.where(np.sum(normals * middle, axis=1) < 0, -1.0, 1.0)[:, None]
    sine = np.linalg.norm(normals[:, :2], axis=1)
    tilts = np.arctan2(sine, normals[:, 2])
    directions = normals[:, :2] / np.maximum(sine, 1e-12)[:, None]
    return Coverage(
        ninths,
        visible,
        min(float(far / edge), 1.0),
        tilts,
        directions,
        (directions @ _SIDE_AXES.T >= _WITHIN - 1e-9) & (tilts >= TILTED_RAD)[:, None],
        np.linalg.norm(middle, axis=1),
        np.array([_hull_area(v.detection.pixels) for v in evidence.views]) / size.prod(),
    )


def _hull_area(pixels: np.ndarray) -> float:
    cv2 = require("cv2")
    return float(cv2.contourArea(cv2.convexHull(pixels.astype(np.float32))))


def residual_cells(evidence: CameraEvidence) -> ResidualCells:
    """Mean residuals over cells of the image: noise averages out, what the lens model cannot follow stays.

    Parameters
    ----------
    evidence : CameraEvidence

    Returns
    -------
    ResidualCells
        Of so many cells, near to squares, that about 20 points lie in each that has some.
    """
    width, height = evidence.camera.width, evidence.camera.height
    places = (evidence.pixels * [_PLACES / width, _PLACES / height]).astype(int)
    filled = (
        len(np.unique(places, axis=0)) / _PLACES**2
    )  # a part of the image with few points or none needs no cells
    count = max(len(evidence.pixels) / _CORNERS_PER_CELL, 4.0) / filled
    columns = int(np.clip(np.sqrt(count * width / height), 3, 24))
    rows = max(2, round(columns * height / width))
    seen = np.isfinite(evidence.errors_px) & evidence.used
    cell = np.clip(
        (evidence.pixels * [columns / width, rows / height]).astype(int), 0, [columns - 1, rows - 1]
    )
    place = (cell[:, 1] * columns + cell[:, 0])[seen]
    # a corner's error goes along with those of its photo: the photos are the sample, not the corners
    key, row = np.unique(place * len(evidence.views) + evidence.photo[seen], return_inverse=True)
    means = np.zeros((len(key), 2))
    np.add.at(means, row, np.concatenate(evidence.residuals)[seen])
    means /= np.bincount(row, minlength=len(key))[:, None]
    at, cells = key // len(evidence.views), columns * rows
    photos = np.bincount(at, minlength=cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.stack([np.bincount(at, means[:, k], cells) / photos for k in (0, 1)], axis=-1)
        spread = np.bincount(at, np.sum((means - mean[at]) ** 2, axis=1), cells) / (photos - 1)
        chance = np.where(photos >= _LEAST_PHOTOS, np.sqrt(spread / photos), np.nan)
    return ResidualCells(
        mean.reshape(rows, columns, 2), chance.reshape(rows, columns), photos.reshape(rows, columns)
    )
