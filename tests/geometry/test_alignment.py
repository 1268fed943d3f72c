"""Umeyama: exact without noise, optimal with it, right under outliers, honest about degenerate points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import Sim3, umeyama, umeyama_robust

seeds = st.integers(0, 2**32 - 1)
fast = settings(deadline=None, max_examples=30)


def problem(seed, count=20, with_scale=True, offset=0.0):
    rng = np.random.default_rng(seed)
    xi = rng.normal(size=7) * [5, 5, 5, 1.5, 1.5, 1.5, 2 if with_scale else 0]
    truth = Sim3.exp(xi)
    source = rng.normal(size=(count, 3)) + offset
    return truth, source, truth.act(source), rng


def assert_same(a, b, tolerance):
    np.testing.assert_allclose(a.matrix4(), b.matrix4(), rtol=tolerance, atol=tolerance)


@fast
@given(seeds, st.integers(3, 30), st.booleans())
def test_exact_without_noise(seed, count, with_scale):
    truth, source, target, _ = problem(seed, count, with_scale)
    assert_same(umeyama(source, target, with_scale=with_scale), truth, 1e-8)


@fast
@given(seeds)
def test_exact_for_points_in_a_plane(seed):
    truth, source, _, _ = problem(seed)
    source[:, 2] = 0.5 * source[:, 0] - source[:, 1]
    assert_same(umeyama(source, truth.act(source)), truth, 1e-9)


def test_exact_far_from_the_origin():
    _, source, target, _ = problem(1, offset=4.5e6)
    found = umeyama(source, target)
    assert np.abs(found.act(source) - target).max() < 1e-8 * np.abs(target).max()


@fast
@given(seeds, st.booleans())
def test_least_squares_with_noise_and_weights(seed, with_scale):
    _, source, target, rng = problem(seed, with_scale=with_scale)
    target = target + 0.1 * rng.normal(size=target.shape)
    w = rng.uniform(0.1, 3, len(source))
    best = umeyama(source, target, w, with_scale)

    def cost(transform):
        return w @ np.sum((transform.act(source) - target) ** 2, -1)

    for size in (0.1, 1e-3):
        step = size * rng.normal(size=7)
        step[6] *= with_scale
        assert cost(best) <= cost(best @ Sim3.exp(step)) * (1 + 1e-12)
    assert with_scale or best.scale == 1


@fast
@given(seeds)
def test_weights_are_counts_and_zero_leaves_out(seed):
    _, source, target, rng = problem(seed, count=6)
    target = target + 0.1 * rng.normal(size=target.shape)
    counts = np.array([1, 2, 3, 1, 2, 0])
    repeated = umeyama(np.repeat(source, counts, 0), np.repeat(target, counts, 0))
    assert_same(umeyama(source, target, counts), repeated, 1e-9)


@fast
@given(seeds)
def test_frames_do_not_matter(seed):
    _, source, target, rng = problem(seed, with_scale=False)
    target = target + 0.05 * rng.normal(size=target.shape)
    a, b = (Sim3.exp(rng.normal(size=7) * [1, 1, 1, 1, 1, 1, 0.3]) for _ in range(2))
    moved = umeyama(a.act(source), b.act(target))
    assert_same(moved, b @ umeyama(source, target) @ a.inverse(), 1e-9)


@fast
@given(seeds)
def test_mirrored_points_get_a_rotation_not_a_reflection(seed):
    _, source, _, rng = problem(seed)
    target = source * [1, 1, -1]
    found = umeyama(source, target)
    np.testing.assert_allclose(np.linalg.det(found.rotation), 1, atol=1e-12)
    assert np.sum((found.act(source) - target) ** 2) > 1e-2
    for _ in range(20):
        other = found @ Sim3.exp(0.3 * rng.normal(size=7))
        assert np.sum((found.act(source) - target) ** 2) <= np.sum((other.act(source) - target) ** 2) + 1e-9


LINE = np.linspace(0, 1, 6)[:, None] * [1.0, 2, 3]
SPREAD = np.random.default_rng(0).normal(size=(6, 3))


@pytest.mark.parametrize(
    "source, target, message",
    [
        (SPREAD[:2], SPREAD[:2], "at least 3"),
        (SPREAD, SPREAD[:4], "same shape"),
        (SPREAD[:, :2], SPREAD[:, :2], "same shape"),
        (LINE, SPREAD, "source: the points lie on one line"),
        (SPREAD, LINE, "target: the points lie on one line"),
        (LINE + 1e6, LINE, "one line"),
        (np.ones((6, 3)), SPREAD, "one place"),
        (np.full((6, 3), np.nan), SPREAD, "finite"),
    ],
)
def test_degenerate_input_is_refused(source, target, message):
    with pytest.raises(ValueError, match=message):
        umeyama(source, target)


def test_degenerate_input_of_the_robust_one_is_refused():
    for source, target in (
        (SPREAD[:2], SPREAD[:2]),
        (LINE, SPREAD),
        (SPREAD, LINE),
        (np.ones((6, 3)), SPREAD),
    ):
        with pytest.raises(ValueError, match=r"expected at least 3|no three"):
            umeyama_robust(source, target, 0.1, seed=0)
    for max_error in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="max_error"):
            umeyama_robust(SPREAD, SPREAD, max_error, seed=0)


@pytest.mark.parametrize("weights", [[1.0] * 5, [1.0] * 5 + [-1.0], [np.nan] * 6, [0, 0, 0, 0, 1.0, 1.0]])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(ValueError, match="expected"):
        umeyama(SPREAD, SPREAD, weights)


def test_robust_says_when_nothing_agrees():
    rng = np.random.default_rng(5)
    with pytest.raises(ValueError, match="agree within max_error"):
        umeyama_robust(rng.normal(size=(8, 3)), rng.normal(size=(8, 3)), 1e-9, seed=0)


@fast
@given(seeds, st.booleans())
def test_robust_with_40_percent_outliers(seed, with_scale):
    truth, source, target, rng = problem(seed, count=50, with_scale=with_scale)
    size = float(truth.scale)
    noisy = target + 0.002 * size * rng.normal(size=target.shape)
    wrong = rng.permutation(50) < 20
    noisy[wrong] += size * rng.uniform(0.5, 5, (20, 1)) * rng.choice([-1, 1], (20, 3))
    fit = umeyama_robust(source, noisy, 0.02 * size, seed=seed, with_scale=with_scale)
    np.testing.assert_array_equal(fit.inliers, ~wrong)
    expected = umeyama(source[~wrong], noisy[~wrong], with_scale=with_scale)
    assert_same(fit.transform, expected, 1e-9)
    np.testing.assert_allclose(fit.residuals, np.linalg.norm(fit.transform.act(source) - noisy, axis=1))
    assert np.abs(fit.transform.act(source) - target).max() < 0.01 * size
    assert with_scale or fit.transform.scale == 1


def test_robust_is_the_same_for_the_same_seed():
    _, source, target, rng = problem(11, count=40)
    target[:16] += rng.normal(size=(16, 3))
    first, again = (umeyama_robust(source, target, 0.05, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.transform.matrix4(), again.transform.matrix4())
    np.testing.assert_array_equal(first.inliers, again.inliers)


def test_three_pairs_are_enough_for_the_robust_one():
    truth, source, target, _ = problem(2, count=3)
    assert_same(umeyama_robust(source, target, 1e-6, seed=0).transform, truth, 1e-9)
