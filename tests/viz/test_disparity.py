"""Pictures of disparities: colours rise with the value, unknown pixels are told from wrong ones."""

import numpy as np
import pytest

from geo3d.viz.disparity import color_map, error_figure, value_figure

TURBO_ENDS = (48, 18, 59), (122, 4, 3)  # Google's table, first and last


def test_colours_run_from_low_to_high_and_unknown_is_dark():
    colors = color_map(np.array([[0.0, 10.0, -5.0, 99.0, np.nan]]), 0.0, 10.0)[0]
    np.testing.assert_array_equal(colors[[0, 2]], [TURBO_ENDS[0]] * 2)
    np.testing.assert_array_equal(colors[[1, 3]], [TURBO_ENDS[1]] * 2)
    assert colors[4].max() < 40


@pytest.mark.parametrize("height", [16, 60, 500])
def test_a_figure_is_the_map_and_a_legend(height):
    values = np.tile(np.linspace(1.0, 9.0, 40), (height, 1))
    figure = value_figure(values, "disparity, px", 1.0, 9.0)
    np.testing.assert_array_equal(figure[:, :40], color_map(values, 1.0, 9.0))
    legend = figure[:, 40:]
    assert legend.shape[1] > 10
    assert (legend == 255).all(axis=2).any()
    assert value_figure(np.full((height, 40), np.nan), "depth, m").shape == figure.shape


def test_errors_are_told_from_what_is_unknown():
    truth = np.array([[5.0, 5.0, 5.0, np.nan]])
    colors = error_figure(np.array([[5.0, 50.0, np.nan, 5.0]]), truth)[0]
    np.testing.assert_array_equal(colors, [*TURBO_ENDS, (0, 0, 0), (255, 255, 255)])
