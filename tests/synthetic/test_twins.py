"""Pairs of the house of twins are what they say: of one place, or of two that look alike."""

import numpy as np
import pytest

from geo3d.estimation import RansacOptions, estimate_relative_pose, sampson_error
from geo3d.geometry import rotation_angle, skew
from geo3d.synthetic import make_twins


@pytest.fixture(scope="module")
def twins():
    return make_twins(photos=24, points=120)


def true_errors(scene, pair):
    """Sampson errors of the matches under the true relative pose, pixels (a lens with little distortion)."""
    relative = scene.poses[pair.second] @ scene.poses[pair.first].inverse()
    K = np.array([[900.0, 0, 500], [0, 900, 375], [0, 0, 1]])
    F = np.linalg.inv(K).T @ skew(relative.translation) @ relative.rotation @ np.linalg.inv(K)
    x = [
        900 * (b := scene.camera.unproject(scene.keypoints[v][pair.matches[:, k]]))[:, :2] / b[:, 2:]
        + [500, 375]
        for k, v in enumerate((pair.first, pair.second))
    ]
    return sampson_error(F, *x)


def test_true_pairs_fit_the_true_poses_and_false_ones_do_not(twins):
    kinds = [pair.true for pair in twins.pairs]
    assert sum(kinds) > 20 and kinds.count(False) > 20
    for pair in twins.pairs:
        error = np.median(true_errors(twins, pair))
        assert error < 2 if pair.true else error > 10


def test_a_false_pair_has_a_pose_of_its_own_as_good_as_a_true_one(twins):
    false = [pair for pair in twins.pairs if not pair.true][::12]
    for pair in false:
        x1, x2 = (twins.keypoints[v][pair.matches[:, k]] for k, v in enumerate((pair.first, pair.second)))
        found = estimate_relative_pose(x1, x2, twins.camera, twins.camera, RansacOptions(max_error_px=3.0))
        assert found.inliers.mean() > 0.95
        true = (twins.poses[pair.second] @ twins.poses[pair.first].inverse()).rotation
        # The house looks the same from the other side: the pose is half a turn off.
        assert rotation_angle(found.cam2_from_cam1.rotation @ true.T) > np.deg2rad(170)


def test_a_short_walk_has_no_false_pairs_and_unique_points_have_no_twins():
    scene = make_twins(photos=8, span_deg=60, points=60, unique=10)
    assert scene.pairs and all(pair.true for pair in scene.pairs)
    assert max(rows.max() for rows in scene.point_rows) < len(scene.points) == 4 * 60 + 10
    with pytest.raises(ValueError, match="photos=1"):
        make_twins(photos=1)
