"""The Gaussians that training starts from."""

import numpy as np
import pytest

from geo3d.geometry import SH_C0
from geo3d.splat.initialisation import gaussians_at


def test_a_regular_grid_gives_its_spacing_and_colours():
    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), -1).reshape(-1, 3) * 0.25
    colors = np.random.default_rng(0).random(grid.shape)
    made = gaussians_at(grid, colors, 2)
    np.testing.assert_allclose(np.exp(made.log_scales), 0.25, rtol=1e-5)
    np.testing.assert_allclose(0.5 + SH_C0 * made.sh[:, 0], colors, atol=1e-6)
    assert made.sh.shape == (64, 9, 3) and not made.sh[:, 1:].any()
    assert all(getattr(made, k).dtype == np.float32 for k in ("means", "quaternions", "log_scales", "sh"))


def test_coinciding_and_far_points_get_sizes_that_can_be_used():
    points = np.array([[0, 0, 0.0]] * 5 + [[i, 0, 0.0] for i in range(1, 30)] + [[1e6, 0, 0]])
    scales = np.exp(gaussians_at(points, np.zeros((35, 3)), 0).log_scales)
    assert scales.min() > 0 and scales.max() < 50
    assert len(gaussians_at(np.zeros((1, 3)), np.zeros((1, 3)), 0)) == 1


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.array([[np.nan, 0, 0]])])
def test_no_point_or_one_that_is_nowhere_is_refused(points):
    with pytest.raises(ValueError, match="points"):
        gaussians_at(points, np.zeros((len(points), 3)), 0)
