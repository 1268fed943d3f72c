"""Uncertainty: true errors lie within the ellipses as often as they should; what is not measured is uncertain."""

import numpy as np
import pytest

from geo3d.calibration import (
    CalibrateOptions,
    calibrate,
    calibrate_rig,
    image_grid,
    projection_uncertainty,
)
from geo3d.calibration.uncertainty import motion_weights
from geo3d.geometry import SE3, SO3

from .common import LENSES, TARGET, photograph
from .test_calibrate_rig import LEFT, RIG, photograph_rig

WITHIN_95 = 5.991  # chi squared of 2


def share_inside(found, truth, poses, distance_m):
    """Of a grid of pixels: where the true error of the projection lies in the ellipse of 95 %."""
    grid = image_grid(truth.width, truth.height, 8).reshape(-1, 2)
    spread = projection_uncertainty(found.fit, found.noise_px, grid, distance_m).covariance
    rows = [int(name[:2]) for name in found.names]
    turns = np.stack([SO3(r @ poses[v].rotation.T).log() for r, v in zip(found.rotations, rows)])
    shifts = np.stack([t - poses[v].translation for t, v in zip(found.translations, rows)])
    motion = np.einsum("vab,vb->a", motion_weights(found.fit), np.concatenate([turns, shifts], axis=1))
    rays = truth.unproject(grid)
    rays, spread, grid = (x[np.isfinite(rays[:, 0])] for x in (rays, spread, grid))
    points = rays if np.isinf(distance_m) else rays * distance_m
    moved = points @ SO3.exp(motion[:3]).matrix.T + (0.0 if np.isinf(distance_m) else motion[3:])
    error = found.camera.project(moved) - truth.project(points)
    return float((np.einsum("ni,nij,nj->n", error, np.linalg.inv(spread), error) <= WITHIN_95).mean())


def setups(count, seed):
    """Random set-ups: lens, photos, noise and bow; the share inside, at infinity and near."""
    rng = np.random.default_rng(seed)
    shares = []
    for k in range(count):
        truth = LENSES[rng.choice(["PINHOLE", "OPENCV", "OPENCV_FISHEYE", "EUCM", "DIVISION"])]
        photos, noise = int(rng.integers(8, 16)), float(rng.uniform(0.1, 0.5))
        detections, poses = photograph(truth, photos, noise, rng.normal(0, 1e-3, 3), seed=1000 * seed + k)
        found = calibrate(detections, TARGET, truth.width, truth.height, CalibrateOptions(truth.model))
        shares.append([share_inside(found, truth, poses, distance) for distance in (np.inf, 0.5)])
    return np.mean(shares, axis=0)


def test_true_errors_are_inside_as_often_as_they_should():
    shares = setups(12, 1)
    assert (shares > 0.85).all(), shares


@pytest.mark.slow
def test_true_errors_are_inside_95_percent_in_200_setups():
    shares = setups(200, 2)
    assert ((shares >= 0.90) & (shares <= 0.99)).all(), shares


def test_boards_in_one_half_of_the_image_leave_the_other_uncertain():
    truth = LENSES["OPENCV"]
    detections, _ = photograph(truth, 40, 0.2)
    left = {n: d for n, d in detections.items() if d.pixels[:, 0].max() < 380}
    assert len(left) >= 4
    found = calibrate(left, TARGET, 640, 480, CalibrateOptions("OPENCV", 0))
    std = projection_uncertainty(found.fit, found.noise_px, [[160.0, 240.0], [630.0, 240.0]]).std_px
    assert std[1] > 3 * std[0]


def test_uncertainty_grows_with_the_noise_and_shrinks_with_photos():
    def middle(count, noise):
        detections, _ = photograph(LENSES["OPENCV"], count, noise)
        found = calibrate(detections, TARGET, 640, 480, CalibrateOptions("OPENCV", 0))
        return projection_uncertainty(found.fit, found.noise_px, image_grid(640, 480, 6)).std_px.mean()

    assert middle(10, 0.4) == pytest.approx(2 * middle(10, 0.2), rel=0.25)
    assert middle(40, 0.2) < 0.7 * middle(10, 0.2)


def test_the_second_camera_of_a_rig_has_an_uncertainty_too():
    found, _ = photograph_rig(RIG[:2], 10, 0.2)
    alone = [
        calibrate(photos, TARGET, camera.width, camera.height, CalibrateOptions(camera.model, 0))
        for photos, (camera, _) in zip(found, RIG)
    ]
    rig = calibrate_rig(alone, found, TARGET)
    for c, camera in enumerate(rig.cameras):
        grid = image_grid(camera.width, camera.height, 6)
        single = projection_uncertainty(alone[c].fit, alone[c].noise_px, grid, 0.5).std_px
        joint = projection_uncertainty(rig.fit, rig.noise_px, grid, 0.5, c).std_px
        assert joint.shape == grid.shape[:2] and np.isfinite(joint).all()
        assert (joint > 0.3 * single).all() and (joint < 1.3 * single).all()  # more is known, never less


def test_distances_that_are_none_are_refused():
    detections, _ = photograph(LEFT, 6, 0.1)
    found = calibrate(detections, TARGET, 640, 480, CalibrateOptions("OPENCV", 0))
    with pytest.raises(ValueError, match="distance_m"):
        projection_uncertainty(found.fit, found.noise_px, [[1.0, 2.0]], 0.0)


def test_one_motion_of_all_boards_is_that_motion():
    detections, _ = photograph(LEFT, 6, 0.1)
    found = calibrate(detections, TARGET, 640, 480, CalibrateOptions("OPENCV", 0))
    motion = SE3.exp([0.01, -0.02, 0.005, 1e-4, -2e-4, 3e-4])  # small: steps are linear
    turn = SO3(motion.rotation).log()
    steps = np.column_stack([np.tile(turn, (6, 1)), np.cross(turn, found.translations) + motion.translation])
    whole = np.einsum("vab,vb->a", motion_weights(found.fit), steps)
    np.testing.assert_allclose(whole, [*turn, *motion.translation], atol=1e-9)
