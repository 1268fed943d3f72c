"""Boards seen by cameras: exact corners, or with noise."""

import numpy as np

from geo3d.calibration import Checkerboard, Detection
from geo3d.calibration.board_shape import shape_terms
from geo3d.cameras import Camera
from geo3d.synthetic import BoardOptions, board_poses

TARGET = Checkerboard(9, 6, 0.03)
LENSES = {
    "PINHOLE": Camera("PINHOLE", 640, 480, [520, 515, 322, 236]),
    "SIMPLE_RADIAL": Camera("SIMPLE_RADIAL", 640, 480, [520, 322, 236, -0.1]),
    "OPENCV": Camera("OPENCV", 640, 480, [420, 415, 322, 236, -0.2, 0.05, 1e-3, -5e-4]),
    "BROWN_CONRADY_5": Camera(
        "BROWN_CONRADY_5", 640, 480, [420, 415, 322, 236, -0.2, 0.05, 1e-3, -5e-4, -0.01]
    ),
    "OPENCV_FISHEYE": Camera("OPENCV_FISHEYE", 640, 480, [230, 229, 322, 236, 0.02, -0.01, 0.004, -0.001]),
    "THIN_PRISM_FISHEYE": Camera(
        "THIN_PRISM_FISHEYE",
        640,
        480,
        [230, 229, 322, 236, 0.02, -0.01, 1e-3, -2e-3, 4e-3, -1e-3, 1e-3, 2e-3],
    ),
    "DIVISION": Camera("DIVISION", 640, 480, [300, 302, 322, 236, -0.25]),
    "EUCM": Camera("EUCM", 640, 480, [260, 261, 322, 236, 0.6, 1.1]),
    "DOUBLE_SPHERE": Camera("DOUBLE_SPHERE", 640, 480, [240, 241, 322, 236, -0.2, 0.6]),
}


def photograph(camera, count=12, noise_px=0.0, shape=(), seed=0):
    """Detections by name, and the true `cam_from_board`."""
    options = BoardOptions(TARGET.columns, TARGET.rows, TARGET.square_m)
    poses = board_poses(camera, count, options, seed=seed)
    rng = np.random.default_rng(seed)
    points = TARGET.points.copy()
    points[:, 2] += shape_terms(points, len(shape)) @ np.asarray(shape)
    detections = {}
    for i, pose in enumerate(poses):
        pixels = camera.project(pose.act(points))
        pixels = pixels + noise_px * rng.standard_normal(pixels.shape)
        detections[f"{i:02d}.jpg"] = Detection(np.arange(len(points)), pixels)
    return detections, poses
