"""Camera calibration from photos of a board: boards, detection, estimation, choice of the lens model."""

from geo3d.calibration.advice import Advice, Verdict, advise
from geo3d.calibration.board_frames import choose_board_frames
from geo3d.calibration.board_photos import PhotoFiles, VideoFrames
from geo3d.calibration.board_shape import depths
from geo3d.calibration.calibrate import CalibrateOptions, Calibration, calibrate, observe
from geo3d.calibration.calibrate_rig import RigCalibration, calibrate_rig
from geo3d.calibration.choose_views import ChoiceOptions, choose_views
from geo3d.calibration.compare import CompareOptions, Comparison, compare
from geo3d.calibration.coverage import Coverage, measure_coverage
from geo3d.calibration.detect_aprilgrid import find_aprilgrid
from geo3d.calibration.detect_charuco import find_charuco
from geo3d.calibration.detect_circles import disc_centres, disc_centroids, find_circles
from geo3d.calibration.detection import Detection
from geo3d.calibration.epipolar import epipolar_distances, sampson_distances
from geo3d.calibration.evidence import BoardView, CameraEvidence, evidence_of, evidence_of_rig
from geo3d.calibration.find_boards import FoundBoards, find_boards
from geo3d.calibration.find_checkerboard import find_checkerboard, find_lattice
from geo3d.calibration.find_target import find_target
from geo3d.calibration.guess_board import guess_board, guess_size
from geo3d.calibration.guess_circles import guess_circle_grid
from geo3d.calibration.guess_markers import guess_marker_board
from geo3d.calibration.hand_eye import HandEye, hand_eye, hand_eye_corners
from geo3d.calibration.held_out import LEAST_TO_CHOOSE, HeldOut, choose_model, choose_shape
from geo3d.calibration.mixed_cameras import MixedCameras, mixed_cameras
from geo3d.calibration.photo_measures import PhotoMeasures, measure_photos
from geo3d.calibration.printing import Page, lay_out, write_board
from geo3d.calibration.rig_moments import moments_by_name
from geo3d.calibration.targets import AprilGrid, CharucoBoard, Checkerboard, CircleGrid, Target
from geo3d.calibration.uncertainty import ProjectionUncertainty, image_grid, projection_uncertainty

__all__ = [
    "LEAST_TO_CHOOSE",
    "Advice",
    "AprilGrid",
    "BoardView",
    "CalibrateOptions",
    "Calibration",
    "CameraEvidence",
    "CharucoBoard",
    "Checkerboard",
    "ChoiceOptions",
    "CircleGrid",
    "CompareOptions",
    "Comparison",
    "Coverage",
    "Detection",
    "FoundBoards",
    "HandEye",
    "HeldOut",
    "MixedCameras",
    "Page",
    "PhotoFiles",
    "PhotoMeasures",
    "ProjectionUncertainty",
    "RigCalibration",
    "Target",
    "Verdict",
    "VideoFrames",
    "advise",
    "calibrate",
    "calibrate_rig",
    "choose_board_frames",
    "choose_model",
    "choose_shape",
    "choose_views",
    "compare",
    "depths",
    "disc_centres",
    "disc_centroids",
    "epipolar_distances",
    "evidence_of",
    "evidence_of_rig",
    "find_aprilgrid",
    "find_boards",
    "find_charuco",
    "find_checkerboard",
    "find_circles",
    "find_lattice",
    "find_target",
    "guess_board",
    "guess_circle_grid",
    "guess_marker_board",
    "guess_size",
    "hand_eye",
    "hand_eye_corners",
    "image_grid",
    "lay_out",
    "measure_coverage",
    "measure_photos",
    "mixed_cameras",
    "moments_by_name",
    "observe",
    "projection_uncertainty",
    "sampson_distances",
    "write_board",
]
