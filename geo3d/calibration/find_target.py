"""Find a target of any kind in a photo."""

from __future__ import annotations

import numpy as np

from geo3d.calibration.detect_aprilgrid import find_aprilgrid
from geo3d.calibration.detect_charuco import find_charuco
from geo3d.calibration.detect_circles import find_circles
from geo3d.calibration.detection import Detection
from geo3d.calibration.find_checkerboard import find_checkerboard
from geo3d.calibration.targets import AprilGrid, CharucoBoard, Checkerboard, CircleGrid, Target


def find_target(image: np.ndarray, target: Target) -> Detection | None:
    """Find a target with the detector of its kind.

    Parameters
    ----------
    image : (H, W) uint8
    target : Target

    Returns
    -------
    Detection or None

    Raises
    ------
    ValueError
        If the image is not (H, W) uint8, or the target of no known kind.
    """
    if isinstance(target, Checkerboard):
        return find_checkerboard(image, target)
    if isinstance(target, CharucoBoard):
        return find_charuco(image, target)
    if isinstance(target, AprilGrid):
        return find_aprilgrid(image, target)
    if isinstance(target, CircleGrid):
        return find_circles(image, target)
    raise ValueError(f"target: expected one of geo3d's targets, got {type(target).__name__}")
