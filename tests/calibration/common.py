"""Boards seen by cameras: exact corners, or with noise."""

import numpy as np

from geo3d.calibration import Checkerboard, Detection
from geo3d.calibration.board_shape import shape_terms
from geo3d.cameras import Camera
from geo3d.synthetic import BoardOptions, board_poses

TARGET = Checkerboard(9, 6, 0.03)
PRISM = [2e-4, -1e-4, 1e-4, 5e-5]
BEND = [1e-3, -2e-3, 1e-3, 2e-4, 2e-3, -1e-4]
LENSES = {
    model: Camera(model, 640, 480, params)
    for model, params in {
        "SIMPLE_PINHOLE": [520, 322, 236],
        "PINHOLE": [520, 515, 322, 236],
        "SIMPLE_RADIAL": [520, 322, 236, -0.1],
        "RADIAL": [420, 322, 236, -0.2, 0.05],
        "OPENCV": [420, 415, 322, 236, -0.2, 0.05, 1e-3, -5e-4],
        "BROWN_CONRADY_5": [420, 415, 322, 236, -0.2, 0.05, 1e-3, -5e-4, -0.01],
        "FULL_OPENCV": [300, 301, 322, 236, 0.5, 0.2, 1e-3, -5e-4, 0.01, 0.9, 0.4, 0.05],
        "BROWN_CONRADY_12": [300, 301, 322, 236, 0.5, 0.2, 1e-3, -5e-4, 0.01, 0.9, 0.4, 0.05, *PRISM],
        "FOV": [320, 319, 322, 236, 0.8],
        "SIMPLE_DIVISION": [300, 322, 236, -0.25],
        "DIVISION": [300, 302, 322, 236, -0.25],
        "EUCM": [260, 261, 322, 236, 0.6, 1.1],
        "DOUBLE_SPHERE": [240, 241, 322, 236, -0.2, 0.6],
        "SIMPLE_FISHEYE": [240, 322, 236],
        "FISHEYE": [240, 239, 322, 236],
        "SIMPLE_RADIAL_FISHEYE": [230, 322, 236, 0.02],
        "RADIAL_FISHEYE": [230, 322, 236, 0.02, -0.005],
        "OPENCV_FISHEYE": [230, 229, 322, 236, 0.02, -0.01, 0.004, -0.001],
        "THIN_PRISM_FISHEYE": [230, 229, 322, 236, 0.02, -0.01, 1e-3, -2e-3, 4e-3, -1e-3, 1e-3, 2e-3],
        "RAD_TAN_THIN_PRISM_FISHEYE": [230, 229, 322, 236, 0.02, -0.01, 4e-3, -1e-3, 2e-4, -2e-5, *BEND],
    }.items()
}


def photograph(camera, count=12, noise_px=0.0, shape=(), seed=0, target=TARGET):
    """Detections by name, and the true `cam_from_board`."""
    options = BoardOptions(target.columns, target.rows, target.square_m)
    poses = board_poses(camera, count, options, seed=seed)
    rng = np.random.default_rng(seed)
    points = target.points.copy()
    points[:, 2] += shape_terms(points, len(shape)) @ np.asarray(shape)
    detections = {}
    for i, pose in enumerate(poses):
        pixels = camera.project(pose.act(points))
        pixels = pixels + noise_px * rng.standard_normal(pixels.shape)
        detections[f"{i:02d}.jpg"] = Detection(np.arange(len(points)), pixels)
    return detections, poses
