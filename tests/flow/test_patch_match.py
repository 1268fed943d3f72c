"""PatchMatch: the kernel is the formula, and turned, scaled and far-moved views are found again."""

import numpy as np
import pytest

from geo3d.flow import PatchMatchOptions, patch_match
from geo3d.flow.patch_match import patch_cost_reference
from geo3d.flow.patch_match_kernels import WORST, _invert, _shift, patch_cost
from geo3d.synthetic import MovingCameraOptions, make_moving_camera_pair
from geo3d.synthetic.textures import noise_texture
from geo3d.util.require import require

WIDTH, HEIGHT = 176, 144


def similar_views(angle_deg, scale, shift=(12.0, -7.0), seed=0):
    """A texture, the same turned and scaled about its middle and shifted, and the exact flow."""
    cv2 = require("cv2")
    rng = np.random.default_rng(seed)
    texture = noise_texture(np.array([120.0, 110.0, 100.0]), 35.0, rng)
    corner, middle = np.array([150.0, 160.0]), np.array([WIDTH - 1, HEIGHT - 1]) / 2
    a = np.deg2rad(angle_deg)
    turn = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    move = middle + shift - turn @ middle
    images = []
    for matrix, offset in ((np.eye(2), np.zeros(2)), (turn, move)):
        affine = np.column_stack([matrix, offset - matrix @ corner])
        image = cv2.warpAffine(texture, affine, (WIDTH, HEIGHT), borderMode=cv2.BORDER_WRAP)
        images.append(np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8))
    places = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1).astype(float)
    return *images, places @ turn.T + move - places


def test_the_cost_is_the_formula():
    rng = np.random.default_rng(0)
    image, other = rng.random((2, 30, 40, 3)).astype(np.float32)
    for match in ([20.3, 14.6, 0.0, 0.0], [18.0, 15.2, 0.5, 0.7], [22.1, 13.0, -0.6, -2.8]):
        match = np.array(match, np.float32)
        expected = patch_cost_reference(image, other, 17, 12, match)
        assert patch_cost(image, other, 17, 12, match) == pytest.approx(expected, abs=2e-5)
    assert patch_cost(image, other, 17, 12, np.array([50, 3, 0, 0], np.float32)) == WORST
    plain = np.full_like(image, 0.3)
    assert patch_cost(plain, other, 17, 12, np.array([20, 15, 0, 0], np.float32)) == 1.0


def test_a_match_taken_over_or_turned_round_is_of_the_same_map():
    match, beside, back = np.array([31.0, 12.5, 0.4, 0.9], np.float32), *np.empty((2, 4), np.float32)
    scale, c, s = 2**0.4, np.cos(0.9), np.sin(0.9)
    _shift(match, np.float32(3), np.float32(-2), beside)
    np.testing.assert_allclose(
        beside, [31 + scale * (3 * c + 2 * s), 12.5 + scale * (3 * s - 2 * c), 0.4, 0.9], rtol=1e-5
    )
    # the match of (10, 20) is `match`; that of (31, 12.5) in the other image leads back to (10, 20)
    _invert(match, np.float32(10), np.float32(20), match[0], match[1], back)
    np.testing.assert_allclose(back, [10, 20, -0.4, -0.9], rtol=1e-5)


@pytest.mark.parametrize(("angle_deg", "scale"), [(40.0, 1.4), (150.0, 0.75), (0.0, 1.0)])
def test_a_turned_and_scaled_view_is_found(angle_deg, scale):
    image0, image1, truth = similar_views(angle_deg, scale)
    found = patch_match(image0, image1)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    at = np.stack([x, y], axis=-1) + truth
    inside = ((at >= 3) & (at <= [WIDTH - 4, HEIGHT - 4])).all(axis=2)
    error = np.linalg.norm(found.flow - truth, axis=2)
    known = np.isfinite(error)
    np.testing.assert_array_equal(known, ~found.occlusion)
    assert known[inside].mean() > 0.95
    assert np.median(error[known]) < 0.1
    assert (error[known] > 1.0).mean() < 0.03
    outside = ((at < -3) | (at > [WIDTH + 2, HEIGHT + 2])).any(axis=2)
    assert known[outside].mean() < 0.02


def test_two_photos_of_a_place_from_far_apart():
    pair = make_moving_camera_pair(
        MovingCameraOptions(
            width=176, height=132, translation_m=(1.2, 0.2, 0.3), rotation_deg=(2.0, -8.0, 15.0)
        ),
        seed=1,
    )
    found = patch_match(pair.image0, pair.image1)
    error = np.linalg.norm(found.flow - pair.flow, axis=2)
    known = np.isfinite(error)
    assert known[~pair.occlusion].mean() > 0.5
    assert known[pair.occlusion].mean() < 0.1
    assert (error[known & ~pair.occlusion] > 2.0).mean() < 0.05


def test_it_repeats_itself_and_the_seed_counts():
    image0, image1, _ = similar_views(20.0, 1.0)
    options = PatchMatchOptions(sweeps=1)
    views = image0[:48, :64], image1[:48, :64]
    one, two = (patch_match(*views, options) for _ in range(2))
    np.testing.assert_array_equal(one.flow, two.flow)
    other = patch_match(*views, PatchMatchOptions(sweeps=1, seed=1))
    assert not np.array_equal(one.flow, other.flow, equal_nan=True)


def test_what_shows_nothing_has_no_matches():
    noise = np.random.default_rng(0).integers(0, 255, (2, 64, 80, 3)).astype(np.uint8)
    assert patch_match(*noise).occlusion.mean() > 0.97
    plain = np.full((64, 80, 3), 90, np.uint8)
    found = patch_match(plain, plain)
    assert found.occlusion.all()
    assert not found.confidence.any()
    with pytest.raises(ValueError, match="one size"):
        patch_match(plain, plain[:-9])


def test_nan_pixels_have_no_match():
    image0, image1, _ = similar_views(0.0, 1.0, (2.0, 1.0))
    holed = image0[:64, :80] / np.float32(255)
    holed[20:30, 20:30] = np.nan
    found = patch_match(holed, image1[:64, :80])
    assert np.isnan(found.flow[20:30, 20:30]).all()
    assert np.isfinite(found.flow[40:50, 40:50]).mean() > 0.9
