"""Similarity of the plane: exact without noise, among outliers, against a direct least-squares solve."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.estimation import EstimationError, RansacOptions, estimate_similarity_2d, solve_similarity_2d

seeds = st.integers(0, 2**32 - 1)
few = settings(deadline=None, max_examples=20)


def similarity(rng):
    scale, turn = np.exp(rng.uniform(-0.5, 0.5)), rng.uniform(-np.pi, np.pi)
    p, q = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[p, -q, rng.uniform(-50, 50)], [q, p, rng.uniform(-50, 50)], [0, 0, 1]])


def moved(matrix, x):
    return x @ matrix[:2, :2].T + matrix[:2, 2]


@few
@given(seeds)
def test_least_squares_is_that_of_the_linear_system(seed):
    rng = np.random.default_rng(seed)
    x1 = rng.uniform(0, 100, (12, 2))
    x2, weights = moved(similarity(rng), x1) + rng.normal(0, 2, (12, 2)), rng.uniform(0.1, 2, 12)
    zero, one = np.zeros(12), np.ones(12)
    rows = np.concatenate(
        [np.stack([x1[:, 0], -x1[:, 1], one, zero], 1), np.stack([x1[:, 1], x1[:, 0], zero, one], 1)]
    )
    root = np.sqrt(np.tile(weights, 2))
    p, q, tx, ty = np.linalg.lstsq(root[:, None] * rows, root * x2.T.ravel(), rcond=None)[0]
    found = solve_similarity_2d(x1, x2, weights)
    np.testing.assert_allclose(found, [[p, -q, tx], [q, p, ty], [0, 0, 1]], atol=1e-8)


@few
@given(seeds, st.sampled_from(["magsac", "msac"]))
def test_found_among_outliers(seed, score):
    rng = np.random.default_rng(seed)
    truth, x1 = similarity(rng), rng.uniform(0, 640, (200, 2))
    x2 = moved(truth, x1) + rng.normal(0, 0.3, (200, 2))
    x2[:110] = rng.uniform(0, 640, (110, 2))
    found = estimate_similarity_2d(x1, x2, RansacOptions(max_error_px=1.5, score=score))
    assert np.abs(moved(found.matrix, x1) - moved(truth, x1)).max() < 0.5
    assert found.inliers[110:].mean() > 0.95 and found.inliers[:110].mean() < 0.1
    again = estimate_similarity_2d(x1, x2, RansacOptions(max_error_px=1.5, score=score))
    assert (again.matrix == found.matrix).all()


def test_points_in_one_place_are_refused():
    with pytest.raises(EstimationError, match="duplicate"):
        estimate_similarity_2d(np.ones((20, 2)), np.ones((20, 2)))
    with pytest.raises(ValueError, match="at least 2"):
        estimate_similarity_2d(np.ones((1, 2)), np.ones((1, 2)))
