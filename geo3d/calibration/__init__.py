"""Camera calibration from photos of a board: detection, estimation, uncertainty."""

from geo3d.calibration.detection import Detection
from geo3d.calibration.targets import Checkerboard, Target

__all__ = ["Checkerboard", "Detection", "Target"]
