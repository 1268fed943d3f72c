"""Camera calibration from photos of a board: detection, estimation, choice of the lens model."""

from geo3d.calibration.calibrate import CalibrateOptions, Calibration, calibrate, observe
from geo3d.calibration.detection import Detection
from geo3d.calibration.find_boards import FoundBoards, find_boards, guess_size
from geo3d.calibration.find_checkerboard import find_checkerboard, find_lattice
from geo3d.calibration.held_out import HeldOut, choose_model
from geo3d.calibration.targets import AprilGrid, CharucoBoard, Checkerboard, CircleGrid, Target

__all__ = [
    "AprilGrid",
    "CalibrateOptions",
    "Calibration",
    "CharucoBoard",
    "Checkerboard",
    "CircleGrid",
    "Detection",
    "FoundBoards",
    "HeldOut",
    "Target",
    "calibrate",
    "choose_model",
    "find_boards",
    "find_checkerboard",
    "find_lattice",
    "guess_size",
    "observe",
]
