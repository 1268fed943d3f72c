"""The driver on a problem small enough to check by hand: a line y = a x + b among outliers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma, gammainc, gammaincc

from geo3d.estimation import EstimationError, RansacOptions
from geo3d.estimation.ransac import draw_samples, prosac_growth, ransac, samples_needed
from geo3d.estimation.scores import polynomial_weights, rho, rho_weight, score_coefficients


class Line:
    sample_size = 2

    def __init__(self, x, y, max_error=1.0):
        self.x, self.y, self.size, self.max_error = x, y, len(x), max_error
        self.drawn = []

    def solve(self, samples):
        self.drawn.append(samples)
        (x1, x2), (y1, y2) = self.x[samples].T, self.y[samples].T
        good = x1 != x2
        a = (y2 - y1)[good] / (x2 - x1)[good]
        return np.stack([a, y1[good] - a * x1[good]], axis=1)

    def squared_residuals(self, model):
        return ((model[0] * self.x + model[1] - self.y) / self.max_error) ** 2

    def costs(self, models, bound):
        return np.array([np.minimum(self.squared_residuals(m), 1).sum() for m in models])

    def escapes(self, model, rng):
        return np.zeros((0, 2))

    def refine(self, model, iterations, tightness=1.0):
        near = self.squared_residuals(model) < tightness**2
        if near.sum() < 2:
            return model
        fit = np.polyfit(self.x[near], self.y[near], 1)
        return min((model, fit), key=lambda m: self.costs(m[None], np.inf)[0])


def line(seed=0, count=200, outliers=0.5):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 100, count)
    y = 2 * x + 5 + rng.normal(size=count) * 0.2
    bad = int(outliers * count)
    y[:bad] = rng.uniform(0, 200, bad)
    return x, y


@pytest.mark.parametrize("local", [True, False])
def test_finds_the_line_and_its_inliers(local):
    x, y = line()
    found = ransac(Line(x, y), RansacOptions(local_optimization=local))
    np.testing.assert_allclose(found.model, [2, 5], atol=0.1)
    assert found.inliers[100:].all()
    assert found.iterations < 1000


def test_same_seed_same_result_and_seeds_matter():
    x, y = line(1)
    first, second = (ransac(Line(x, y), RansacOptions(seed=3)) for _ in range(2))
    assert np.array_equal(first.model, second.model) and first.cost == second.cost
    a, b = Line(x, y), Line(x, y)
    ransac(a, RansacOptions(seed=3))
    ransac(b, RansacOptions(seed=4))
    assert not np.array_equal(a.drawn[0], b.drawn[0])


def test_stops_when_another_sample_would_not_help():
    x, y = line(2, outliers=0.1)
    few = ransac(Line(x, y), RansacOptions(min_iterations=1)).iterations
    x, y = line(2, outliers=0.8)
    assert few < ransac(Line(x, y), RansacOptions(min_iterations=1)).iterations <= 10000
    assert ransac(Line(x, y), RansacOptions(min_iterations=1, max_iterations=40)).iterations == 40


def test_says_when_nothing_is_found():
    with pytest.raises(EstimationError, match="no model found"):
        ransac(Line(np.zeros(20), np.arange(20.0)), RansacOptions(max_iterations=100))


def test_prosac_draws_the_best_first():
    x, y = line(3, count=400, outliers=0.9)
    order = np.argsort(np.abs(y - 2 * x - 5))
    sorted_line = Line(x[order], y[order])
    found = ransac(sorted_line, RansacOptions(prosac=True, min_iterations=1))
    np.testing.assert_allclose(found.model, [2, 5], atol=0.3)
    assert sorted_line.drawn[0].max() < 100


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 8), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_samples_are_distinct_rows_of_the_pool(size, extra, seed):
    pool = size + extra
    pools = np.array([pool, -pool] * 20)
    samples = draw_samples(np.random.default_rng(seed), pools, size)
    assert samples.min() >= 0 and samples.max() < pool
    assert all(len(set(row)) == size for row in samples)
    assert np.all(samples[1::2, -1] == pool - 1)


def test_samples_are_uniform():
    samples = draw_samples(np.random.default_rng(0), np.full(40_000, 7), 3)
    counts = np.bincount(samples.ravel(), minlength=7)
    assert np.abs(counts / 120_000 - 1 / 7).max() < 0.006


def test_prosac_growth_reaches_all_rows_and_never_falls():
    growth = prosac_growth(100, 5)
    assert len(growth) == 100 - 5 + 1
    assert np.all(np.diff(growth) >= 0)
    assert growth[-1] == pytest.approx(200_000, rel=0.01)


def test_samples_needed():
    assert samples_needed(1.0, 5, 0.99) == 1
    assert samples_needed(0.5, 5, 0.99) == 146
    assert samples_needed(0.0, 5, 0.99) > 10**15


@pytest.mark.parametrize("name", ["msac", "magsac"])
def test_scores_rise_from_zero_to_one_and_have_their_derivative(name):
    c = score_coefficients(name)
    s = np.linspace(0, 1, 1001)
    cost = np.array([rho(c, v) for v in s])
    assert cost[0] == 0 and cost[-1] == pytest.approx(1, abs=1e-9)
    assert np.all(np.diff(cost) > -1e-9)
    assert rho(c, 7.0) == cost[-1] and rho_weight(c, 7.0) == 0
    weight = np.array([rho_weight(c, v) for v in s[1:-1]])
    np.testing.assert_allclose(weight, (cost[2:] - cost[:-2]) / (s[2:] - s[:-2]), atol=1e-3)
    np.testing.assert_allclose(weight, polynomial_weights(c, s[1:-1]), atol=1e-12)


def test_magsac_is_the_formula_of_the_paper():
    s, largest = (
        np.linspace(0, 1, 1001),
        13.276704 / 2,
    )  # half the 0.99 quantile of chi squared, 4 degrees of freedom

    def upper(v):
        return gamma(1.5) * gammaincc(1.5, v)

    x = largest * s
    loss = 0.5 * gamma(2.5) * gammainc(2.5, x) + 0.5 * x * (upper(x) - upper(largest))
    c = score_coefficients("magsac")
    np.testing.assert_allclose([rho(c, v) for v in s], loss / loss[-1], atol=2e-3)


@pytest.mark.parametrize(
    "wrong",
    [{"max_error_px": 0}, {"max_error_px": np.nan}, {"confidence": 1.0}, {"score": "ransac"}, {"max_iterations": 0},
     {"min_iterations": 20, "max_iterations": 10}, {"seed": -1}],
)  # fmt: skip
def test_options_are_checked(wrong):
    with pytest.raises(ValueError, match="expected"):
        RansacOptions(**wrong)
