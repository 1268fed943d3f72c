"""What is measured in photos of a board besides its points: how blurred it is, and where the lens shows anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.calibration.detection import Detection
from geo3d.calibration.find_boards import FoundBoards
from geo3d.images import blur_px
from geo3d.util.require import require

_LEAST_CROP_PX = 16  # side of a picture whose blur can be measured
_CELLS = (24, 18)  # across and down
_BLACK = 0.1  # of the brightest cell: darker in all photos is outside of the image circle


@dataclass(frozen=True, eq=False)
class PhotoMeasures:
    """What was measured in photos of a board.

    Attributes
    ----------
    blur_px : dict of str to float
        Standard deviation of the blur over the board; photos of a board smaller than 16 pixels are left out.
    lit : (R, C) bool
        Cells of the image, rows down, in which some photo shows more than black; all of them unless its four corners
        are black, as with a fisheye lens.
    """

    blur_px: dict[str, float]
    lit: np.ndarray


def measure_photos(found: FoundBoards, threads: int | None = None) -> PhotoMeasures:
    """Measure blur and image circle in the photos that show a board.

    Parameters
    ----------
    found : FoundBoards
        With its photos.
    threads : int, optional
        By default all cores.

    Returns
    -------
    PhotoMeasures

    Raises
    ------
    ValueError, OSError
        If it is not known where the photos are, or one cannot be read any more.
    """
    if found.photos is None:
        raise ValueError("found: expected photos to measure in, got detections alone")
    cv2 = require("cv2")
    blur: dict[str, float] = {}
    brightest = np.zeros(_CELLS[::-1], np.uint8)
    for name, image in found.photos.each(np.asarray, sorted(found.detections), threads):
        if isinstance(image, Exception):
            raise image
        brightest = np.maximum(brightest, cv2.resize(image, _CELLS, interpolation=cv2.INTER_AREA))
        crop = _crop(image, found.detections[name])
        if min(crop.shape) >= _LEAST_CROP_PX:
            blur[name] = blur_px(crop)
    lit = brightest > _BLACK * brightest.max()
    if lit[[0, 0, -1, -1], [0, -1, 0, -1]].any():  # a dark place, not the edge of an image circle
        lit[:] = True
    return PhotoMeasures(blur, lit)


def _crop(image: np.ndarray, found: Detection) -> np.ndarray:
    """The part of an image between the outermost points."""
    low = np.maximum(np.floor(found.pixels.min(axis=0)).astype(int), 0)
    high = np.ceil(found.pixels.max(axis=0)).astype(int)
    return image[low[1] : high[1], low[0] : high[0]]
