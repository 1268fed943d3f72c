"""Ego-motion: the model that fits is chosen, what moves is found, and degenerate flows are refused or told."""

import numpy as np
import pytest

from geo3d.estimation import EstimationError, essential_from_pose, sampson_error
from geo3d.flow import (
    EgoMotionOptions,
    FlowResult,
    fundamental_from_flow,
    optical_flow,
    separate_motion,
)
from geo3d.synthetic import MovingCameraOptions, make_moving_camera_pair

# A slow enough motion for any method of flow; the mover's is across its epipolar lines.
SLOW = {"translation_m": (0.15, 0.02, 0.05), "mover_m": (0.02, -0.1, 0.0)}
MOTIONS = {
    "general": SLOW,
    "forward": SLOW | {"translation_m": (0.02, 0.0, 0.4)},
    "turning": SLOW | {"translation_m": (0.0, 0.0, 0.0), "rotation_deg": (1.0, -2.0, 0.5)},
    "still": SLOW | {"translation_m": (0.0, 0.0, 0.0), "rotation_deg": (0.0, 0.0, 0.0)},
}


def pair_of(motion, movers=1, seed=3):
    return make_moving_camera_pair(
        MovingCameraOptions(width=240, height=180, movers=movers, **MOTIONS[motion]), seed
    )


def exact(pair, noise_px=0.1):
    flow = pair.flow + np.random.default_rng(0).normal(0.0, noise_px, pair.flow.shape).astype(np.float32)
    return FlowResult(flow, pair.occlusion, np.ones(flow.shape[:2], np.float32), "truth")


def iou(one, two):
    return (one & two).sum() / (one | two).sum()


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_mover_is_found_by_the_model_that_fits(motion):
    pair = pair_of(motion)
    found = separate_motion(exact(pair))
    assert found.model == ("homography" if motion in ("turning", "still") else "fundamental")
    assert iou(found.moving, pair.moving & ~pair.occlusion) > 0.93
    assert 0.08 < found.sigma_px < 0.12
    assert found.inlier_share > 0.8


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_mover_is_found_in_a_flow_from_photos(motion):
    pair = pair_of(motion)
    found = separate_motion(optical_flow(pair.image0, pair.image1, method="dis"))
    assert iou(found.moving, pair.moving) > 0.65


@pytest.mark.parametrize("motion", MOTIONS)
def test_nothing_moves_where_nothing_does(motion):
    pair = pair_of(motion, movers=0)
    assert not separate_motion(exact(pair)).moving.any()
    assert separate_motion(optical_flow(pair.image0, pair.image1, method="dis")).moving.mean() < 0.01


def test_the_fundamental_matrix_is_that_of_the_cameras():
    pair = pair_of("general")
    found = fundamental_from_flow(exact(pair, 0.05))
    x0 = np.stack(np.meshgrid(np.arange(5, 240, 10), np.arange(5, 180, 10)), axis=-1).reshape(-1, 2)
    rows = x0[:, 1], x0[:, 0]
    x0, x1 = x0 + 0.5, x0 + 0.5 + pair.flow[rows]
    error = np.sqrt(sampson_error(found.F, x0, x1))[~pair.moving[rows]]
    assert np.median(error) < 0.02
    assert error.max() < 0.15
    inverse = np.linalg.inv([[240, 0, 120], [0, 240, 90], [0, 0, 1]])
    truth = inverse.T @ essential_from_pose(pair.cam1_from_cam0) @ inverse
    cosine = abs(np.sum(found.F * truth)) / np.linalg.norm(truth)
    assert cosine > 1 - 1e-4
    assert found.degeneracy is None


def test_the_threshold_follows_the_noise():
    pair = pair_of("general", movers=0)
    quiet, loud = separate_motion(exact(pair, 0.05)), separate_motion(exact(pair, 0.5))
    assert loud.sigma_px > 5 * quiet.sigma_px
    assert not loud.moving.any()


def test_no_motion_has_no_fundamental_matrix():
    still = FlowResult(
        np.zeros((60, 80, 2), np.float32), np.zeros((60, 80), bool), np.ones((60, 80), np.float32), "still"
    )
    with pytest.raises(EstimationError, match="did not move"):
        fundamental_from_flow(still)
    found = separate_motion(still)
    assert found.model == "homography"
    np.testing.assert_allclose(found.matrix / found.matrix[2, 2], np.eye(3), atol=1e-6)
    assert not found.moving.any()


def test_a_turn_leaves_the_fundamental_matrix_open():
    assert fundamental_from_flow(exact(pair_of("turning", movers=0))).degeneracy == "plane"


def test_too_few_pixels_are_refused():
    flow = np.zeros((60, 80, 2), np.float32)
    nothing = FlowResult(flow, np.zeros((60, 80), bool), np.zeros((60, 80), np.float32), "constant")
    for estimate in (separate_motion, fundamental_from_flow):
        with pytest.raises(EstimationError, match="at least 100"):
            estimate(nothing)
    unknown = FlowResult(np.full_like(flow, np.nan), nothing.occlusion, nothing.confidence + 1, "nothing")
    with pytest.raises(EstimationError, match="0 of 4800"):
        separate_motion(unknown)


def test_unknown_pixels_do_not_move():
    pair = pair_of("general")
    found = exact(pair)
    found.flow[:90] = np.nan
    motion = separate_motion(found, EgoMotionOptions(min_area_px=20))
    assert not motion.moving[:90].any()
    assert np.isnan(motion.distance_px[:90]).all()
