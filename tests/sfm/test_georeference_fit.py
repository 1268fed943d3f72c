"""Positions that are wrong, noisy or on one line: the similarity is found as well as they allow, or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import SO3, Sim3, rotation_angle
from geo3d.sfm import UpDirection, fit_positions

GPS_STD = np.array([5.0, 5.0, 10.0])


def flight(count, seed, shape=(60.0, 40.0, 1.0)):
    """Positions in a model, the similarity that places it, and the true positions."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(-1, 1, (count, 3)) * shape + [300, -200, 40]
    model_from_world = Sim3(0.07, SO3.exp(rng.normal(size=3)).matrix, [1.0, 2, 3])
    return model_from_world.act(true), model_from_world.inverse(), true, rng


def up_of(transform, std_deg=2.0, tilt_deg=0.0):
    tilt = SO3.exp([np.deg2rad(tilt_deg), 0, 0]).matrix
    return UpDirection(transform.rotation.T @ tilt @ [0, 0, 1], np.deg2rad(std_deg), "gimbal")


def turn_between(a, b):
    return float(rotation_angle(a.rotation @ b.rotation.T))


@settings(max_examples=15)
@given(st.integers(3, 40), st.integers(0, 10**6), st.booleans())
def test_exact_without_noise(count, seed, with_up):
    source, truth, target, _ = flight(count, seed, (60, 40, 20))
    up = up_of(truth) if with_up else None
    fit = fit_positions(source, target, np.tile([0.02, 0.02, 0.03], (count, 1)), up)
    np.testing.assert_allclose(fit.transform.act(source), target, atol=1e-6)
    assert fit.transform.scale == pytest.approx(float(truth.scale), rel=1e-8)
    assert fit.inliers.all() and np.abs(fit.residuals).max() < 1e-6


def test_wrong_positions_are_named_and_do_no_harm():
    source, truth, target, rng = flight(24, 1)
    target = target + rng.normal(size=target.shape) * [1.0, 1, 2]
    target[[3, 9, 14, 20, 22]] += rng.normal(size=(5, 3)) * [40, 40, 80]
    fit = fit_positions(source, target, np.tile(GPS_STD, (24, 1)), up_of(truth))
    assert set(np.flatnonzero(~fit.inliers)) == {3, 9, 14, 20, 22}
    assert turn_between(fit.transform, truth) < np.deg2rad(2)
    assert fit.transform.scale == pytest.approx(float(truth.scale), rel=0.03)


def test_the_stated_uncertainty_is_right():
    """Over many draws, errors over their stated deviations scatter as a standard normal distribution does."""
    scale_errors, turn_errors = [], []
    for seed in range(40):
        source, truth, target, rng = flight(20, seed)
        std = np.tile([1.0, 1.0, 2.0], (20, 1)) * rng.uniform(0.5, 2, (20, 1))
        fit = fit_positions(source, target + std * rng.normal(size=std.shape), std, up_of(truth, 60.0))
        scale_errors.append(np.log(fit.transform.scale / truth.scale) / fit.scale_std)
        turn = SO3(fit.transform.rotation @ truth.rotation.T).log()
        turn_errors.append(turn / fit.rotation_std)
    assert 0.7 < np.sqrt(np.mean(np.square(scale_errors))) < 1.3
    assert (np.abs(np.sqrt(np.mean(np.square(turn_errors), axis=0)) - 1) < 0.35).all()


def test_better_positions_count_more():
    source, _, target, rng = flight(30, 4, (60, 40, 20))
    std = np.where(np.arange(30)[:, None] < 10, 0.02, 5.0) * np.ones(3)
    fit = fit_positions(source, target + std * rng.normal(size=std.shape), std)
    assert np.linalg.norm(fit.transform.act(source) - target, axis=1).max() < 0.1


def test_on_a_line_up_says_how_the_line_is_rolled():
    source, truth, target, rng = flight(12, 5, (80, 0, 0))
    target = target + rng.normal(size=target.shape) * [0.5, 0.5, 1.0]
    fit = fit_positions(source, target, np.tile(GPS_STD, (12, 1)), up_of(truth))
    assert fit.tilt_from == "up"
    assert turn_between(fit.transform, truth) < np.deg2rad(2.5)
    assert (
        fit_positions(*flight(12, 5)[::2], np.tile([0.02] * 3, (12, 1)), up_of(truth)).tilt_from
        == "positions"
    )
    with pytest.raises(ValueError, match="line"):
        fit_positions(source, target, np.tile(GPS_STD, (12, 1)))


def test_good_positions_overrule_a_bad_up():
    source, truth, target, rng = flight(30, 6)
    std = np.tile([0.02, 0.02, 0.03], (30, 1))
    fit = fit_positions(source, target + std * rng.normal(size=std.shape), std, up_of(truth, 5.0, tilt_deg=9))
    assert turn_between(fit.transform, truth) < np.deg2rad(0.05)


def test_poor_heights_do_not_tilt_what_the_gimbal_holds():
    source, truth, target, rng = flight(10, 7, (20, 15, 0.5))
    target = target + rng.normal(size=target.shape) * [0.3, 0.3, 8.0]
    fit = fit_positions(source, target, np.tile([0.3, 0.3, 8.0], (10, 1)), up_of(truth))
    assert turn_between(fit.transform, truth) < np.deg2rad(3) and fit.tilt_from == "up"


def test_heights_that_no_one_knows():
    source, truth, target, _ = flight(10, 8)
    half, none = target.copy(), target.copy()
    half[::2, 2], none[:, 2] = np.nan, np.nan
    fit = fit_positions(source, half, np.tile([0.02] * 3, (10, 1)), up_of(truth))
    np.testing.assert_allclose(fit.transform.act(source), target, atol=1e-3)
    assert np.isnan(fit.residuals[::2, 2]).all() and np.isfinite(fit.residuals[1::2]).all()
    fit = fit_positions(source, none, np.tile([0.02] * 3, (10, 1)), up_of(truth))
    np.testing.assert_allclose(fit.transform.act(source)[:, :2], target[:, :2], atol=1e-3)


def test_a_known_scale_stays():
    source, truth, target, rng = flight(12, 9)
    noisy = target + rng.normal(size=target.shape) * [2, 2, 4]
    fit = fit_positions(source, noisy, np.tile(GPS_STD, (12, 1)), up_of(truth), scale=float(truth.scale))
    assert fit.transform.scale == pytest.approx(float(truth.scale), rel=1e-12) and fit.scale_std == 0
    exact = fit_positions(source, target, np.tile(GPS_STD, (12, 1)), scale=float(truth.scale))
    np.testing.assert_allclose(exact.transform.act(source), target, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (x[:2], y[:2]), "2 positions are too few"),
        (lambda x, y: (x, np.tile(y[0], (len(y), 1))), "one place|too close"),
        (
            lambda x, y: (x, y + np.random.default_rng(0).normal(size=y.shape) * 500),
            "agree|close|ground|contradict",
        ),
        (lambda x, y: (x, y * [np.nan, 1, 1]), "finite"),
        (lambda x, y: (x, y[:, :2]), "shape"),
    ],
)
def test_what_cannot_be_placed_is_refused(change, words):
    source, truth, target, _ = flight(12, 10)
    source, target = change(source, target)
    std = np.broadcast_to(GPS_STD[: target.shape[1]], target.shape)
    with pytest.raises(ValueError, match=words):
        fit_positions(source, target, std, up_of(truth))


def test_the_same_seed_gives_the_same_result():
    source, truth, target, rng = flight(12, 11)
    target = target + rng.normal(size=target.shape)
    first, second = (fit_positions(source, target, np.tile(GPS_STD, (12, 1)), up_of(truth)) for _ in range(2))
    assert np.array_equal(first.transform.matrix4(), second.transform.matrix4())
