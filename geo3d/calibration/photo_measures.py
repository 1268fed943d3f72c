"""What is measured in photos of a board besides its points: how blurred it is, and where the lens shows anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo3d.calibration.detection import Detection
from geo3d.images import blur_px, read_image
from geo3d.util.require import require
from geo3d.util.threads import map_threads

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
        Cells of the image, rows down, in which some photo shows more than black.
    """

    blur_px: dict[str, float]
    lit: np.ndarray


def measure_photos(
    folder: str | os.PathLike, detections: Mapping[str, Detection], threads: int | None = None
) -> PhotoMeasures:
    """Measure blur and image circle in the photos that show a board.

    Parameters
    ----------
    folder : path
    detections : mapping of str to Detection
        By name of the photo in the folder; one and more.
    threads : int, optional
        By default all cores.

    Returns
    -------
    PhotoMeasures

    Raises
    ------
    ValueError, OSError
        If a photo cannot be read.
    """
    cv2 = require("cv2")

    def one(name: str) -> tuple[float | None, np.ndarray]:
        image = read_image(Path(folder) / name, "gray")
        low = np.maximum(np.floor(detections[name].pixels.min(axis=0)).astype(int), 0)
        high = np.ceil(detections[name].pixels.max(axis=0)).astype(int)
        crop = image[low[1] : high[1], low[0] : high[0]]
        blur = blur_px(crop) if min(crop.shape) >= _LEAST_CROP_PX else None
        return blur, cv2.resize(image, _CELLS, interpolation=cv2.INTER_AREA)

    names = sorted(detections)
    measured = dict(zip(names, map_threads(one, names, threads), strict=True))
    brightest = np.max([cells for _, cells in measured.values()], axis=0)
    blur = {name: value for name, (value, _) in measured.items() if value is not None}
    return PhotoMeasures(blur, brightest > _BLACK * brightest.max())
