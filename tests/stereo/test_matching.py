"""What matching promises: planes, shifts, mirrors, and deviations that are true."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from geo3d.stereo import StereoOptions, disparity_errors, disparity_to_depth, match
from geo3d.stereo.coarse_to_fine import match_any_size
from geo3d.stereo.deviation import GROSS_PX
from geo3d.stereo.options import QUALITIES
from geo3d.synthetic import StereoPairOptions, as_photographed, make_stereo_pair

PLANE = StereoPairOptions(
    width=200, height=120, surfaces=0, thin=0, min_disparity_px=8.0, max_disparity_px=24.0, slant=0.05, noise=0.5
)  # fmt: skip
SCENE = StereoPairOptions(
    width=300, height=200, surfaces=6, thin=3, max_disparity_px=40.0, repetition=0.0, plain=0.0, samples=2
)  # fmt: skip


@pytest.fixture(scope="module")
def scene():
    return make_stereo_pair(SCENE, seed=5)


def known(found, pair, margin=6):
    """Pixels away from the border that are known and seen by both."""
    inside = np.zeros(pair.disparity.shape, bool)
    inside[margin:-margin, margin:-margin] = True
    return inside & np.isfinite(found.disparity) & ~pair.occluded


@settings(max_examples=8)
@given(st.integers(0, 10_000))
def test_a_plane_is_recovered_to_a_twentieth_of_a_pixel(seed):
    pair = make_stereo_pair(PLANE, seed)
    found = match(pair.left, pair.right, StereoOptions(max_disparity=39))
    assume(not found.notes)  # of too little texture
    error = (found.disparity - pair.disparity)[known(found, pair)]
    assert len(error) > 0.6 * pair.disparity.size
    assert abs(np.median(error)) < 0.05
    # the plane through all of them, as whoever measures a wall would lay it
    y, x = np.nonzero(known(found, pair))
    design = np.column_stack([x, y, np.ones(len(x))])
    fit, truth = (
        np.linalg.lstsq(design, values[y, x].astype(np.float64), rcond=None)[0]
        for values in (found.disparity, pair.disparity)
    )
    assert np.sqrt(np.mean((design @ (fit - truth)) ** 2)) < 0.05


@pytest.mark.parametrize("quality", ["fast", "balanced"])
def test_fractions_are_not_drawn_to_whole_or_half_numbers(quality):
    fractions = []
    for seed in (61, 62, 63, 64):
        scene = replace(SCENE, slant=0.2, thin=0, patches=0.5, noise=0.0)
        pair = as_photographed(make_stereo_pair(scene, seed), seed)
        found = match(pair.left, pair.right, StereoOptions(quality=quality, max_disparity=47))
        surface = known(found, pair) & (np.abs(found.disparity - pair.disparity) < 1.0)
        fractions.append(found.disparity[surface] % 1.0)
    share = np.histogram(np.concatenate(fractions), 10, (0.0, 1.0))[0] / sum(map(len, fractions))
    assert share.max() < 0.14
    assert share.min() > 0.07


@settings(max_examples=4)
@given(st.integers(1, 12), st.sampled_from(["fast", "balanced"]))
def test_shifting_the_right_image_adds_the_shift(shift, quality):
    pair = make_stereo_pair(replace(SCENE, height=100), seed=3)
    options = StereoOptions(quality=quality, max_disparity=47)
    before = match(pair.left, pair.right, options)
    moved = np.roll(pair.right, -shift, axis=1)
    moved[:, -shift:] = pair.right[:, -1:]
    after = match(pair.left, moved, replace(options, min_disparity=shift, max_disparity=47 + shift))
    both = np.isfinite(before.disparity) & np.isfinite(after.disparity)
    both[:, :70], both[:, -70:] = False, False  # where other pixels have no partner than before
    assert both.mean() > 0.4
    difference = (after.disparity - before.disparity)[both] - shift
    assert (np.abs(difference) < 0.05).mean() > 0.98


def test_swapped_and_mirrored_gives_the_mirrored_answer(scene):
    options = StereoOptions(max_disparity=47)
    left = match(scene.left, scene.right, options)
    other = match(scene.right[:, ::-1], scene.left[:, ::-1], options)
    right = other.disparity[:, ::-1]
    y, x = np.nonzero(np.isfinite(left.disparity))
    d = left.disparity[y, x]
    at = np.round(x - d).astype(int)
    inside = at >= 0
    there = right[y[inside], at[inside]]
    agree = np.abs(there - d[inside]) < 1.0
    assert np.isfinite(there).mean() > 0.9
    assert agree[np.isfinite(there)].mean() > 0.98


def test_mirrored_top_to_bottom_is_the_same_upside_down(scene):
    options = StereoOptions(max_disparity=47)
    one = match(scene.left, scene.right, options).filled
    two = match(scene.left[::-1], scene.right[::-1], options).filled[::-1]
    assert (np.abs(one - two) < 0.5).mean() > 0.97


def test_the_same_twice_is_the_same(scene):
    one, two = (match(scene.left, scene.right, StereoOptions(max_disparity=47)) for _ in range(2))
    np.testing.assert_array_equal(one.filled, two.filled)
    np.testing.assert_array_equal(one.disparity, two.disparity)


@pytest.mark.parametrize("quality", ["fast", "balanced", "accurate"])
def test_the_deviation_covers_the_true_error_of_photos(quality):
    focal, baseline = 700.0, 0.12
    ratios = []
    for seed in (41, 42, 43, 44):
        scene = replace(SCENE, patches=0.5, plain=0.1, noise=0.0)
        pair = as_photographed(make_stereo_pair(scene, seed), seed)
        found = match(pair.left, pair.right, StereoOptions(quality=quality, max_disparity=47))
        depth = disparity_to_depth(found.disparity, focal, baseline, sigma_px=found.sigma_px)
        truth = disparity_to_depth(pair.disparity, focal, baseline)
        surface = known(found, pair) & (np.abs(found.disparity - pair.disparity) < GROSS_PX)
        ratios.append(np.abs(depth.depth - truth.depth)[surface] / depth.sigma[surface])
    ratio = np.concatenate(ratios)
    assert 0.60 <= (ratio < 1.0).mean() <= 0.80
    assert 0.90 <= (ratio < 2.0).mean() <= 0.985


def test_the_deviation_tells_good_from_bad():
    pair = as_photographed(make_stereo_pair(replace(SCENE, patches=0.5), 51), 51)
    found = match(pair.left, pair.right, StereoOptions(max_disparity=47))
    here = known(found, pair)
    error, sigma = np.abs(found.disparity - pair.disparity)[here], found.sigma_px[here]
    low, high = np.quantile(sigma, [0.25, 0.75])
    assert np.median(error[sigma > high]) > 2.0 * np.median(error[sigma < low])
    assert np.isnan(found.sigma_px[np.isnan(found.disparity)]).all()


@pytest.mark.parametrize("quality", ["fast", "balanced"])
def test_the_confidence_is_the_share_of_right_ones(quality):
    right = []
    for seed in (41, 42, 43):
        pair = make_stereo_pair(SCENE, seed)
        found = match(pair.left, pair.right, StereoOptions(quality=quality, max_disparity=47))
        here = known(found, pair)
        right.append(np.stack([found.confidence, np.abs(found.disparity - pair.disparity) < 1.0])[:, here])
    confidence, correct = np.concatenate(right, axis=1)
    assert abs(confidence.mean() - correct.mean()) < 0.03


def test_what_two_disparities_explain_alike_is_not_known():
    rng = np.random.default_rng(1)
    pattern = np.tile(rng.integers(0, 256, (80, 16), np.uint8), (1, 13))[:, :200]  # repeats every 16 pixels
    left = np.clip(pattern + rng.normal(0, 3, pattern.shape), 0, 255).astype(np.uint8)
    right = np.clip(np.roll(pattern, -5, axis=1) + rng.normal(0, 3, pattern.shape), 0, 255).astype(np.uint8)
    options = StereoOptions(max_disparity=47)
    strict = replace(options, semi_global=replace(QUALITIES["balanced"], uniqueness=0.3))
    loose = replace(options, semi_global=replace(QUALITIES["balanced"], uniqueness=0.0))
    inside = np.s_[10:-10, 60:-60]
    known = [np.isfinite(match(left, right, one).disparity[inside]).mean() for one in (loose, strict)]
    assert known[0] > 0.2
    assert known[1] < 0.25 * known[0]


@pytest.mark.parametrize("quality", ["fast", "balanced", "accurate"])
def test_a_scene_is_found(scene, quality):
    found = match(scene.left, scene.right, StereoOptions(quality=quality, max_disparity=47))
    errors = disparity_errors(found.disparity, scene.disparity, ~scene.occluded)
    assert errors.bad_2 < 0.03
    assert errors.density > 0.85
    assert np.isfinite(found.filled).all()
    assert disparity_errors(found.filled, scene.disparity).bad_2 < 0.12


def test_coarse_to_fine_is_as_good(scene):
    settings = QUALITIES["balanced"]
    whole = match_any_size(scene.left, scene.right, 0, 47, settings)
    tiles = match_any_size(scene.left, scene.right, 0, 47, settings, most_bytes=600_000)
    one, two = (disparity_errors(m.checked, scene.disparity, ~scene.occluded) for m in (whole, tiles))
    assert two.bad_2 < one.bad_2 + 0.01
    assert two.density > one.density - 0.02
    both = np.isfinite(whole.checked) & np.isfinite(tiles.checked)
    assert (np.abs(whole.checked - tiles.checked)[both] < 0.5).mean() > 0.98


def test_exposure_changes_little(scene):
    darker = np.clip(0.75 * scene.right + 5.0, 0, 255).astype(np.uint8)
    found = match(scene.left, darker, StereoOptions(max_disparity=47))
    assert disparity_errors(found.disparity, scene.disparity, ~scene.occluded).bad_2 < 0.03


@pytest.mark.parametrize("method", ["opencv", "block"])
def test_opencv_is_there_to_compare_with(scene, method):
    found = match(scene.left, scene.right, StereoOptions(method=method, max_disparity=47))
    assert disparity_errors(found.disparity, scene.disparity, ~scene.occluded).bad_2 < 0.2


def test_a_range_that_cuts_the_scene_off_is_said(scene):
    found = match(scene.left, scene.right, StereoOptions(max_disparity=15))
    assert found.at_end > 0.02
    assert any("--max-disparity 31" in note for note in found.notes)
    found = match(scene.left, scene.right, StereoOptions(max_disparity=47))
    assert not found.notes
    for low, words in ((20, "--min-disparity 0"), (-10, "--min-disparity -68")):
        moved = np.roll(scene.right, 0 if low > 0 else 25, axis=1)
        found = match(scene.left, moved, StereoOptions(min_disparity=low, max_disparity=47))
        assert any(words in note for note in found.notes)


def test_grey_types_and_colour_say_the_same(scene):
    options = StereoOptions(max_disparity=47)
    bytes_ = match(scene.left, scene.right, options).filled
    floats = match(scene.left / np.float32(255), scene.right / np.float32(255), options).filled
    np.testing.assert_array_equal(bytes_, floats)
    sixteen = match(scene.left.astype(np.uint16) * 257, scene.right.astype(np.uint16) * 257, options).filled
    np.testing.assert_array_equal(bytes_, sixteen)
    mixed = match(scene.left, scene.right[..., 1], options)
    assert "right image is grey" in mixed.notes[0]
    as_read = np.repeat(scene.right[..., 1:2], 3, axis=2)  # a grey photo of three channels
    np.testing.assert_array_equal(match(scene.left, as_read, options).filled, mixed.filled)


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (np.zeros((40, 60, 3), np.uint8), np.zeros((40, 50, 3), np.uint8), "one size"),
        (np.zeros((40, 60, 4), np.uint8), np.zeros((40, 60, 4), np.uint8), "alpha"),
        (np.full((40, 60), np.nan), np.zeros((40, 60)), "NaN"),
        (np.full((40, 60), 300.0), np.zeros((40, 60)), "0, 1"),
        (np.full((40, 60), 128, np.uint8), np.full((40, 60), 128, np.uint8), "no texture"),
        (np.full((40, 60), 255, np.uint8), np.full((40, 60), 255, np.uint8), "black or white"),
        (np.zeros((8, 60), np.uint8), np.zeros((8, 60), np.uint8), "at least 16"),
        (np.zeros((40, 60), np.int32), np.zeros((40, 60), np.int32), "uint8"),
        (np.zeros(5, np.uint8), np.zeros(5, np.uint8), "shape"),
    ],
)
def test_what_cannot_be_matched_is_refused(left, right, words):
    with pytest.raises(ValueError, match=words):
        match(left, right)


@pytest.mark.parametrize(
    "wrong",
    [{"method": "x"}, {"quality": "best"}, {"max_disparity": 2}, {"min_disparity": 90, "max_disparity": 80}],
)
def test_options_are_checked(wrong):
    with pytest.raises(ValueError, match="expected"):
        StereoOptions(**wrong)


def test_a_right_image_without_texture_is_refused(scene):
    with pytest.raises(ValueError, match="right image has no texture"):
        match(scene.left, np.full_like(scene.right, 120))


def test_the_same_image_twice_is_said(scene):
    found = match(scene.left, scene.left, StereoOptions(max_disparity=31))
    assert any("same image" in note for note in found.notes)
    assert np.nanmax(np.abs(found.disparity)) < 0.5


def test_images_of_two_scenes_are_said(scene):
    other = make_stereo_pair(SCENE, seed=77)
    found = match(scene.left, other.right, StereoOptions(max_disparity=31))
    assert any("agree on" in note for note in found.notes)
