"""Find a checkerboard in a photo, also where part of it is outside of the frame or its size is not known.

Both of OpenCV's detectors look for the whole board; where neither finds it, the sector-based one looks for any part
(Duda and Frese, "Accurate Detection and Localization of Checkerboard Corners for Calibration", 2018), from which the
lattice is grown (`lattice`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from geo3d.calibration.detection import Detection, check_image
from geo3d.calibration.lattice import contrasts, grow_lattice, predict, refine_lattice, trim
from geo3d.calibration.targets import Checkerboard

_SEEDS = ((4, 4), (3, 3))
LEAST_CORNERS = 12
_MOST_MISSED = 0.6  # of a row of corners: what glare or a hand may cover


def find_checkerboard(image: np.ndarray, target: Checkerboard) -> Detection | None:
    """Find the inner corners of a checkerboard of known size.

    Parameters
    ----------
    image : (H, W) uint8
    target : Checkerboard

    Returns
    -------
    Detection or None
        Those in the photo, at least 12 in at least 3 rows and columns. The first corner is the one whose outer square
        is black; where the board looks the same turned by half a turn (columns + rows even), the one nearer to the top
        left.

    Raises
    ------
    ValueError
        If the image is not (H, W) uint8.
    """
    check_image(image)
    best: Detection | None = None
    for seed in _seeds(image, (target.columns, target.rows)):
        lattice = refine_lattice(image, seed)
        lattice = grow_lattice(image, lattice, (target.columns, target.rows))
        found = _identify(image, lattice, target)
        if found is not None and (best is None or len(found) > len(best)):
            best = found
        if best is not None and len(best) == target.columns * target.rows:
            break
    return best


def find_lattice(image: np.ndarray) -> np.ndarray | None:
    """Find the corners of a checkerboard of any size.

    Parameters
    ----------
    image : (H, W) uint8

    Returns
    -------
    (rows, columns, 2) float64 or None
        Pixels, the centre of the top-left one at (0.5, 0.5); NaN where the photo does not show a corner.

    Raises
    ------
    ValueError
        If the image is not (H, W) uint8.
    """
    check_image(image)
    best = None
    for seed in _parts(image):
        lattice = grow_lattice(image, refine_lattice(image, seed))
        count = np.isfinite(lattice[..., 0]).sum()
        if count >= LEAST_CORNERS and (best is None or count > np.isfinite(best[..., 0]).sum()):
            best = lattice
    return None if best is None else best + 0.5


def _seeds(image: np.ndarray, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Lattices to grow from: the whole board by either detector, then parts of it."""
    import cv2

    for flags in (
        cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_FAST_CHECK,
        cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE,
    ):
        found, corners = cv2.findChessboardCorners(image, size, flags=flags)
        if found:
            yield corners.reshape(size[1], size[0], 2).astype(np.float64)
            break
    found, corners = cv2.findChessboardCornersSB(image, size, flags=cv2.CALIB_CB_ACCURACY)
    if found:
        yield corners.reshape(size[1], size[0], 2).astype(np.float64)
    yield from _parts(image)


def _parts(image: np.ndarray) -> Iterator[np.ndarray]:
    import cv2

    for size in _SEEDS:
        found, corners, meta = cv2.findChessboardCornersSBWithMeta(
            image, size, flags=cv2.CALIB_CB_LARGER | cv2.CALIB_CB_ACCURACY
        )
        if found:
            yield corners.reshape(*meta.shape, 2).astype(np.float64)


def _identify(image: np.ndarray, lattice: np.ndarray, target: Checkerboard) -> Detection | None:
    """Rows of the target's points for the corners of a lattice, however it is turned and whatever part it is.

    A part is put where the missing rows and columns are those that lie outside of the photo.
    """
    lattice = trim(lattice)
    known = np.isfinite(lattice[..., 0])
    if known.sum() < LEAST_CORNERS or min(lattice.shape[:2]) < 3:
        return None
    if _mirrored(lattice):
        lattice = np.swapaxes(lattice, 0, 1)
    places = []
    for quarter in range(4):
        turned = np.rot90(lattice, quarter)
        spare = target.rows - turned.shape[0], target.columns - turned.shape[1]
        if min(spare) < 0:
            continue
        seen = _neighbours_in_view(image, turned)
        black = _signed_contrast(image, turned) < 0
        right = np.nanmedian(np.diff(turned, axis=1), axis=(0, 1))
        for row in range(spare[0] + 1):
            for column in range(spare[1] + 1):
                missed = seen[0] * (row > 0) + seen[1] * (row < spare[0])
                missed += seen[2] * (column > 0) + seen[3] * (column < spare[1])
                wrong_colour = black == bool((row + column) % 2)
                places.append((wrong_colour, missed, -right[0], quarter, row, column))
    if not places:
        return None
    _, missed, _, quarter, row, column = min(places)
    if missed > _MOST_MISSED * max(lattice.shape[:2]):  # a row that is not there although it would be in view
        return None
    turned = np.rot90(lattice, quarter)
    rows, columns = np.nonzero(np.isfinite(turned[..., 0]))
    ids = (rows + row) * target.columns + columns + column
    return Detection(ids.astype(np.int64), turned[rows, columns] + 0.5)


def _mirrored(lattice: np.ndarray) -> bool:
    """Whether x to y turns to the left, so that rows and columns have to be exchanged."""
    x, y = np.diff(lattice, axis=1)[:-1], np.diff(lattice, axis=0)[:, :-1]
    return bool(np.nanmedian(x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]) < 0)


def _signed_contrast(image: np.ndarray, lattice: np.ndarray) -> float:
    """By how much the square up-left of the first corner is brighter than its neighbours."""
    rows, columns = np.indices(lattice.shape[:2])
    return float(np.nanmedian(contrasts(image, lattice) * np.where((rows + columns) % 2, -1.0, 1.0)))


def _neighbours_in_view(image: np.ndarray, lattice: np.ndarray) -> tuple[int, int, int, int]:
    """How many corners would be in the photo if there were one more row above, below, column to the left, right."""
    predicted, spacing = predict(np.pad(lattice, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan))
    height, width = image.shape
    margin = 0.5 * spacing[..., None]
    inside = np.all((predicted > margin) & (predicted < [width, height] - margin), axis=2)
    above, below, left, right = (int(s.sum()) for s in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
    return above, below, left, right
