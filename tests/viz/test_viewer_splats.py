"""Gaussians as the browser draws them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.geometry import SO3, Sim3
from geo3d.viz.viewer_splats import MAGNIFIED, shown_splats
from tests.io.splats import make_gaussians
from tests.viz.viewer_scenes import ball


def frame(seed: int) -> Sim3:
    rng = np.random.default_rng(seed)
    return Sim3(rng.uniform(0.1, 10), SO3.exp(rng.normal(size=3)).matrix, rng.normal(0, 5, 3))


@given(st.integers(0, 2**32 - 1))
def test_a_shell_of_a_gaussian_stays_a_shell(seed: int) -> None:
    """Points one standard deviation off along the axes have Mahalanobis distance 1 in the display frame too."""
    gaussians, display = make_gaussians(seed % 100, count=5), frame(seed)
    shown = shown_splats(gaussians, display)
    from geo3d.geometry import quaternion_to_matrix

    axes = (
        quaternion_to_matrix(gaussians.quaternions) * np.exp(gaussians.log_scales.astype(np.float64))[:, None]
    )
    for row in range(5):
        covariance = shown.covariances[row].astype(np.float64)
        if np.linalg.cond(covariance) > 1e5:
            continue  # single precision holds no flat one
        for axis in axes[row].T:
            step = MAGNIFIED * (display.act(gaussians.means[row] + axis) - display.act(gaussians.means[row]))
            assert step @ np.linalg.solve(covariance, step) == pytest.approx(1, rel=0.02)


def test_centres_colours_and_opacities() -> None:
    display = frame(3)
    shown = shown_splats(ball(2, (1.0, 2.0, 3.0)), display)
    np.testing.assert_allclose(shown.centers / MAGNIFIED, [display.act([1.0, 2.0, 3.0])] * 2, rtol=1e-5)
    np.testing.assert_array_equal(shown.colors, [[235, 20, 20]] * 2)
    np.testing.assert_allclose(shown.opacities, 1 / (1 + np.exp(-5)), rtol=1e-6)
    np.testing.assert_allclose(shown.solid(), shown.centers / MAGNIFIED)


def test_of_too_many_those_that_cover_most_are_kept() -> None:
    g = make_gaussians(5, count=200)
    shown = shown_splats(g, Sim3.identity(), most=50)
    assert (len(shown.centers), shown.total) == (50, 200)
    area = np.sort(np.exp(g.log_scales), axis=1)[:, 1:].prod(axis=1) / (1 + np.exp(-g.logit_opacities))
    kept = {tuple(c) for c in shown.centers / np.float32(MAGNIFIED)}
    expected = {tuple(m) for m in g.means[np.argsort(-area)[:50]]}
    assert kept == expected


def test_what_half_precision_cannot_hold_is_held_in() -> None:
    g = ball(3)
    g.log_scales[:] = [[-40], [0], [40]]
    g.means[0] = 1e30
    shown = shown_splats(g, Sim3.identity())
    assert len(shown.centers) == 2
    assert np.isfinite(shown.covariances.astype(np.float16)).all()
