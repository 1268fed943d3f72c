"""The truth of made-up stereo pairs is true."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.synthetic import StereoPairOptions, make_stereo_pair

OPTIONS = StereoPairOptions(
    width=120, height=80, surfaces=4, thin=2, noise=0.0, plain=0.0, repetition=0.0, max_disparity_px=24.0
)


@settings(max_examples=6)
@given(st.integers(0, 1000))
def test_what_both_see_has_one_colour(seed):
    pair = make_stereo_pair(OPTIONS, seed)
    y, x = np.nonzero(~pair.occluded)
    place = x + 0.5 - pair.disparity[y, x]
    left = np.clip(np.floor(place - 0.5).astype(int), 0, 118)
    share = np.clip(place - 0.5 - left, 0, 1)[:, None]
    right = pair.right.astype(float)
    shown = right[y, left] * (1 - share) + right[y, left + 1] * share
    error = np.abs(shown - pair.left[y, x]).mean(axis=1)
    away = np.abs(right[y, left] - pair.left[y, np.maximum(x - 2, 0)]).mean(axis=1)
    assert (
        error.mean() < 0.7 * away.mean()
    )  # what is left is of the resampling; shifted by two pixels it is more


def test_the_same_seed_gives_the_same_pair():
    one, two, other = (make_stereo_pair(OPTIONS, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.left, two.left)
    np.testing.assert_array_equal(one.disparity, two.disparity)
    assert not np.array_equal(one.left, other.left)


def test_a_background_alone_hides_nothing_but_at_the_border():
    pair = make_stereo_pair(replace(OPTIONS, surfaces=0, thin=0), 1)
    x = np.arange(120) + 0.5
    np.testing.assert_array_equal(pair.occluded, x - pair.disparity < 0)


def test_exposure_changes_the_right_image_alone():
    plain = make_stereo_pair(OPTIONS, 5)
    other = make_stereo_pair(replace(OPTIONS, gain=0.5, offset=20.0), 5)
    np.testing.assert_array_equal(plain.left, other.left)
    np.testing.assert_allclose(other.right, 0.5 * plain.right + 20.0, atol=1.01)
