"""Rows are made to match from points alone; which pairs are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3
from geo3d.stereo import PairGeometry, check_rectified, disparity_range, rectify_uncalibrated

CAMERA = Camera("PINHOLE", 640, 480, [600, 600, 320, 240])


def matches(centre, turn, count=200, seed=0, noise=0.0, flat=False):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-2, -1.5, 5], [2, 1.5, 9], (count, 3))
    if flat:
        points[:, 2] = 6.0
    rotation = SO3.exp(turn).matrix
    right = SE3(rotation, -rotation @ np.asarray(centre, float))
    x = [CAMERA.project(points), CAMERA.project(right.act(points))]
    return PairGeometry(*(pixels + rng.normal(0, noise, pixels.shape) for pixels in x))


def moved(matrix, pixels):
    far = np.column_stack([pixels, np.ones(len(pixels))]) @ matrix.T
    return far[:, :2] / far[:, 2:]


@settings(max_examples=8)
@given(
    st.tuples(st.floats(0.3, 0.8), st.floats(-0.1, 0.1), st.floats(-0.05, 0.05)),
    st.tuples(*[st.floats(-0.08, 0.08)] * 3),
)
def test_rows_match(centre, turn):
    pair = matches(centre, turn)
    found = rectify_uncalibrated(pair, (640, 480))
    left, right = moved(found.left, pair.left), moved(found.right, pair.right)
    assert np.abs(left[:, 1] - right[:, 1]).max() < 1e-3
    assert np.ptp(left[:, 0] - right[:, 0]) > 5  # depths are told apart
    x, y = 300, 200
    back = moved(np.linalg.inv(found.left), np.array([[x + 0.5, y + 0.5]]))[0]
    if np.isfinite(found.left_map[y, x]).all():
        np.testing.assert_allclose(found.left_map[y, x], back, atol=1e-2)


def test_with_noise_they_match_to_the_noise():
    pair = matches([0.6, 0.05, 0.02], [0.02, -0.05, 0.03], noise=0.3)
    found = rectify_uncalibrated(pair, (640, 480))
    rows = moved(found.left, pair.left)[:, 1] - moved(found.right, pair.right)[:, 1]
    assert np.median(np.abs(rows)) < 0.5


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (matches([0.5, 0, 0], [0, 0, 0], count=10), "too few"),
        (matches([0.0, 0.0, 1.0], [0, 0, 0]), "before the other"),
        (matches([0.5, 0, 0], [0, 0.02, 0], noise=0.2, flat=True), "one plane"),
    ],
)
def test_pairs_that_cannot_be_rectified_are_refused(pair, words):
    with pytest.raises(ValueError, match=words):
        rectify_uncalibrated(pair, (640, 480))


def test_a_rectified_pair_passes_and_others_are_told():
    good = matches([0.5, 0, 0], [0, 0, 0], noise=0.2)
    check_rectified(good)
    with pytest.raises(ValueError, match=r"differ by \d+\.\d px"):
        check_rectified(matches([0.5, 0.1, 0], [0.02, 0, 0.01]))
    with pytest.raises(ValueError, match="vertical pair"):
        check_rectified(matches([0.0, 0.5, 0], [0, 0, 0]))
    with pytest.raises(ValueError, match="100 % of 200"):
        check_rectified(PairGeometry(good.right, good.left))
    check_rectified(PairGeometry(np.zeros((0, 2)), np.zeros((0, 2))))


def test_the_range_holds_what_the_matches_span():
    pair = matches([0.5, 0, 0], [0, 0, 0])
    low, high = disparity_range(pair, 640)
    d = pair.disparities_px
    assert 0 <= low <= d.min()
    assert d.max() <= high < 2 * d.max()
    assert (high - low + 1) % 16 == 0
    wrong = pair.left.copy()
    wrong[:3, 0] -= 300  # matches of something else in the row
    assert disparity_range(PairGeometry(wrong, pair.right), 640)[0] >= 0
    assert disparity_range(PairGeometry(np.zeros((0, 2)), np.zeros((0, 2))), 800) == (0, 100)
