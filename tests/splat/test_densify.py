"""Densification: what a change of the set keeps, and what it may not do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.scene import Gaussians
from geo3d.splat.densify_adc import densify_adc, strongest
from geo3d.splat.densify_mcmc import densify_mcmc, random_walk, relocated
from geo3d.splat.densify_multiview import ViewScores, densify_multiview
from geo3d.splat.refinement import (
    DensityStatistics,
    clone_and_split,
    logit,
    opacities,
    prune,
    unchanged,
    useless,
)
from geo3d.splat.training_options import DensifyOptions

OPTIONS = DensifyOptions()


def cloud(count=50, seed=0, opacity=(0.05, 0.95)):
    rng = np.random.default_rng(seed)
    f = np.float32
    return Gaussians(
        rng.normal(size=(count, 3)).astype(f),
        rng.normal(size=(count, 4)).astype(f),
        rng.normal(-3, 0.5, (count, 3)).astype(f),
        logit(rng.uniform(*opacity, count)),
        rng.normal(size=(count, 4, 3)).astype(f),
    )


def statistics(count, gradient=0.0):
    seen = DensityStatistics.empty(count)
    seen.views += 2
    seen.gradient += 2 * np.asarray(gradient, np.float32)
    return seen


def test_clones_lie_where_the_original_does_and_are_together_as_opaque():
    before = cloud()
    rows = np.array([3, 7, 20])
    change = clone_and_split(before, rows, np.zeros(0, np.int64), np.random.default_rng(0))
    after = change.gaussians
    assert len(after) == len(before) + 3
    np.testing.assert_array_equal(after.means[-3:], before.means[rows])
    together = 1 - (1 - opacities(after)[-3:]) * (1 - opacities(after)[rows])
    np.testing.assert_allclose(together, opacities(before)[rows], rtol=1e-5)
    others = np.setdiff1d(np.arange(50), rows)
    np.testing.assert_array_equal(after.logit_opacities[others], before.logit_opacities[others])
    np.testing.assert_array_equal(change.source, [*range(50), -1, -1, -1])


def test_halves_are_smaller_and_drawn_from_the_whole():
    one = cloud(1)
    many = Gaussians(*(np.repeat(getattr(one, k), 4000, axis=0) for k in vars(one) if k != "antialiased"))
    change = clone_and_split(many, np.zeros(0, np.int64), np.arange(4000), np.random.default_rng(1))
    after = change.gaussians
    assert len(after) == 8000
    assert (change.source == -1).all()
    np.testing.assert_allclose(
        after.log_scales, np.repeat(many.log_scales[:1], 8000, 0) - np.log(1.6), rtol=1e-6
    )
    from geo3d.geometry.quaternions import quaternion_to_matrix

    axes = quaternion_to_matrix(one.quaternions[0])
    sigma = axes @ np.diag(np.exp(2 * one.log_scales[0])) @ axes.T
    found = np.cov((after.means - one.means).T)
    np.testing.assert_allclose(found, sigma, atol=0.08 * np.abs(sigma).max())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.integers(0, 2**31), st.sampled_from(["adc", "multiview", "mcmc"]))
def test_no_strategy_adds_more_than_there_is_room_for(room, seed, strategy):
    rng = np.random.default_rng(seed)
    before = cloud(40, seed % 1000, opacity=(0.02, 0.95))
    seen = statistics(40, rng.random(40))
    common = {"extent": 1.0, "room": room, "rng": rng}
    if strategy == "adc":
        change = densify_adc(before, seen, OPTIONS, threshold=0.5, **common)
    elif strategy == "multiview":
        scores = ViewScores(rng.random(40).astype("f4"), np.full(40, 5, "f4"), np.full(40, 3, "i4"))
        change = densify_multiview(before, seen, scores, OPTIONS, **common)
    else:
        change = densify_mcmc(before, OPTIONS, **common)
    assert 40 <= len(change.gaussians) <= 40 + room
    assert len(change.source) == len(change.gaussians)
    old = change.source >= 0
    np.testing.assert_array_equal(change.gaussians.sh[old], before.sh[change.source[old]])
    for name in ("means", "log_scales", "logit_opacities"):
        assert np.isfinite(getattr(change.gaussians, name)).all()


def test_adc_takes_the_strongest_first_and_leaves_the_weak():
    before = cloud(10)
    change = densify_adc(
        before,
        statistics(10, np.arange(10) / 10),
        OPTIONS,
        threshold=0.45,
        extent=1e3,
        room=2,
        rng=np.random.default_rng(0),
    )
    np.testing.assert_array_equal(change.gaussians.means[10:], before.means[[8, 9]])
    np.testing.assert_array_equal(strongest(np.arange(5.0), np.arange(5) > 2, 10), [3, 4])


def test_large_ones_are_split_in_the_world_or_on_the_screen():
    before = cloud(4)
    before.log_scales[:] = np.log(0.001)
    before.log_scales[1] = np.log(0.5)
    seen = statistics(4, 1.0)
    seen.screen[2] = 0.5
    change = densify_adc(
        before, seen, OPTIONS, threshold=0.1, extent=1.0, room=9, rng=np.random.default_rng(0)
    )
    np.testing.assert_array_equal(np.sort(change.source[change.source >= 0]), [0, 3])
    assert len(change.gaussians) == 8


def test_what_is_too_large_on_the_screen_is_split_whatever_its_gradient():
    before, seen = cloud(4), statistics(4)
    seen.screen[2] = 0.5
    common = {"extent": 1e3, "room": 9, "rng": np.random.default_rng(0)}
    for change in (
        densify_adc(before, seen, OPTIONS, threshold=0.1, **common),
        densify_multiview(
            before, seen, ViewScores(*np.ones((2, 4), "f4"), np.zeros(4, "i4")), OPTIONS, **common
        ),
    ):
        np.testing.assert_array_equal(np.sort(change.source), [-1, -1, 0, 1, 3])


def test_what_is_transparent_or_huge_or_not_finite_is_removed():
    before = cloud(5)
    before.logit_opacities[0] = logit(np.array(0.001))
    before.log_scales[1, 2] = np.log(50.0)
    before.means[2, 0] = np.nan
    gone = useless(before, 0.005, 10.0)
    np.testing.assert_array_equal(gone, [True, True, True, False, False])
    change = prune(unchanged(before), ~gone)
    assert (len(change.gaussians), change.removed) == (2, 3)
    np.testing.assert_array_equal(change.source, [3, 4])


def test_multiview_doubles_what_errs_in_two_photos_and_removes_the_unseen():
    before = cloud(4)
    scores = ViewScores.empty(4)
    scores.add(np.array([5, 1, 0, 3], "f4"), np.array([9, 9, 0, 9], "f4"))
    scores.add(np.array([0, 1, 0, 3], "f4"), np.array([0, 9, 0, 9], "f4"))
    change = densify_multiview(
        before, statistics(4), scores, OPTIONS, extent=1e3, room=9, rng=np.random.default_rng(0)
    )
    np.testing.assert_array_equal(change.gaussians.means, before.means[[0, 1, 3, 1, 3]])


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 0.99), st.integers(1, 30))
def test_relocated_gaussians_gather_on_a_ray_what_the_one_did(opacity, copies):
    new, scale = relocated(np.array([opacity]), np.array([copies]))
    assert 1 - (1 - new[0]) ** copies == pytest.approx(opacity, rel=1e-6)
    x = np.linspace(-12, 12, 20001)
    together = 1 - (1 - new[0] * np.exp(-0.5 * (x / scale[0]) ** 2)) ** copies
    alone = opacity * np.exp(-0.5 * x**2)
    assert np.trapezoid(together, x) == pytest.approx(np.trapezoid(alone, x), rel=1e-4)


def test_mcmc_moves_the_dead_to_the_living_and_starts_their_optimiser_anew():
    before = cloud(20)
    before.logit_opacities[:5] = logit(np.array(0.001))
    change = densify_mcmc(before, OPTIONS, extent=1.0, room=3, rng=np.random.default_rng(0))
    after = change.gaussians
    assert len(after) == 23
    alive = {tuple(m) for m in before.means[5:]}
    assert {tuple(m) for m in after.means} <= alive
    assert (change.source[:5] == -1).all() and (change.source[20:] == -1).all()
    assert (opacities(after) > OPTIONS.min_opacity).all()


def test_mcmc_without_any_alive_changes_nothing():
    before = cloud(3)
    before.logit_opacities[:] = -20
    change = densify_mcmc(before, OPTIONS, extent=1.0, room=5, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(change.source, [0, 1, 2])


def test_the_random_walk_follows_the_covariance_and_spares_the_opaque():
    one = cloud(1)
    many = Gaussians(*(np.repeat(getattr(one, k), 6000, axis=0) for k in vars(one) if k != "antialiased"))
    many.logit_opacities[:3000] = logit(np.array(0.005))
    many.logit_opacities[3000:] = logit(np.array(0.9))
    before = many.means.copy()
    random_walk(many, 2.0, np.random.default_rng(3))
    np.testing.assert_array_equal(many.means[3000:], before[3000:])
    from geo3d.geometry.quaternions import quaternion_to_matrix

    axes = quaternion_to_matrix(one.quaternions[0])
    sigma = axes @ np.diag(np.exp(2 * one.log_scales[0])) @ axes.T
    expected = (2.0 * 0.5) ** 2 * sigma @ sigma.T
    moved = (many.means - before)[:3000]
    np.testing.assert_allclose(np.cov(moved.T), expected, atol=0.1 * np.abs(expected).max())
