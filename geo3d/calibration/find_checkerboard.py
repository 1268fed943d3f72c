"""Find a checkerboard in a photo, also where part of it is outside of the frame or its size is not known.

Both of OpenCV's detectors look for the whole board; where neither finds it, the sector-based one looks for any part
(Duda and Frese, "Accurate Detection and Localization of Checkerboard Corners for Calibration", 2018), from which the
lattice is grown (`lattice`). Large photos are made smaller for that, which takes a tenth of the time and less; the
corners are then refined in the photo as it is (`symmetry`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np

from geo3d.calibration.detection import Detection, check_image, detection
from geo3d.calibration.lattice import contrasts, grow_lattice, predict, refine_lattice, trim
from geo3d.calibration.symmetry import refine_by_symmetry
from geo3d.calibration.targets import Checkerboard

Look = Literal["whole", "quick", "fine"]

_SEEDS = ((4, 4), (3, 3))
_SEED_SIDE, _GROW_SIDE = (
    1000,
    2000,
)  # longer side of the image in which boards are looked for, lattices grown, pixels
LEAST_CORNERS = 12
_MOST_MISSED = 0.6  # of a row of corners: what glare or a hand may cover


def find_checkerboard(image: np.ndarray, target: Checkerboard, *, look: Look = "fine") -> Detection | None:
    """Find the inner corners of a checkerboard of known size.

    Parameters
    ----------
    image : (H, W) uint8
    target : Checkerboard
    look : "whole", "quick" or "fine"
        For the whole board alone; for any part of it too; and once more finely where nothing was found. Where there is
        no board they take about 0.1, 0.3 and 1 s.

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
    size = target.columns, target.rows
    small = _reduced(image, _GROW_SIDE)
    best: Detection | None = None
    for seed in _seeds(small, size, look):
        lattice = grow_lattice(small, refine_lattice(small, seed), size)
        found = _identify(small, lattice, target)
        if found is not None and (best is None or len(found) > len(best)):
            best = found
        if best is not None and len(best) == target.columns * target.rows:
            break
    if best is None:
        return None
    lattice = np.full((target.rows * target.columns, 2), np.nan)
    lattice[best.ids] = best.pixels * _ratio(image, small) - 0.5
    lattice = lattice.reshape(target.rows, target.columns, 2)
    if small is not image:
        lattice = refine_lattice(image, lattice)
    return detection(refine_by_symmetry(image, lattice).reshape(-1, 2), LEAST_CORNERS)


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
    small = _reduced(image, _GROW_SIDE)
    best = None
    for seed in _seeds(small, None, "fine"):
        lattice = grow_lattice(small, refine_lattice(small, seed))
        count = np.isfinite(lattice[..., 0]).sum()
        if count >= LEAST_CORNERS and (best is None or count > np.isfinite(best[..., 0]).sum()):
            best = lattice
    if best is None or small is image:
        return None if best is None else best + 0.5
    return refine_lattice(image, (best + 0.5) * _ratio(image, small) - 0.5) + 0.5


def _reduced(image: np.ndarray, side: int) -> np.ndarray:
    """The image, its longer side not above `side`."""
    import cv2

    scale = side / max(image.shape)
    if scale >= 1:
        return image
    height, width = (max(1, round(n * scale)) for n in image.shape)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _ratio(image: np.ndarray, small: np.ndarray) -> np.ndarray:
    """By what pixels of the small image are multiplied, counted from the corner of the corner pixel."""
    return np.array(image.shape[::-1]) / np.array(small.shape[::-1])


def _seeds(image: np.ndarray, size: tuple[int, int] | None, look: Look) -> Iterator[np.ndarray]:
    """Lattices to grow from: the whole board, if its size is known, and parts; those of a quick look or of a fine one.

    The fine look is at the image itself where the quick one was at a smaller one, else at one that OpenCV makes larger.
    """
    import cv2

    small = _reduced(image, _SEED_SIDE)
    looks = [(small, 0), (image, cv2.CALIB_CB_ACCURACY if small is image else 0)]
    for looked_at, flags in looks if look == "fine" else looks[:1]:
        none = True
        whole = _whole(looked_at, size, flags) if size else ()
        for corners in itertools.chain(whole, () if look == "whole" else _parts(looked_at, flags)):
            none = False
            yield (corners + 0.5) * _ratio(image, looked_at) - 0.5
        if not none:
            return


def _whole(image: np.ndarray, size: tuple[int, int], flags: int) -> Iterator[np.ndarray]:
    """The whole board, by either of OpenCV's detectors."""
    import cv2

    plain = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
    found, corners = cv2.findChessboardCorners(image, size, flags=plain)
    if found:
        yield corners.reshape(size[1], size[0], 2).astype(np.float64)
    found, corners = cv2.findChessboardCornersSB(image, size, flags=flags)
    if found:
        yield corners.reshape(size[1], size[0], 2).astype(np.float64)


def _parts(image: np.ndarray, flags: int) -> Iterator[np.ndarray]:
    """Parts of a board, of whatever size."""
    import cv2

    for size in _SEEDS:
        found, corners, meta = cv2.findChessboardCornersSBWithMeta(
            image, size, flags=flags | cv2.CALIB_CB_LARGER
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
