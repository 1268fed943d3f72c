"""PatchMatch: the kernel is the formula, and slanted planes come out better than where they started."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.stereo import StereoOptions, disparity_errors, match
from geo3d.stereo.patch_match import (
    _gradient,
    patch_cost,
    patch_cost_reference,
    refine_planes,
    window_weight,
)
from geo3d.synthetic import StereoPairOptions, make_stereo_pair

SCENE = StereoPairOptions(
    width=200, height=140, surfaces=5, thin=2, max_disparity_px=36.0, slant=0.3, repetition=0.0, samples=2
)  # fmt: skip


@pytest.fixture(scope="module")
def scene():
    return make_stereo_pair(SCENE, seed=3)


@pytest.mark.parametrize("place", [(0, 0), (3, 150), (70, 100), (139, 199), (60, 5)])
def test_the_kernel_is_the_formula(scene, place):
    table = np.exp(-np.arange(766) / 30.0).astype(np.float32) + np.float32(1e-6)
    ends = np.float32(0.0), np.float32(40.0)
    gradients = _gradient(scene.left), _gradient(scene.right)
    view = (scene.left, gradients[0], scene.right, gradients[1], table, np.float32(1.0), *ends)
    for plane in ((0.0, 0.0, 14.0), (0.1, -0.2, 17.3)):
        numbers = [np.float32(value) for value in plane]
        mean = patch_cost(view, *place, *numbers, np.float32(1e9)) / window_weight(view, *place)
        assert mean == pytest.approx(patch_cost_reference(scene.left, scene.right, place, plane), rel=2e-4)
        assert patch_cost(view, *place, *numbers, np.float32(-1.0)) == np.float32(1e9)


def test_planes_come_nearer_to_the_truth(scene):
    rough = np.round(scene.disparity / 2.0) * 2.0
    start = rough.astype(np.float32), np.full_like(rough, np.float32(15.0))
    found, _ = refine_planes(scene.left, scene.right, start, 0, 40)
    seen = ~scene.occluded
    assert np.median(np.abs(found - scene.disparity)[seen]) < 0.15
    assert np.median(np.abs(rough - scene.disparity)[seen]) > 0.3


def test_its_mean_error_is_less_than_that_of_semi_global_matching_alone_and_it_repeats_itself():
    options = StereoOptions(quality="accurate", max_disparity=47)
    for seed in (3, 8):
        pair = make_stereo_pair(SCENE, seed)
        errors = []
        for method in ("sgm", "patchmatch"):
            found = match(pair.left, pair.right, replace(options, method=method))
            assert np.isfinite(found.filled).all()
            errors.append(disparity_errors(found.filled, pair.disparity).average_px)
        assert errors[1] < errors[0]
    again = match(pair.left, pair.right, replace(options, method="patchmatch"))
    np.testing.assert_array_equal(again.filled, found.filled)
