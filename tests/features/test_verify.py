"""Pairs get the label of their geometry, and keep the matches that belong to it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.features import TwoViewConfig, VerifyOptions, verify_pair
from geo3d.features.verify import turned_alike
from geo3d.geometry import rotation_angle
from geo3d.synthetic.pairs import make_two_view

COUNT = 300


def pair(structure="general", motion="general", outliers=0.3, seed=0, known=True, noise_px=0.5):
    """Keypoints, matches, cameras and truth of a pair; the keypoints are shuffled."""
    data = make_two_view(
        COUNT, structure=structure, motion=motion, outlier_ratio=outliers, noise_px=noise_px, seed=seed
    )
    rng = np.random.default_rng(seed)
    first, second = rng.permutation(COUNT), rng.permutation(COUNT)
    matches = np.stack([np.argsort(first), np.argsort(second)], axis=1).astype(np.uint32)
    cameras = [replace(camera, prior_focal=known) for camera in (data.camera1, data.camera2)]
    return (data.x1[first], data.x2[second], matches, *cameras), data


def recall_and_precision(found, matches, data):
    rows = {tuple(row): i for i, row in enumerate(matches.tolist())}
    kept = np.array([rows[tuple(row)] for row in found.tolist()], int)
    true = data.inliers[kept].sum()
    return true / data.inliers.sum(), true / max(len(kept), 1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("structure", "motion", "known", "labels"),
    [
        ("general", "general", True, {TwoViewConfig.CALIBRATED}),
        ("general", "sideways", True, {TwoViewConfig.CALIBRATED}),
        ("plane", "general", True, {TwoViewConfig.PLANAR}),
        ("general", "rotation", True, {TwoViewConfig.PANORAMIC}),
        ("general", "general", False, {TwoViewConfig.UNCALIBRATED}),
        ("plane", "general", False, {TwoViewConfig.PLANAR_OR_PANORAMIC}),
        ("general", "rotation", False, {TwoViewConfig.PLANAR_OR_PANORAMIC}),
    ],
)
def test_labels(structure, motion, known, labels, seed):
    arguments, data = pair(structure, motion, known=known, seed=seed)
    found = verify_pair(*arguments)
    assert found.config in labels
    recall, precision = recall_and_precision(found.matches, arguments[2], data)
    assert recall > 0.95
    assert precision > 0.9


@pytest.mark.parametrize("known", [True, False])
def test_orientations_help_to_find_the_few_that_agree(known):
    """Among nine of ten wrong matches, turned at random; a tenth of the right ones is turned otherwise too."""
    (x1, x2, matches, *cameras), data = pair(outliers=0.88, seed=4, known=known)
    rng = np.random.default_rng(0)
    turns = np.where(data.inliers & (rng.uniform(size=COUNT) < 0.9), 0.3, rng.uniform(0, 2 * np.pi, COUNT))
    angles1, angles2 = rng.uniform(0, 2 * np.pi, COUNT), np.empty(COUNT)
    angles2[matches[:, 1]] = angles1[matches[:, 0]] + turns + rng.normal(0, 0.2, COUNT)
    keypoints = [np.column_stack([x, np.ones(COUNT), a]) for x, a in ((x1, angles1), (x2, angles2))]
    found = verify_pair(*keypoints, matches, *cameras)
    recall, precision = recall_and_precision(found.matches, matches, data)
    assert recall > 0.95 and precision > 0.8
    np.testing.assert_array_equal(
        np.sort(found.matches[:, 0]), found.matches[np.argsort(found.matches[:, 0]), 0]
    )
    rows = {tuple(row): i for i, row in enumerate(matches.tolist())}
    assert np.all(np.diff([rows[tuple(row)] for row in found.matches.tolist()]) > 0)  # in the order they came


@settings(max_examples=50)
@given(st.lists(st.floats(-20, 20), max_size=40), st.floats(-7, 7))
def test_turned_alike(turns, shift):
    turns = np.array(turns)
    chosen = turned_alike(turns)
    circle = np.exp(1j * turns)
    if len(turns):
        near = np.abs(np.angle(circle[:, None] / circle)) <= np.pi / 4 - 1e-9
        assert chosen.sum() >= near.sum(axis=1).max()
        assert np.abs(np.angle(circle[chosen][:, None] / circle[chosen])).max() <= np.pi / 2 + 1e-9
        assert turned_alike(turns + shift).sum() >= chosen.sum() - 1  # one may lie on the edge of the window
    else:
        assert len(chosen) == 0


def test_pose_and_matrices_of_a_general_pair():
    arguments, data = pair(noise_px=0.2)
    found = verify_pair(*arguments)
    assert found.cam2_from_cam1 is not None
    truth = data.cam2_from_cam1
    assert rotation_angle(found.cam2_from_cam1.rotation @ truth.rotation.T) < np.deg2rad(0.5)
    direction = truth.translation / np.linalg.norm(truth.translation)
    assert found.cam2_from_cam1.translation @ direction > np.cos(np.deg2rad(2))
    x1 = np.column_stack([data.x1, np.ones(COUNT)])[data.inliers]
    x2 = np.column_stack([data.x2, np.ones(COUNT)])[data.inliers]
    if found.F is not None:
        l2, l1 = x1 @ found.F.T, x2 @ found.F
        error = np.abs((x2 * l2).sum(axis=1)) / np.sqrt((l2[:, :2] ** 2 + l1[:, :2] ** 2).sum(axis=1))
        assert np.median(error) < 0.5


def test_rotation_of_a_panorama():
    arguments, data = pair("general", "rotation", noise_px=0.2)
    found = verify_pair(*arguments)
    assert found.cam2_from_cam1 is not None
    assert rotation_angle(found.cam2_from_cam1.rotation @ data.cam2_from_cam1.rotation.T) < np.deg2rad(0.1)
    np.testing.assert_array_equal(found.cam2_from_cam1.translation, 0)


def test_a_wrong_calibration_is_not_believed():
    (k1, k2, matches, camera, _), data = pair(outliers=0.1)
    wrong = Camera.from_focal("SIMPLE_PINHOLE", camera.width, camera.height, 4 * camera.mean_focal)
    found = verify_pair(k1, k2, matches, *[replace(wrong, prior_focal=True)] * 2)
    assert found.config == TwoViewConfig.UNCALIBRATED
    assert found.cam2_from_cam1 is None
    assert recall_and_precision(found.matches, matches, data)[0] > 0.9


def test_same_seed_same_result():
    arguments, _ = pair(outliers=0.5)
    a, b = (verify_pair(*arguments, VerifyOptions(seed=2**61)) for _ in range(2))
    np.testing.assert_array_equal(a.matches, b.matches)
    np.testing.assert_array_equal(a.E, b.E)


@pytest.mark.parametrize("known", [True, False])
def test_only_outliers(known):
    rng = np.random.default_rng(0)
    camera = replace(Camera.from_focal("PINHOLE", 1600, 1200, 1500), prior_focal=known)
    k1, k2 = rng.uniform(0, [1600, 1200], (2, 40, 2))
    matches = np.repeat(np.arange(40)[:, None], 2, axis=1)
    found = verify_pair(k1, k2, matches, camera, camera)
    assert found.config == TwoViewConfig.DEGENERATE
    assert found.matches.shape == (0, 2)


def test_too_few_matches_and_matches_at_one_place():
    arguments, _ = pair(outliers=0)
    k1, k2, matches, camera1, camera2 = arguments
    assert verify_pair(k1, k2, matches[:14], camera1, camera2).config == TwoViewConfig.UNDEFINED
    assert verify_pair(k1, k2, matches[:0], camera1, camera2).config == TwoViewConfig.UNDEFINED
    same = verify_pair(
        np.tile(k1[:1], (50, 1)), k2[:50], np.tile(np.arange(50)[:, None], 2), camera1, camera2
    )
    assert same.config == TwoViewConfig.UNDEFINED


def test_wrong_arguments():
    k1, k2, matches, camera1, camera2 = pair()[0]
    with pytest.raises(ValueError, match="not there"):
        verify_pair(k1[:10], k2, matches, camera1, camera2)
    with pytest.raises(ValueError, match="integers"):
        verify_pair(k1, k2, matches.astype(float), camera1, camera2)
    with pytest.raises(ValueError, match="min_inliers"):
        VerifyOptions(min_inliers=3)
    with pytest.raises(ValueError, match="max_error_px"):
        VerifyOptions(max_error_px=0)
