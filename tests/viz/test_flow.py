"""Pictures of flow: what the colours mean, and that what is not known stands apart."""

import numpy as np
import pytest

from geo3d.viz.flow import arrow_figure, flow_colors, flow_error_figure, flow_figure, flow_reach

RNG = np.random.default_rng(0)


def color(u, v, max_px=1.0):
    return flow_colors(np.full((1, 1, 2), [u, v], float), max_px)[0, 0].astype(int)


def test_the_directions_have_their_colours():
    assert color(1, 0).tolist() == [255, 0, 0]
    red, green, blue = color(0, 1)
    assert red > 230
    assert green > 200
    assert blue == 0  # down: yellow
    red, green, blue = color(-1, 0)
    assert red == 0
    assert min(green, blue) > 180  # left: cyan
    red, green, blue = color(0, -1)
    assert blue == 255
    assert green == 0  # up: blue-violet
    assert color(0, 0).tolist() == [255, 255, 255]


def test_length_is_saturation_and_beyond_is_darker():
    whites = [color(s, 0)[1] for s in (0.1, 0.5, 0.9)]
    assert whites == sorted(whites, reverse=True)
    assert abs(whites[1] - 128) <= 1
    assert color(3, 0).tolist() == [191, 0, 0]


def test_turning_changes_the_colour_smoothly():
    angles = np.linspace(0, 2 * np.pi, 721)
    circle = 0.999 * np.stack([np.cos(angles), np.sin(angles)], axis=1)[None]
    steps = np.abs(np.diff(flow_colors(circle, 1.0)[0].astype(int), axis=0)).max(axis=1)
    assert steps.max() < 10
    assert steps.mean() > 1


def test_unknown_is_black_and_no_motion_white():
    flow = np.zeros((5, 6, 2))
    flow[1, 1], flow[2, 2, 0] = np.nan, np.inf
    colors = flow_colors(flow)
    assert colors.dtype == np.uint8
    assert (colors == 0).all(axis=2).sum() == 2
    assert (colors == 255).all(axis=2).sum() == 28
    assert flow_reach(np.full((4, 4, 2), np.nan)) == 1.0
    assert not flow_colors(np.full((4, 4, 2), np.nan)).any()


@pytest.mark.parametrize("shape", [(16, 16), (30, 200), (480, 640)])
def test_figures_have_room_for_their_legends(shape):
    flow = RNG.normal(0, 3, (*shape, 2))
    flow[:3] = np.nan
    figure = flow_figure(flow)
    assert figure.shape[0] == shape[0]
    assert figure.shape[1] > shape[1]
    np.testing.assert_array_equal(figure[:, : shape[1]], flow_colors(flow))
    errors = flow_error_figure(flow, np.zeros_like(flow))
    assert errors.shape[0] == shape[0]
    image = RNG.integers(0, 256, (*shape, 3), np.uint8)
    arrows = arrow_figure(image, flow)
    assert arrows.shape[1:] == (shape[1], 3)
    assert arrows.shape[0] > shape[0]
    assert arrow_figure(image[..., 0], flow).shape == arrows.shape


def test_arrows_point_along_the_flow():
    flow = np.zeros((60, 60, 2))
    flow[..., 0] = 5.0
    picture = arrow_figure(np.full((60, 60), 255, np.uint8), flow, step_px=60, scale=4.0)[:60]
    rows, columns = np.nonzero(picture.min(axis=2) < 200)
    assert abs(rows - 30).max() <= 5
    assert columns.min() >= 29
    assert 48 <= columns.max() <= 51


def test_what_can_not_be_shown_is_refused():
    flow = np.zeros((4, 5, 2))
    with pytest.raises(ValueError, match="flow: expected"):
        flow_colors(flow[0])
    with pytest.raises(ValueError, match="max_px"):
        flow_colors(flow, 0.0)
    with pytest.raises(ValueError, match="image: expected uint8"):
        arrow_figure(np.zeros((4, 6), np.uint8), flow)
    with pytest.raises(ValueError, match="positive"):
        arrow_figure(np.zeros((4, 5), np.uint8), flow, scale=-1.0)
    with pytest.raises(ValueError, match="one shape"):
        flow_error_figure(flow, np.zeros((4, 6, 2)))
