"""Evidence for a calibration as good as one can be: the truth, seen from all sides and all over the image."""

from dataclasses import replace

import numpy as np

from geo3d.calibration import BoardView, CameraEvidence, Detection
from geo3d.synthetic import BoardOptions, board_poses

from .common import LENSES, TARGET

BOARD = BoardOptions(TARGET.columns, TARGET.rows, TARGET.square_m)


def evidence(camera=LENSES["OPENCV"], count=40, noise_px=0.1, seed=0, **changes) -> CameraEvidence:
    """The board whole in most photos, and in every third so near the edge of the image that a part is cut off."""
    rng = np.random.default_rng(seed)
    poses = board_poses(camera, count, BOARD, max_tilt_deg=60, seed=seed)
    poses[::3] = board_poses(camera, len(poses[::3]), BOARD, max_tilt_deg=45, margin_px=-150, seed=seed + 1)
    views = []
    for i, pose in enumerate(poses):
        pixels = camera.project(pose.act(TARGET.points))
        pixels = pixels + noise_px * rng.standard_normal(pixels.shape)
        inside = ((pixels > 2) & (pixels < [camera.width - 2, camera.height - 2])).all(axis=1)
        found = Detection(np.flatnonzero(inside), pixels[inside])
        views.append(BoardView(f"{i:02d}.jpg", found, pose, blur_px=0.6))
    std = np.where(np.arange(len(camera.params)) < 4, 0.1, 1e-4)
    given = {"held_out_rms_px": noise_px * 2**0.5, "uncertainty_px": np.full((12, 16), 0.1)} | changes
    return CameraEvidence(camera, TARGET, views, np.array([5e-4, 0, 0]) * 0, std, **given)


def keep_points(found: CameraEvidence, keep) -> CameraEvidence:
    """Without the points for whose pixels (N, 2) `keep` is false."""
    views = []
    for view in found.views:
        rows = keep(view.detection.pixels)
        if rows.sum() >= 4:
            views.append(
                replace(view, detection=Detection(view.detection.ids[rows], view.detection.pixels[rows]))
            )
    return replace(found, views=views)
